"""What h5py says about our files, and what our reader says about h5py's.

  feature_h5py.py ours FILE ROWS WIDTH     checks every value of a file of tests/tools/feature_write.c
  feature_h5py.py make DIR                 writes files that must be read (good-*) and refused (bad-*)
  feature_h5py.py sums DIR LISTING         compares `feature_read --sums` with what numpy says
"""
import hashlib
import json
import os
import sys

import h5py
import numpy as np

M = (1 << 64) - 1


def h(x):
    x = ((x + 0x9E3779B97F4A7C15) & M) * 0xBF58476D1CE4E5B9 & M
    x = (x ^ x >> 27) * 0x94D049BB133111EB & M
    return x >> 32


def value(s, row, column):
    v = np.float32(h(s * 1000003 + row * 10007 + column) % 20000)
    return np.float32(v / np.float32(7.0)) - np.float32(1000.0)


def status_of(row):
    if row % 97 == 13:
        return 3
    if row % 131 == 7:
        return 2
    return 4 if row % 211 == 5 else 1


def digests(a):
    """Blocks of 1024 rows of the bytes as stored."""
    if a.ndim == 0:
        return [hashlib.sha256(a.tobytes()).digest()]
    return [hashlib.sha256(a[i:i + 1024].tobytes()).digest() for i in range(0, len(a), 1024)]


def ours(name, rows, width):
    with h5py.File(name, "r") as f:
        assert f.attrs["format"] == b"outpost-features", f.attrs["format"]
        assert f.attrs["format_version"] == 1 and f.attrs["complete"] == 1
        assert [s.decode() for s in f["status"].attrs["status_names"]] == [
            "pending", "ok", "unreadable", "decode error", "non-finite output"]
        assert json.loads(f["provenance"].asstr()[()]) == {"model": "m"}
        x = f["features"][:]
        assert x.dtype == np.float32 and x.shape == (rows, width)
        assert f["taps/layer4"].dtype == np.float16 and f["taps/layer4"].shape == (rows, 3, 2, 2)
        assert f["labels"].dtype == np.int64 and f["status"].dtype == np.uint8
        st = f["status"][:]
        paths = f["paths"].asstr()[:]
        for i in range(rows):
            assert st[i] == status_of(i), (i, st[i])
            assert f["labels"][i] == h(i) % 1001 - 1
            assert paths[i] == "val/n%05d/image_%d.JPEG" % (h(i) % 1000, i), paths[i]
            if st[i] in (2, 3):
                assert np.isnan(x[i]).all() and np.isnan(f["taps/layer4"][i]).all()
                continue
            for k in (0, 1, width - 1):
                assert x[i, k] == value(0, i, k), (i, k, x[i, k])
        w = f["head/weight"][:]
        assert w.shape == (10, width) and w[0, 1] == value(90, 1, 0)
        assert open(name, "rb").read(9)[8] == 0  # superblock 0: HDF5 1.8 and all after it
        # digests by hashlib, of every dataset
        n = 0
        sets = {}
        f.visititems(lambda k, o: sets.__setitem__(k, o) if isinstance(o, h5py.Dataset) else None)
        used = []
        for k, o in sets.items():
            assert o.chunks is None and (o.id.get_offset() is not None or o.size == 0)
            if o.size:
                used.append((o.id.get_offset(), o.id.get_storage_size()))
            if k.startswith("digests/"):
                continue
            raw = np.fromfile(name, np.uint8, o.id.get_storage_size(), offset=o.id.get_offset())
            raw = raw.reshape(o.shape[0], -1) if o.ndim else raw.reshape(())  if raw.size == 1 else raw
            want = digests(raw) if o.ndim else [hashlib.sha256(raw.tobytes()).digest()]
            have = f["digests/" + k][:]
            assert have.shape == (len(want), 32) and f["digests/" + k].attrs["block_rows"] == 1024
            assert [bytes(d) for d in have] == want, k
            n += len(want)
        # and of what lies between the datasets
        data = open(name, "rb").read()
        at, gaps = 0, hashlib.sha256()
        for offset, size in sorted(used):
            gaps.update(data[at:offset])
            at = offset + size
        gaps.update(data[at:])
        assert bytes(f["digests/_metadata"][0]) == gaps.digest()
        print("# %d digests recomputed by hashlib" % (n + 1))


