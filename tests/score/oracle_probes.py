#!/usr/bin/env python3
"""The methods over tables of /probes, against the formulas in float64, end to end: oracle_probes.py PATH/TO/score

Files are written here with h5py as `extract` names its tables; what the tables hold is drawn, so that nothing depends on a
network.  Prints TAP; every check states its tolerance and how much of it was used."""
import json
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np
from scipy.special import logsumexp, softmax

score = os.path.abspath(sys.argv[1])
F32, F64 = np.float32, np.float64
C, D, LAYERS = 5, 16, {"avgpool": 16, "layer3": 12, "layer2": 8, "layer1": 6}
count, failed = 0, False


def ok(good, words):
    global count, failed
    count += 1
    failed |= not good
    print("ok" if good else "not ok", count, "-", words, flush=True)


class Set:
    """One feature file: arrays by dataset name."""

    def __init__(self, rng, n, shift, w, b):
        self.n = n
        h = np.maximum(rng.normal(size=(n, D)) + 0.4 + shift * rng.normal(size=D), 0).astype(F32)
        self.v = {"features": h, "labels": rng.integers(0, C, n), "head/weight": w, "head/bias": b}
        self.options = {}

    def __getitem__(self, name):
        x = self.v[name]
        return x.astype(F64) if x.dtype in (np.float32, np.float16) else x

    def probe(self, name, x, dtype=F32):
        self.v["probes/" + name] = x.astype(dtype)

    def write(self, path, bad=()):
        with h5py.File(path, "w") as f:
            for k, x in self.v.items():
                f[k] = x
            status = np.ones(self.n, np.uint8)
            status[list(bad)] = 3
            f["status"] = status
            if self.options:
                f["provenance"] = np.bytes_(json.dumps({"probes": [
                    {"name": k, "options": o} for k, o in self.options.items()]}))


def z_of(s):
    return s["features"] @ s["head/weight"].T + s["head/bias"]


def make(seed):
    rng = np.random.default_rng(seed)
    w, b = rng.normal(size=(C, D)).astype(F32) / 3, rng.normal(size=C).astype(F32) / 5
    sets = {name: Set(rng, n, shift, w, b) for name, n, shift in
            (("train", 400, 0), ("id", 90, 0), ("near", 70, 0.5), ("far", 60, 1), ("val", 150, 0), ("val_ood", 80, 0.7))}
    for name, s in sets.items():
        shift = {"near": 0.5, "far": 1.0, "val_ood": 0.7}.get(name, 0.0)
        for t in ("1", "1000"):
            for probe in ("odin", "iodin"):
                s.probe(f"{probe}/T={t},eps=0.0014/logits", z_of(s) + rng.normal(size=(s.n, C)) / 4)
        for block in ("last", "earlier"):
            s.probe(f"rankfeat/{block}/logits", z_of(s) * (0.8 - shift / 3) + rng.normal(size=(s.n, C)) / 4)
            s.probe(f"rankfeat/{block}/features", np.maximum(s["features"] - rng.random(D) / 2, 0))
        for r in (1, 2):
            for tail in ("", ",rankfeat"):
                s.probe(f"rankweight/removals={r}{tail}/logits", z_of(s) / r + rng.normal(size=(s.n, C)) / 4)
    return sets


def run(tmp, sets, methods, extra=(), json_out=False):
    path = {k: os.path.join(tmp, k + ".h5") for k in sets}
    args = [score, "run", "-q", "--train", path["train"], "--id", path["id"], "--ood", path["near"], path["far"],
            "--val-id", path["val"], "--val-ood", path["val_ood"], "--methods", methods,
            "--scores", os.path.join(tmp, "s.h5"), "--json", os.path.join(tmp, "r.json"), *extra]
    p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if p.returncode != 0:
        return None, p.stdout
    with h5py.File(os.path.join(tmp, "s.h5")) as f:
        return {k: v[:].astype(F64) for k, v in f["scores"].items()}, p.stdout


def compare(name, got, want, limit):
    """Error over the larger of the value and the spread of the scores."""
    scale = np.maximum(np.abs(want), np.std(want))
    off = float(np.max(np.abs(got - want) / scale))
    ok(off <= limit, f"{name}: off by {off:.1e} of the score or the spread, allowed {limit:.0e}")


def tests_of(sets, f):
    return np.concatenate([f(sets[k]) for k in ("id", "near", "far")])


def msp(z, t=1.0):
    return softmax(z / t, axis=1).max(1)


def clip(x, c):
    return np.minimum(x, c)


