#!/usr/bin/env python3
"""Synthetic features for the score benchmark: class prototype + noise, rectified.

  make_synthetic.py -o DIR [--train 20000] [--id 5000] [--ood 4x2000] [--dim 2048] [--classes 1000]

Writes train, id, ood1..oodK as .npy (float32 [n,d]), .pkl (what the published scripts read) and .h5
(features, labels; head/weight, head/bias), fc.pkl = (w [c,d], b [c]) and train.txt, a list of
`name label` lines.  OOD sets blend two prototypes and shrink towards the mean by growing amounts.
About 40 % of the entries are zero.  Does nothing when DIR already holds the same request."""
import argparse
import json
import os
import pickle

import numpy as np

p = argparse.ArgumentParser()
p.add_argument("-o", "--out", required=True)
p.add_argument("--train", type=int, default=20000)
p.add_argument("--id", type=int, default=5000)
p.add_argument("--ood", default="4x2000")
p.add_argument("--dim", type=int, default=2048)
p.add_argument("--classes", type=int, default=1000)
p.add_argument("--seed", type=int, default=1)
a = p.parse_args()
stamp = os.path.join(a.out, "request.json")
if os.path.exists(stamp) and json.load(open(stamp)) == {**vars(a), "out": None, "version": 4}:
    raise SystemExit(0)
os.makedirs(a.out, exist_ok=True)
sets, rows = (int(v) for v in a.ood.split("x"))
rng = np.random.default_rng(a.seed)
c, d = a.classes, a.dim
# Classes come in families of twenty that resemble each other, so that some are confused.
family = rng.standard_normal((c // 20 + 1, d), dtype=np.float32)
proto = 0.3 + 0.25 * family[np.arange(c) // 20] + 0.1 * rng.standard_normal((c, d), dtype=np.float32)
# A few directions of noise carry most of it, as in real features: not all dimensions are equal.
mix = rng.standard_normal((64, d), dtype=np.float32) / 8


def features(centre):
    noise = rng.standard_normal(centre.shape, dtype=np.float32)
    noise += 0.5 * (rng.standard_normal((len(centre), 64), dtype=np.float32) @ mix)
    return np.maximum(centre + noise, 0)


labels = {"train": np.arange(a.train) % c, "id": rng.integers(0, c, a.id)}
data = {name: features(proto[y]) for name, y in labels.items()}
for k in range(sets):
    i, j = rng.integers(0, c, (2, rows))
    t = (0.35 + 0.05 * k) * np.ones((rows, 1), np.float32)
    data[f"ood{k + 1}"] = features((1 - 0.08 * k) * (t * proto[i] + (1 - t) * proto[j]))
    labels[f"ood{k + 1}"] = np.full(rows, -1)
mean = data["train"].mean(0)
# Not centred to the bit: a head of exact rank c - 1 would put ViM's origin at infinity.
w = proto - 0.8 * proto.mean(0)
w = (w * (25 / np.square(w).sum(1, keepdims=True).mean())).astype(np.float32)
b = (0.1 * rng.standard_normal(c) - (w * mean).sum(1)).astype(np.float32)
predicted = (data["train"] @ w.T + b).argmax(1)
right = (data["id"] @ w.T + b).argmax(1) == labels["id"]
assert len(np.unique(predicted)) == c, "a class is never predicted: KL matching would have no template"


def dump(name, value):
    with open(os.path.join(a.out, name), "wb") as f:
        pickle.dump(value, f)


try:
    import h5py
except ImportError:
    h5py = None
for name, x in data.items():
    np.save(os.path.join(a.out, name + ".npy"), x)
    dump(name + ".pkl", x)
    if h5py:
        with h5py.File(os.path.join(a.out, name + ".h5"), "w") as f:
            f["features"], f["labels"] = x, labels[name].astype(np.int64)
            f["head/weight"], f["head/bias"] = w, b
dump("fc.pkl", (w, b))
with open(os.path.join(a.out, "train.txt"), "w") as f:
    f.writelines(f"train/{i}.jpg {y}\n" for i, y in enumerate(labels["train"]))
with open(stamp, "w") as f:
    json.dump({**vars(a), "out": None, "version": 4}, f)
print(f"{a.out}: train {a.train}, id {a.id}, {sets} x {rows} ood, d {d}, c {c}; "
      f"id accuracy {right.mean():.3f}, zeros {(data['id'] == 0).mean():.2f}, "
      f"max logit mean {(data['id'] @ w.T + b).max(1).mean():.1f}")
