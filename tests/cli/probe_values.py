#!/usr/bin/env python3
"""Checks of 77_probes.t on feature files: probe_values.py CHECK ARGUMENTS...; exit 1 and a line where one fails."""
import hashlib
import json
import sys

import h5py
import numpy as np


def need(ok, *words):
    if not ok:
        print(*words)
        sys.exit(1)


def datasets(f):
    out = {}
    f.visititems(lambda k, v: out.__setitem__(k, v) if isinstance(v, h5py.Dataset) and not k.startswith("digests/") else None)
    return out


def made(file):
    shapes = {
        "gradients/layer2": (32, 16, 16), "gradients/layer3:mean": (64,), "gradients/image": (3, 32, 32),
        "probes/odin/T=1,eps=0.0014/logits": (10,), "probes/odin/T=1000,eps=0.01/logits": (10,),
        "probes/iodin/T=1000,eps=0.0014/logits": (10,), "probes/nac/layer1": (16,), "probes/nac/avgpool": (64,),
        "probes/nac/layer2:activation": (32,), "probes/nac/layer2:gradient": (32,), "probes/adascale/features": (64,),
        "probes/gap/layer1": (16,), "probes/gap/layer2:channels": (256,), "probes/rankfeat/last/logits": (10,),
        "probes/rankfeat/earlier/features": (64,), "probes/gram/layer2": (2, 32),
        "probes/rankweight/removals=1/logits": (10,), "probes/rankweight/removals=2,rankfeat/logits": (10,),
    }
    with h5py.File(file, "r") as f:
        all_of = datasets(f)
        for name, shape in shapes.items():
            need(name in all_of, "no", name)
            need(all_of[name].shape[1:] == shape, name, all_of[name].shape)
        for name, v in all_of.items():
            half = name in ("gradients/layer3:mean", "taps/layer1:max")
            if not name.startswith(("gradients", "probes", "taps")):
                continue
            need(v.dtype == (np.float16 if half else np.float32), name, v.dtype)
            need(np.isfinite(v[:]).all() and np.abs(v[:].astype(np.float64)).max() > 0, name, "has no values")
            need(("made" in v.attrs) == (not name.startswith("taps")), name, "how it was made")
            if "made" in v.attrs:
                how = json.loads(v.attrs["made"])
                need(name.split("/")[1].split(":")[0] in (how.get("probe"), how.get("gradient")), name, how)
        o = json.loads(f["probes/odin/T=1,eps=0.01/logits"].attrs["made"])
        need(o == {"probe": "odin", "T": 1, "eps": 0.01, "std": "none", "zero": "plus"}, o)
        o = json.loads(f["probes/nac/layer2:gradient"].attrs["made"])
        need(o["layer"] == "layer2" and o["piece"] == "gradient" and o["layers"] == ["avgpool", "layer2", "layer1"], o)
        o = json.loads(f["gradients/layer2"].attrs["made"])
        need(o == {"gradient": "layer2", "scalar": "ce:2"}, o)


def provenance(file):
    with h5py.File(file, "r") as f:
        o = json.loads(f["provenance"].asstr()[()])
        need([p["name"] for p in o["probes"]] == ["odin", "iodin", "nac", "adascale", "gap", "gap", "rankfeat", "gram", "rankweight"], o["probes"])
        by = {p["name"]: p["options"] for p in o["probes"]}
        need(by["odin"] == {"T": [1, 1000], "eps": [0.0014, 0.01], "std": "none", "zero": "plus"}, by["odin"])
        need(by["rankfeat"]["last"] == "layer3" and by["rankfeat"]["earlier"] == "layer2", by["rankfeat"])
        need(by["rankweight"]["weights"] == ["fc.weight"], by["rankweight"])
        need("--probe odin:T=1/1000,eps=0.0014/0.01" in o["command"] and "--scalar ce:2" in o["command"], o["command"])
        listed = {x["name"]: x for x in o["outputs"]}
        need(listed["gradients/layer3:mean"]["type"] == "f16" and "type" not in listed["gradients/layer2"], listed)
        for name, v in datasets(f).items():
            if name.startswith(("probes", "gradients", "taps")):
                need(listed[name]["shape"] == list(v.shape[1:]), name, listed[name])


def same(file, whole, *names):
    with h5py.File(file, "r") as f, h5py.File(whole, "r") as g:
        for k in names:
            need(f[k][:].tobytes() == g[k][:].tobytes(), k, "differs")


def halves(file, whole):
    with h5py.File(file, "r") as f, h5py.File(whole, "r") as g:
        for k in ("features", "logits"):
            need(f[k].dtype == np.float16 and np.array_equal(f[k][:], g[k][:].astype(np.float16)), k)
        for k in ("gradients/layer3:mean", "taps/layer1:max"):
            need(g[k].dtype == np.float16 and np.array_equal(g[k][:], f[k][:].astype(np.float16)), k)


def flagged(file):
    with h5py.File(file, "r") as f:
        bad = f["status"][:] != 1
        need(bad.any() and (f["status"][:][bad] == 4).all(), f["status"][:])
        for name, v in datasets(f).items():
            if name in ("features", "logits") or name.startswith("probes/"):
                rows = v[:].reshape(len(v), -1)
                need(np.isnan(rows[bad]).all() and np.isfinite(rows[~bad]).all(), name)


def auroc(a, b, limit):
    rows = [{r["method"]: r["auroc"] for r in json.load(open(x))["rows"]} for x in (a, b)]
    off = {m: abs(rows[0][m] - rows[1][m]) for m in rows[0]}
    print(off)
    need(set(rows[0]) == set(rows[1]) and max(off.values()) <= float(limit), rows)


def rows(file, n):
    with h5py.File(file, "r") as f:
        need(len(f["status"]) == int(n), len(f["status"]))


def statistics(folder):
    """good, other: fit for layer1 (and mdsens) of the demo network; the rest must be refused."""
    rng = np.random.default_rng(1)
    means, precision = rng.normal(size=(3, 16)).astype("f4"), np.eye(16)

    def write(name, m, p, layer="layer1"):
        with h5py.File(f"{folder}/{name}.h5", "w") as f:
            f.attrs["format"], f.attrs["format_version"] = "outpost-stats", 1
            f[f"layers/{layer}/means"], f[f"layers/{layer}/precision"] = m, p
    write("good", means, precision)
    write("other", means + 1, precision)
    write("lacking", means, precision, "layer2")
    write("narrow", means[:, :8], precision[:8, :8])
    write("lopsided", means, precision[:8])
    broken = means.copy()
    broken[1, 3] = np.nan
    write("nan", broken, precision)
    write("text", np.arange(48).reshape(3, 16), precision)


def digest(file, stats):
    with h5py.File(file, "r") as f:
        o = json.loads(f["provenance"].asstr()[()])
    want = {"name": "good.h5", "sha256": hashlib.sha256(open(stats, "rb").read()).hexdigest()}
    need([p["stats"] for p in o["probes"]] == [want, want] and "--stats good.h5" in o["command"], o["probes"])


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