def make(d):
    rng = np.random.default_rng(7)
    x = rng.standard_normal((300, 17)).astype("f4")

    def good(name):
        return h5py.File(os.path.join(d, "good-%s.h5" % name), "w")

    def bad(name):
        return h5py.File(os.path.join(d, "bad-%s.h5" % name), "w")

    with good("plain") as f:
        f["features"] = x
        f["labels"] = np.arange(300)
        f["paths"] = ["a/%d.jpg" % i for i in range(300)]
        f["provenance"] = json.dumps({"model": "other"})
    with good("gzip") as f:
        f.create_dataset("features", data=x, chunks=(64, 5), compression="gzip", shuffle=True, fletcher32=True)
        f.create_dataset("labels", data=np.arange(300, dtype="i2"), chunks=(7,))
    with good("f64") as f:
        f["features"] = x.astype("f8")
        f["logits"] = x.astype("f8")[:, :5]
    with good("big-endian") as f:
        f["features"] = x.astype(">f4")
        f["labels"] = np.arange(300).astype(">i4")
        f["logits"] = x.astype(">f8")[:, :4]
        f["taps/a"] = x.astype(">f2")
    with good("half") as f:
        f["features"] = x.astype("f2")
    with good("fixed-strings") as f:
        f["features"] = x
        f["paths"] = np.array([("é%d" % i).encode() for i in range(300)], dtype=h5py.string_dtype("utf-8", 9))
    with good("unaligned") as f:
        f["paths"] = np.array([b"abc"] * 300, dtype="S3")
        f["status"] = np.ones(300, "u1")[:]
        f["features"] = x
        f["probes/odin/logits"] = x[:, :3]
    with good("latest") as f:
        pass
    with h5py.File(os.path.join(d, "good-latest.h5"), "w", libver="latest") as f:
        f.create_dataset("features", data=x, chunks=(100, 17), maxshape=(None, 17))
        f.create_dataset("logits", data=x, chunks=(100, 17))
    with good("head") as f:
        f["head/weight"] = x[:10]
        f["head/bias"] = x[0, :10]
    with good("empty") as f:
        f["features"] = np.zeros((0, 5), "f4")
    with good("wide-ints") as f:
        f["features"] = x
        f["labels"] = np.array([-1, 2**40] * 150)
        f["u4"] = np.array([2**32 - 1] * 3, "u4")
        f["i1"] = np.array([-128, 127], "i1")
        f["scalar"] = np.float32(3)
    with good("statistics") as f:  # f64 stays f64 in other files of this project
        f.attrs["format"] = "outpost-stats"
        f["mean"] = x[0].astype("f8")
        f["count"] = 300
    with good("scores") as f:
        f.attrs["format"] = "outpost-scores"
        f["scores"] = x
        f["sets"] = ["textures", "scenes"]
    with good("compact") as f:
        dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        dcpl.set_layout(h5py.h5d.COMPACT)
        small = x[:3]
        ds = h5py.h5d.create(f.id, b"features", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple(small.shape), dcpl)
        ds.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(small))

    with bad("schema") as f:
        f["x"] = x
    with bad("vector") as f:
        f["features"] = x[0]
    with bad("int-features") as f:
        f["features"] = np.ones((3, 3), "i8")
    with bad("rows") as f:
        f["features"] = x
        f["labels"] = np.arange(299)
    with bad("soft-link") as f:
        f["data"] = x
        f["features"] = h5py.SoftLink("/data")
    with bad("external-link") as f:
        f["features"] = x
        f["logits"] = h5py.ExternalLink("good-plain.h5", "/features")
    with bad("virtual") as f:
        layout = h5py.VirtualLayout(shape=(300, 17), dtype="f4")
        layout[:] = h5py.VirtualSource("good-plain.h5", "features", shape=(300, 17))
        f.create_virtual_dataset("features", layout)
    with bad("external-storage") as f:
        f.create_dataset("features", (300, 17), "f4", external=[("/etc/passwd", 0, 300 * 17 * 4)])
    with bad("lzf") as f:
        f.create_dataset("features", data=x, compression="lzf")
    with bad("compound") as f:
        f["features"] = np.zeros(3, dtype=[("a", "f4"), ("b", "i4")])
    with bad("bool") as f:
        f["features"] = x
        f["mask"] = np.zeros(300, bool)
    with bad("complex") as f:
        f["features"] = x.astype("c8")
    with bad("rank6") as f:
        f["features"] = np.zeros((1, 1, 1, 1, 1, 2), "f4")
    with bad("sparse-chunks") as f:
        f.create_dataset("features", (1000000, 4096), "f4", chunks=(1024, 4096))
    with bad("never-written") as f:
        f.create_dataset("features", (1 << 40, 1 << 20), "f4")
    with bad("bomb") as f:
        f.create_dataset("features", shape=(1 << 20, 1 << 18), dtype="f4", chunks=(1 << 8, 1 << 18), compression="gzip")
    with bad("vlen-ints") as f:
        ds = f.create_dataset("features", (3,), dtype=h5py.vlen_dtype("i4"))
        ds[0] = [1, 2]
    with bad("strings-elsewhere") as f:
        f["features"] = x
        f["names"] = ["a", "b"]
    with bad("loop") as f:
        f["features"] = x
        g = f.create_group("g")
        g["again"] = f["/"]
    with bad("many") as f:
        f["features"] = x
        for i in range(1100):
            f["d%d" % i] = np.float32(i)
    with bad("null") as f:
        f["features"] = h5py.Empty("f4")
    with bad("truncated") as f:
        f["features"] = x
    os.truncate(os.path.join(d, "bad-truncated.h5"), os.path.getsize(os.path.join(d, "bad-truncated.h5")) - 1)
    with open(os.path.join(d, "bad-userblock.h5"), "wb") as g:
        g.write(b"\0" * 512 + open(os.path.join(d, "good-plain.h5"), "rb").read())


