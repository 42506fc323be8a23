#!/usr/bin/python3
"""The independent twin of arrays_check for files that are trusted.

  arrays_reference.py [--torch] FILE...   prints FILE, tab, the same digest as arrays_check

Without --torch nothing is unpickled: safetensors is parsed by hand, .npy/.npz by numpy with
allow_pickle=False, PyTorch zips and legacy streams by walking pickletools.genops with a small
interpreter that knows tensors only.  With --torch the files are loaded by torch.load: only for
checkpoints that are trusted.
"""
import hashlib
import json
import pickletools
import struct
import sys
import zipfile

import numpy as np

WRAPPERS = ["state_dict_ema", "state_dict", "model", "model_ema", "net", "model_state_dict", "model_state"]
ST = {"F64": ("<f8", "F64"), "F32": ("<f4", "F32"), "F16": ("<f2", "F16"), "BF16": ("<u2", "BF16"),
      "I64": ("<i8", "I64"), "I32": ("<i4", "I32"), "I16": ("<i2", "I16"), "I8": ("i1", "I8"),
      "U8": ("u1", "U8"), "BOOL": ("?", "BOOL")}
STORAGE = {"DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
           "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8",
           "ByteStorage": "U8", "BoolStorage": "BOOL"}


class Pid:
    def __init__(self, value):
        self.value = value


class Call:
    def __init__(self, name, args):
        self.name, self.args, self.state = name, args, None


def interpret(data, at):
    """One pickle -> (value, end).  Globals are strings, calls are noted; nothing is imported or run."""
    stack, marks, memo = [], [], {}
    for op, arg, pos in pickletools.genops(data[at:]):
        n = op.name
        if n in ("PROTO", "FRAME"):
            pass
        elif n == "STOP":
            return stack[-1], at + pos + 1
        elif n == "MARK":
            marks.append(len(stack))
        elif n in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"):
            stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[n]())
        elif n == "TUPLE":
            k = marks.pop()
            stack[k:] = [tuple(stack[k:])]
        elif n in ("TUPLE1", "TUPLE2", "TUPLE3"):
            k = int(n[-1])
            stack[-k:] = [tuple(stack[-k:])]
        elif n in ("BINPUT", "LONG_BINPUT", "PUT"):
            memo[arg] = stack[-1]
        elif n == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif n in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(memo[arg])
        elif n == "GLOBAL":
            stack.append("global " + arg)
        elif n == "STACK_GLOBAL":
            name, module = stack.pop(), stack.pop()
            stack.append("global %s %s" % (module, name))
        elif n in ("REDUCE", "NEWOBJ"):
            args, name = stack.pop(), stack.pop()
            stack.append({} if name == "global collections OrderedDict" else Call(name, args))
        elif n == "BUILD":
            state = stack.pop()
            if isinstance(stack[-1], Call):
                stack[-1].state = state
        elif n == "BINPERSID":
            stack[-1] = Pid(stack[-1])
        elif n == "SETITEM":
            value, key = stack.pop(), stack.pop()
            if isinstance(stack[-1], dict):
                stack[-1][key] = value
        elif n == "SETITEMS":
            k = marks.pop()
            items = stack[k:]
            del stack[k:]
            if isinstance(stack[-1], dict):
                stack[-1].update(zip(items[::2], items[1::2]))
        elif n == "APPEND":
            value = stack.pop()
            if isinstance(stack[-1], list):
                stack[-1].append(value)
        elif n == "APPENDS":
            k = marks.pop()
            items = stack[k:]
            del stack[k:]
            if isinstance(stack[-1], list):
                stack[-1].extend(items)
        elif n in ("NONE", "NEWTRUE", "NEWFALSE"):
            stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[n])
        elif arg is not None:
            stack.append(arg)
        else:
            raise ValueError("opcode " + n)
    raise ValueError("no STOP")


def tensors_of(value, storage, name=""):
    if isinstance(value, dict):
        for k, v in value.items():
            yield from tensors_of(v, storage, name + "." + str(k) if name else str(k))
    elif isinstance(value, (list, tuple)):
        for i, v in enumerate(value):
            yield from tensors_of(v, storage, name + "." + str(i) if name else str(i))
    elif isinstance(value, Call) and value.name == "global torch._utils _rebuild_parameter":
        yield from tensors_of(value.args[0], storage, name)
    elif isinstance(value, Call) and value.name in ("global torch._utils _rebuild_tensor",
                                                    "global torch._utils _rebuild_tensor_v2"):
        pid, offset, size, stride = value.args[:4]
        kind = STORAGE[pid.value[1].split()[-1]]
        flat = np.frombuffer(storage(pid.value), dtype=ST[kind][0])
        item = flat.dtype.itemsize
        need = 1 + offset + sum((n - 1) * s for n, s in zip(size, stride)) if all(size) else 0
        assert need <= len(flat)
        view = np.lib.stride_tricks.as_strided(flat[offset:], size, [s * item for s in stride])
        yield name, kind, tuple(size), np.ascontiguousarray(view).tobytes()
    elif isinstance(value, Call) and value.name.endswith("multiarray _reconstruct"):
        _, shape, dtype, fortran, data = value.state
        kind = {"f8": "F64", "f4": "F32", "i8": "I64", "i4": "I32"}[dtype.args[0]]
        order = dtype.state[1].replace("|", "<")
        if isinstance(data, Call):
            data = data.args[0].encode("latin1")
        a = np.frombuffer(data if isinstance(data, bytes) else data.encode("latin1"), order + dtype.args[0])
        a = a.reshape(shape, order="F" if fortran else "C")
        yield name, kind, tuple(shape), np.ascontiguousarray(a).astype("<" + dtype.args[0]).tobytes()


