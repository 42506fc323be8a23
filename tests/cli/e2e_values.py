#!/usr/bin/env python3
"""What 70_run.t says about feature files, read by h5py and computed by numpy.

  e2e_values.py plain FILE LIST [CHECKPOINT]   paths and labels of the list, status ok, head, logits
  e2e_values.py labels FILE L,L,...
  e2e_values.py status FILE S,S,...            and NaN exactly where the status is not 1
  e2e_values.py rows FILE I,I,... PATH,...     these rows have these paths and finite values
  e2e_values.py only FILE WHOLE WHAT           FILE has WHAT of features, logits, and as WHOLE has it
  e2e_values.py same FILE WHOLE NAME...        equal to the bit over FILE's rows
  e2e_values.py permuted FILE WHOLE            the same images in another order, to the bit
  e2e_values.py near FILE WHOLE R              relative L2 of each image in each dataset at most R
  e2e_values.py taps FILE NAME=C[,H,W]...      shapes; mean, sum, max of the stored map
  e2e_values.py progress LINES TOTAL           JSON lines of --progress json
  e2e_values.py json OUTPUT FILE               `inspect --json` of a checkpoint or feature file
Exit 0 when all of it holds; otherwise the first thing that does not.
"""
import json
import os
import sys

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))


def need(ok, *words):
    if not ok:
        sys.exit(" ".join(map(str, words)))


def numbers(text):
    return [int(x) for x in text.split(",")]


def bits(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def safetensors(path):
    with open(path, "rb") as f:
        blob = f.read()
    n = int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8:8 + n])
    header.pop("__metadata__", None)
    return {k: np.frombuffer(blob[8 + n:][t["data_offsets"][0]:t["data_offsets"][1]], np.float32).reshape(t["shape"])
            for k, t in header.items() if t["dtype"] == "F32"}


def plain(file, listed, checkpoint=None):
    with open(listed, encoding="utf-8") as f:
        rows = [line.split() for line in f.read().splitlines() if line]
    with h5py.File(file, "r") as f:
        need([p.decode() for p in f["paths"][:]] == [r[0] for r in rows], "paths differ from the list")
        need(list(f["labels"][:]) == [int(r[1]) if len(r) > 1 else -1 for r in rows], "labels differ")
        need((f["status"][:] == 1).all(), "status", f["status"][:])
        h, z, w, b = (f[k][:] for k in ("features", "logits", "head/weight", "head/bias"))
        need(f.attrs["format"].decode() == "outpost-features" and f.attrs["complete"] == 1, "attributes")
        p = json.loads(f["provenance"][()])
        need(p["model"] == "demo" and p["list"]["rows"] == len(rows), "provenance")
    for name, v in (("features", h), ("logits", z)):
        need(v.dtype == np.float32 and len(v) == len(rows) and np.isfinite(v).all(), name, v.shape, v.dtype)
    need(len(rows) == 1 or h.std(0).max() > 0, "every image has the same features")
    want = h.astype(np.float64) @ w.astype(np.float64).T + b
    worst = (np.linalg.norm(z - want, axis=1) / np.linalg.norm(want, axis=1)).max()
    need(worst <= 1e-6, "logits are not features head: relative", worst)
    print(f"used {worst:.1e} of 1e-6")
    if checkpoint:
        t = safetensors(checkpoint)
        need(bits(w, t["fc.weight"]) and bits(b, t["fc.bias"]), "/head is not the checkpoint's")


def labels(file, want):
    with h5py.File(file, "r") as f:
        need(list(f["labels"][:]) == numbers(want), "labels", f["labels"][:])


def status(file, want):
    with h5py.File(file, "r") as f:
        need(list(f["status"][:]) == numbers(want), "status", f["status"][:])
        bad = f["status"][:] != 1
        for k in ("features", "logits"):
            need(np.isnan(f[k][:][bad]).all() and np.isfinite(f[k][:][~bad]).all(), k, "NaN are elsewhere")


def rows(file, at, paths):
    with h5py.File(file, "r") as f:
        for i, p in zip(numbers(at), paths.split(",")):
            need(f["paths"][i].decode() == p and np.isfinite(f["features"][i]).all(), "row", i, f["paths"][i])


def only(file, whole, what):
    with h5py.File(file, "r") as f, h5py.File(whole, "r") as g:
        need([k for k in ("features", "logits") if k in f] == [what], "datasets", list(f))
        need(bits(f[what][:], g[what][:]), what, "differs")


