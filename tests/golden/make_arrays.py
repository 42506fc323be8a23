#!/usr/bin/python3
"""Writes small checkpoints and caches in every container, and what they hold.

  /usr/bin/python3 tests/golden/make_arrays.py     (torch 1.13, numpy 1.24; any torch >= 1.6 will do)

Output: tests/golden/arrays/*, and expected.tsv there: file, container, wrapper, name, type, shape,
SHA-256 of the little-endian C-order bytes.  The values come from torch and numpy, the bytes are theirs;
the safetensors and tar files are written here by hand after their specifications, the tar file is read
back by torch's own loader before it counts.  Legacy streams differ from run to run in their storage
keys, which torch takes from addresses; expected.tsv does not.
"""
import argparse
import collections
import hashlib
import io
import json
import os
import pickle
import struct
import tarfile
import warnings

import numpy as np
import torch

warnings.filterwarnings("ignore")
HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "arrays")
TYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
         torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
         torch.uint8: "U8", torch.bool: "BOOL"}
rows = []


def raw(t):
    """Little-endian C-order bytes of a tensor."""
    t = t.detach().contiguous()
    if t.dtype == torch.bfloat16:
        t = t.view(torch.int16)
    return t.numpy().tobytes()


def expect(file, container, wrapper, tensors):
    for name, t in tensors.items():
        if isinstance(t, np.ndarray):
            kind = t.dtype.newbyteorder("<").str[1:]
            type_ = {"f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16",
                     "i1": "I8", "u1": "U8", "b1": "BOOL"}[kind]
            data = np.ascontiguousarray(t).astype(t.dtype.newbyteorder("<")).tobytes()
            shape = t.shape
        else:
            type_, data, shape = TYPES[t.dtype], raw(t), tuple(t.shape)
        rows.append([file, container, wrapper, name, type_, ",".join(map(str, shape)),
                     hashlib.sha256(data).hexdigest()])


def at(name):
    return os.path.join(HERE, name)


def state_dict(all_types):
    g = torch.Generator().manual_seed(7)
    r = lambda *s: torch.randn(*s, generator=g)
    base = r(24)
    sd = collections.OrderedDict()
    sd["conv.weight"] = r(3, 2, 2, 2)
    sd["conv.bias"] = r(3)
    sd["bn.num_batches_tracked"] = torch.tensor(12345678901)
    sd["transposed"] = r(4, 3).t()
    sd["channels_last"] = r(2, 3, 2, 2).to(memory_format=torch.channels_last)
    sd["expanded"] = r(1, 3).expand(4, 3)
    sd["view"] = base[5:17].view(3, 4)
    sd["tied"] = base
    sd["empty"] = torch.zeros(0, 3)
    if all_types:
        for t in TYPES:
            v = (r(5) * 50).abs()
            sd["type." + TYPES[t].lower()] = (v > 20) if t == torch.bool else v.to(t)
    return sd