def unwrap(value):
    if isinstance(value, dict):
        for w in WRAPPERS:
            if isinstance(value.get(w), dict) and any(
                    isinstance(v, (Call, dict)) for v in value[w].values()):
                return value[w]
    return value


def read_torch_zip(path):
    with zipfile.ZipFile(path) as z:
        pkl = [n for n in z.namelist() if n == "data.pkl" or n.endswith("/data.pkl")][0]
        root = pkl[:-len("data.pkl")]
        value, _ = interpret(z.read(pkl), 0)
        yield from tensors_of(unwrap(value), lambda pid: z.read(root + "data/" + pid[2]))


def read_legacy(path):
    data = open(path, "rb").read()
    at, value = 0, []
    for _ in range(5):
        v, at = interpret(data, at)
        value.append(v)
    kinds, storages = {}, {}

    def collect(v):
        if isinstance(v, Pid):
            kinds[v.value[2]] = STORAGE[v.value[1].split()[-1]]
        elif isinstance(v, dict):
            for x in v.values():
                collect(x)
        elif isinstance(v, (list, tuple)):
            for x in v:
                collect(x)
        elif isinstance(v, Call):
            collect(v.args)
    collect(value[3])
    for key in value[4]:
        n = struct.unpack("<q", data[at:at + 8])[0] * np.dtype(ST[kinds[key]][0]).itemsize
        storages[key] = data[at + 8:at + 8 + n]
        at += 8 + n
    yield from tensors_of(unwrap(value[3]), lambda pid: storages[pid[2]])


def read_numpy(path, a, name):
    kind = {"f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8",
            "u1": "U8", "b1": "BOOL"}[a.dtype.str[1:]]
    yield name, kind, a.shape, np.ascontiguousarray(a).astype(a.dtype.newbyteorder("<")).tobytes()


def read(path):
    head = open(path, "rb").read(16)
    if head[:4] == b"PK\3\4":
        if any(n.endswith(".npy") for n in zipfile.ZipFile(path).namelist()):
            with np.load(path, allow_pickle=False) as z:
                for n in z.files:
                    yield from read_numpy(path, z[n], n)
        else:
            yield from read_torch_zip(path)
    elif head[:6] == b"\x93NUMPY":
        yield from read_numpy(path, np.load(path, allow_pickle=False), "")
    elif head[8:9] == b"{":
        data = open(path, "rb").read()
        n = struct.unpack("<Q", data[:8])[0]
        for name, e in json.loads(data[8:8 + n]).items():
            if name != "__metadata__":
                b, c = e["data_offsets"]
                yield name, e["dtype"], tuple(e["shape"]), data[8 + n + b:8 + n + c]
    elif head[2:3] == b"\x8a" or head[:2] == b"L1" or head[11:12] == b"\x8a":
        yield from read_legacy(path)
    else:
        yield from tensors_of(unwrap(interpret(open(path, "rb").read(), 0)[0]), None)


def read_by_torch(path):
    import torch
    names = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
             torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
             torch.uint8: "U8", torch.bool: "BOOL"}
    value = torch.load(path, map_location="cpu")
    for w in WRAPPERS:
        if isinstance(value.get(w), dict):
            value = value[w]
            break
    for k, t in value.items():
        t = t.detach().contiguous()
        raw = (t.view(torch.int16) if t.dtype == torch.bfloat16 else t).numpy().tobytes()
        yield k, names[t.dtype], tuple(t.shape), raw


by_torch = sys.argv[1:2] == ["--torch"]
for file in sys.argv[1 + by_torch:]:
    h = hashlib.sha256()
    arrays = sorted((read_by_torch if by_torch else read)(file), key=lambda x: x[0].encode())
    for name, kind, shape, data in arrays:
        h.update(name.encode() + b"\0" + ",".join([kind] + [str(int(n)) for n in shape]).encode() + b"\0" + data)
    print(file + "\t" + h.hexdigest())