def same(file, whole, *names):
    with h5py.File(file, "r") as f, h5py.File(whole, "r") as g:
        for k in names:
            need(bits(f[k][:], g[k][:len(f[k])]), k, "differs")


def permuted(file, whole):
    with h5py.File(file, "r") as f, h5py.File(whole, "r") as g:
        place = {p: i for i, p in enumerate(g["paths"][:])}
        at = [place[p] for p in f["paths"][:]]
        need(at != sorted(at), "the order is the same")
        for k in ("features", "logits", "labels"):
            need(bits(f[k][:], g[k][:][at]), k, "differs")


def near(file, whole, limit):
    """Relative L2 of each image in each dataset."""
    worst = {}
    with h5py.File(file, "r") as f, h5py.File(whole, "r") as g:
        names = ["features", "logits"] + (["taps/" + k for k in f["taps"]] if "taps" in f else [])
        for k in names:
            a, b = (x[k][:].astype(np.float64).reshape(len(x[k]), -1) for x in (f, g))
            worst[k] = float((np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)).max())
    print(", ".join(f"{k} {v:.1e}" for k, v in worst.items()))
    need(max(worst.values()) <= float(limit), "above", limit)


def taps(file, *shapes):
    worst = 0
    with h5py.File(file, "r") as f:
        for item in shapes:
            name, _, shape = item.partition("=")
            shape = tuple(numbers(shape))
            at = "taps/" + name
            v = f[at][:].astype(np.float64)
            need(f[at].dtype == np.float32 and v.shape[1:] == shape, at, v.shape)
            v = v.reshape(len(v), shape[0], -1)
            need(v.std() > 0, at, "is constant")
            for how, want, size in (("mean", v.mean(2), np.abs(v).mean(2)), ("sum", v.sum(2), np.abs(v).sum(2)),
                                    ("max", v.max(2), None)):
                got = f[f"{at}:{how}"][:]
                need(got.dtype == np.float32 and got.shape == want.shape, at, how, got.shape)
                if size is None:
                    need(np.array_equal(got.astype(np.float64), want), at, "max differs")
                else:
                    worst = max(worst, float((np.abs(got - want) / np.maximum(size, 1e-30)).max()))
    need(worst <= 2e-6, "mean or sum differs by", worst, "of the mean absolute value")
    print(f"used {worst:.1e} of 2e-6")


def progress(lines, total):
    total, last = int(total), -1
    with open(lines, encoding="utf-8") as f:
        seen = [json.loads(line) for line in f]
    need(seen, "no line at all")
    for o in seen:
        need(o["total"] == total and last <= o["done"] <= total and o["bad"] == 0, o)
        need(o["images_per_s"] >= 0 and o["elapsed_s"] >= 0 and o["bottleneck"] in ("-", "decode", "network", "writer"), o)
        last = o["done"]
    need(last == total, "ends at", last)


def walk(o):
    yield o
    for v in o.values() if isinstance(o, dict) else o if isinstance(o, list) else ():
        yield from walk(v)


def json_of(output, file):
    with open(output, "rb") as f:
        o = json.loads(f.read().decode("utf-8"))
    if h5py.is_hdf5(file):
        with h5py.File(file, "r") as f:
            for name in ("features", "logits"):
                shape = list(f[name].shape)
                need(any(isinstance(v, dict) and str(v.get("name", "")).strip("/") == name and v.get("shape") == shape
                         for v in walk(o)), name, "is not in it with its shape")
        return
    got = {t["name"]: tuple(t["shape"]) for t in o["tensors"]}
    if file.endswith(".safetensors"):
        need(got == {k: v.shape for k, v in safetensors(file).items()}, "tensors differ")
        return
    try:
        from make_net_golden import read_checkpoint
    except ImportError:
        need(len(got) > 10, "too few tensors")
        print("used no torch: names not compared")
        return
    want = {k: tuple(v.shape) for k, v in read_checkpoint(file).items()}
    prefix = o.get("prefix", "")
    got = {k[len(prefix):] if k.startswith(prefix) else k: v for k, v in got.items()}
    need(got == want, "tensors differ:", sorted(set(got.items()) ^ set(want.items()))[:4])


if __name__ == "__main__":
    {"plain": plain, "labels": labels, "status": status, "rows": rows, "only": only, "same": same, "permuted": permuted, "near": near, "taps": taps,
     "progress": progress, "json": json_of}[sys.argv[1]](*sys.argv[2:])