def write_torch():
    for file, zipped, protocol, types in [
            ("zip.pth", True, 2, True), ("legacy.pth", False, 2, True),
            ("zip4.pth", True, 4, False), ("legacy4.pth", False, 4, False), ("legacy1.pth", False, 1, False)]:
        sd = state_dict(types)
        torch.save(sd, at(file), _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
        expect(file, "pytorch-zip" if zipped else "pytorch-legacy", "", sd)
    for file, key, zipped in [("wrapped.pth", "state_dict", True), ("wrapped_legacy.pth", "model", False)]:
        sd = collections.OrderedDict([("module.w", torch.arange(6.).view(2, 3)),
                                      ("module.b", torch.nn.Parameter(torch.ones(2)))])
        torch.save({"epoch": 3, "best": np.float64(0.5), "args": argparse.Namespace(lr=0.1, name="x"),
                    "optimizer": {"state": {0: {"step": 1, "exp_avg": torch.zeros(2)}}}, key: sd},
                   at(file), _use_new_zipfile_serialization=zipped)
        expect(file, "pytorch-zip" if zipped else "pytorch-legacy", key, sd)
    both = {"state_dict": {"w": torch.zeros(2)}, "state_dict_ema": {"w": torch.ones(2)}}
    torch.save(both, at("ema.pth"))
    expect("ema.pth", "pytorch-zip", "state_dict_ema", both["state_dict_ema"])
    nested = {"a": {"b": [torch.zeros(1), torch.ones(1)]}, "c": (torch.full((1,), 2.),)}
    torch.save(nested, at("nested.pth"))
    expect("nested.pth", "pytorch-zip", "",
           {"a.b.0": nested["a"]["b"][0], "a.b.1": nested["a"]["b"][1], "c.0": nested["c"][0]})
    torch.save(torch.arange(4), at("single.pth"))
    expect("single.pth", "pytorch-zip", "", {"": torch.arange(4)})


def write_safetensors():
    sd = state_dict(True)
    header, data = {"__metadata__": {"format": "pt", "note": "\u00e9 \"quoted\""}}, b""
    for name in sorted(sd, key=lambda n: -sd[n].element_size()):
        b = raw(sd[name])
        header[name] = {"dtype": TYPES[sd[name].dtype], "shape": list(sd[name].shape),
                        "data_offsets": [len(data), len(data) + len(b)]}
        data += b
    text = json.dumps(header).encode()
    for file, pad in [("a.safetensors", -len(text) % 8), ("odd.safetensors", -len(text) % 8 + 3)]:
        with open(at(file), "wb") as f:  # the second one has no element where the processor likes it
            f.write(struct.pack("<Q", len(text) + pad) + text + b" " * pad + data)
        expect(file, "safetensors", "", sd)


def write_numpy():
    rng = np.random.default_rng(7)
    a = rng.standard_normal((3, 4, 2)).astype(np.float32)
    cases = {"c.npy": a, "fortran.npy": np.asfortranarray(a), "big.npy": a.astype(">f4"),
             "bigfortran.npy": np.asfortranarray(a.astype(">f8")), "scalar.npy": np.array(7, np.int64),
             "one.npy": np.arange(5, dtype=np.int16), "bool.npy": a > 0, "half.npy": a.astype(np.float16),
             "empty.npy": np.zeros((0, 3), np.int32)}
    for file, v in cases.items():
        np.save(at(file), v)
        expect(file, "npy", "", {"": v})
    for version in [(2, 0), (3, 0)]:
        file = "v%d.npy" % version[0]
        with open(at(file), "wb") as f:
            np.lib.format.write_array(f, a, version=version)
        expect(file, "npy", "", {"": a})
    named = {"resnet/root_block/kernel": a, "feat_list": np.asfortranarray(a), "label_list": np.arange(3)}
    np.savez(at("stored.npz"), **named)
    np.savez_compressed(at("deflated.npz"), **named)
    expect("stored.npz", "npz", "", named)
    expect("deflated.npz", "npz", "", named)
    w, b = rng.standard_normal((3, 4)).astype(np.float32), rng.standard_normal(3).astype(np.float32)
    for protocol in (2, 3, 4, 5):
        for file, obj, arrays in [("feat%d.pkl", w, {"": w}), ("fc%d.pkl", [w, b], {"0": w, "1": b}),
                                  ("odd%d.pkl", (np.asfortranarray(w), b[:0], w.astype(">f8")),
                                   {"0": w, "1": b[:0], "2": w.astype(">f8")})]:
            with open(at(file % protocol), "wb") as f:
                pickle.dump(obj, f, protocol=protocol)
            expect(file % protocol, "pickle", "", arrays)
    with open(at("feat4.pkl"), "rb") as f:  # numpy 2 calls its modules numpy._core
        text = f.read().replace(b"\x8c\x15numpy.core.multiarray", b"\x8c\x16numpy._core.multiarray")
    length = struct.unpack("<Q", text[3:11])[0] + 1
    with open(at("numpy2.pkl"), "wb") as f:
        f.write(text[:3] + struct.pack("<Q", length) + text[11:])
    expect("numpy2.pkl", "pickle", "", {"": w})


def write_tar():
    """The format before torch 0.1.10: members sys_info, pickle, storages, tensors."""
    base = torch.arange(10, dtype=torch.float32) * 0.25
    tensors = {"w": base[2:8].view(2, 3).t(), "b": torch.tensor([3, 4], dtype=torch.int64)}

    class Pickler(pickle._Pickler):
        def persistent_id(self, obj):
            return str(keys[id(obj)]) if id(obj) in keys else None

    sd = collections.OrderedDict(tensors)
    keys = {id(t): i for i, t in enumerate(tensors.values(), 11)}
    storages, names = io.BytesIO(), io.BytesIO()
    pickle.dump(2, storages, protocol=2)
    pickle.dump(2, names, protocol=2)
    for i, (t, s) in enumerate([(tensors["w"], base), (tensors["b"], tensors["b"])]):
        kind = torch.FloatStorage if s.dtype == torch.float32 else torch.LongStorage
        pickle.dump((i, "cpu", kind), storages, protocol=2)
        storages.write(struct.pack("<q", s.numel()) + raw(s))
        tensor_type = torch.FloatTensor if s.dtype == torch.float32 else torch.LongTensor
        pickle.dump((keys[id(t)], i, tensor_type), names, protocol=2)
        names.write(struct.pack("<i4x", t.dim()) + struct.pack("<%dq" % t.dim(), *t.size()) +
                    struct.pack("<%dq" % t.dim(), *t.stride()) + struct.pack("<q", t.storage_offset()))
    pickle.dump([], storages, protocol=2)
    body = io.BytesIO()
    Pickler(body, protocol=2).dump(sd)
    info = pickle.dumps({"protocol_version": 1000, "little_endian": True,
                         "type_sizes": {"short": 2, "int": 4, "long": 4}}, protocol=2)
    with tarfile.open(at("old.tar"), "w:", format=tarfile.PAX_FORMAT) as tar:
        for name, b in [("sys_info", info), ("pickle", body.getvalue()),
                        ("storages", storages.getvalue()), ("tensors", names.getvalue())]:
            member = tarfile.TarInfo(name)
            member.size = len(b)
            tar.addfile(member, io.BytesIO(b))
    back = torch.load(at("old.tar"))
    assert all(torch.equal(back[k], v) for k, v in tensors.items())
    expect("old.tar", "pytorch-tar", "", tensors)


os.makedirs(HERE, exist_ok=True)
for old in os.listdir(HERE):
    os.unlink(at(old))
write_torch()
write_safetensors()
write_numpy()
write_tar()
with open(at("expected.tsv"), "w") as f:
    f.write("# made by tests/golden/make_arrays.py with torch %s, numpy %s\n" %
            (torch.__version__, np.__version__))
    for row in rows:
        f.write("\t".join(row) + "\n")
print(len(rows), "arrays in", len(os.listdir(HERE)) - 1, "files")