def numpy_sums(name):
    out = {}
    with h5py.File(name, "r") as f:
        sets = {}
        f.visititems(lambda k, o: sets.__setitem__(k, o) if isinstance(o, h5py.Dataset) else None)
        for k, o in sets.items():
            if k in ("paths", "provenance") or h5py.check_string_dtype(o.dtype):
                continue
            a = o[()]
            own = str(f.attrs.get("format", "")).startswith("outpost-")
            t = {"f8": "f8" if own else "f4", "f4": "f4", "f2": "f2", "u1": "u1"}.get(o.dtype.str[1:], "i8")
            a = np.ascontiguousarray(np.asarray(a).astype("<" + t))
            kind = {"f4": "f32", "f8": "f64", "f2": "f16", "u1": "u8", "i8": "i64"}[t]
            shape = "x".join(map(str, o.shape))
            out[k] = ":".join([kind] + ([shape] if shape else []) + [hashlib.sha256(a.tobytes()).hexdigest()])
        paths = ["path=" + s for s in f["paths"].asstr()[:]] if "paths" in f else []
        prov = f["provenance"].asstr()[()] if "provenance" in f else None
    return out, paths, prov


def sums(d, listing):
    seen = 0
    for line in open(listing, encoding="utf-8"):
        name, verdict, _, rest = line.rstrip("\n").split("\t", 3)
        good = os.path.basename(name).startswith("good-")
        assert verdict == ("read" if good else "refused"), line
        seen += 1
        if not good:
            assert rest.startswith(name + ": "), line
            continue
        want, paths, prov = numpy_sums(name)
        if prov is not None:
            rest, _, text = rest.partition(" provenance=")
            assert text == prov, line
        words = rest.split(" ")
        have = dict(w.split(":", 1) for w in words if not w.startswith("path="))
        assert have == want, (name, have, want)
        assert [w for w in words if w.startswith("path=")] == paths, name
    assert seen == len(os.listdir(d)), (seen, len(os.listdir(d)))
    print("# %d files, as h5py and numpy see them" % seen)


if __name__ == "__main__":
    if sys.argv[1] == "ours":
        ours(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    elif sys.argv[1] == "make":
        make(sys.argv[2])
    else:
        sums(sys.argv[2], sys.argv[3])