def simple():
    """name -> (spec, formula of one set)"""
    out = {}
    for t in ("1", "1000"):
        for probe in ("odin", "iodin"):
            out[f"{probe}:temperature={t}:eps=0.0014"] = lambda s, probe=probe, t=t: msp(
                s[f"probes/{probe}/T={t},eps=0.0014/logits"], float(t))
    out["odin"] = lambda s: msp(z_of(s), 1000)
    last, earlier = "probes/rankfeat/last/", "probes/rankfeat/earlier/"
    out["rankfeat"] = lambda s: logsumexp((s[last + "logits"] + s[earlier + "logits"]) / 2, axis=1)
    out["rankfeat:blocks=last"] = lambda s: logsumexp(s[last + "logits"], axis=1)
    out["rankfeat:blocks=earlier:temperature=2"] = lambda s: 2 * logsumexp(s[earlier + "logits"] / 2, axis=1)
    out["rankfeat:score=msp"] = lambda s: msp((s[last + "logits"] + s[earlier + "logits"]) / 2)
    head = lambda s, x: x @ s["head/weight"].T + s["head/bias"]
    out["rankfeat:clip=0.7"] = lambda s: logsumexp(
        (head(s, clip(s[last + "features"], 0.7)) + head(s, clip(s[earlier + "features"], 0.7))) / 2, axis=1)
    out["rankfeat:blocks=last:clip=0.7"] = lambda s: logsumexp(head(s, clip(s[last + "features"], 0.7)), axis=1)
    for r in (1, 2):
        out[f"rankweight:removals={r}"] = lambda s, r=r: logsumexp(s[f"probes/rankweight/removals={r},rankfeat/logits"], axis=1)
        out[f"rankweight:removals={r}:feature=no"] = lambda s, r=r: logsumexp(s[f"probes/rankweight/removals={r}/logits"], axis=1)
    return out


def check_simple(tmp, sets):
    for spec, f in simple().items():
        got, words = run(tmp, sets, spec)
        if got is None:
            ok(False, f"{spec}: {words}")
            continue
        compare(spec, list(got.values())[0], tests_of(sets, f), 1e-6)
    got, _ = run(tmp, sets, "rankweight:removals=published")
    want = np.concatenate([logsumexp(sets[k][f"probes/rankweight/removals={r},rankfeat/logits"], axis=1)
                           for k, r in (("id", 1), ("near", 2), ("far", 2))])
    compare("rankweight:removals=published, ID by one removal, OOD by two", list(got.values())[0], want, 1e-6)


def says(tmp, sets, spec, words, extra=()):
    got, out = run(tmp, sets, spec + ",msp", extra)
    line = next((l for l in out.splitlines() if words in l), None)
    ok(got is not None and spec.split(":")[0] not in got and line is not None,
       f"{spec} is left out, saying '{words}'" + ("" if line else ": " + out[-300:]))


def check_missing(tmp, sets):
    says(tmp, sets, "odin:eps=0.5", "has no /probes/odin/T=1000,eps=0.5/logits (extract with --probe odin:T=1000,eps=0.5)")
    says(tmp, sets, "rankweight:removals=3", "(extract with --probe rankweight)")
    del sets["far"].v["probes/rankfeat/earlier/logits"]
    sets["far"].write(os.path.join(tmp, "far.h5"))
    says(tmp, sets, "rankfeat", "set 'far' has no /probes/rankfeat/earlier/logits")
    got, _ = run(tmp, sets, "rankfeat:blocks=last")
    ok(got is not None and len(got) == 1, "what another block needs is there")
    sets["id"].options, sets["near"].options = {"odin": {"std": "none"}}, {"odin": {"std": "imagenet"}}
    for k in ("id", "near"):
        sets[k].write(os.path.join(tmp, k + ".h5"))
    says(tmp, sets, "odin:eps=0.0014", "probe odin was run with different options for the sets 'id' and 'near'")
    got, _ = run(tmp, sets, "odin")
    ok(got is not None and len(got) == 1, "which is nothing to odin without a step")


def check_rows(tmp, sets):
    """Bad rows and half precision."""
    s = sets["id"]
    s.probe("rankfeat/last/logits", s["probes/rankfeat/last/logits"], np.float16)
    s.write(os.path.join(tmp, "id.h5"), bad=(0, 17, 18, 89))
    got, _ = run(tmp, sets, "rankfeat:blocks=last")
    want = logsumexp(s["probes/rankfeat/last/logits"], axis=1)[[i for i in range(s.n) if i not in (0, 17, 18, 89)]]
    compare("f16 tables, bad rows left out", list(got.values())[0][: s.n - 4], want, 1e-6)
    s.v["probes/rankfeat/last/logits"][40, 2] = np.nan
    s.write(os.path.join(tmp, "id.h5"), bad=(0, 17, 18, 89))
    got, words = run(tmp, sets, "rankfeat:blocks=last")
    ok(got is None and "row 37" in words and "rankfeat/last/logits" in words, "a NaN in a table is refused, with set, row and table")


CHECKS = [check_simple, check_missing, check_rows]


def main():
    for check in CHECKS:
        with tempfile.TemporaryDirectory() as tmp:
            sets = make(7)
            for k, s in sets.items():
                s.write(os.path.join(tmp, k + ".h5"))
            check(tmp, sets)
    print(f"1..{count}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
