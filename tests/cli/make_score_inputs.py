#!/usr/bin/python3
"""Makes tests/cli/data/score/: one small experiment in every format that `score` reads.

  make_score_inputs.py [FOLDER]

Three sets of features around 5 class means in 16 dimensions, and a linear head that classifies them.
train 150 rows with labels, id 80 with labels, texture 50 and far 40 rows.  The .pkl, .npy, .npz and
.h5 of a set hold the same arrays: tests/cli/30_score.t demands the same table from all of them.
Seed 5; numpy, h5py.  Zip and HDF5 files carry no times, so the bytes are those of the versions."""
import io
import os
import pickle
import sys
import zipfile

import h5py
import numpy as np

out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                                         "data/score")
os.makedirs(out, exist_ok=True)
rng = np.random.default_rng(5)
C, D = 5, 16
mean = rng.normal(0, 1.2, (C, D))


def relu(x):
    return np.maximum(x, 0).astype(np.float32)


def near_classes(n, spread):
    y = rng.integers(0, C, n)
    return relu(0.5 + mean[y] + rng.normal(0, spread, (n, D))), y.astype(np.int64)


sets = {"train": near_classes(150, 0.8), "id": near_classes(80, 0.9),
        "texture": (relu(0.5 + rng.normal(0, 1.3, (50, D))), np.full(50, -1, np.int64)),
        "far": (relu(rng.normal(-1.2, 2.0, (40, D))), np.full(40, -1, np.int64))}
w = (mean + rng.normal(0, 0.1, (C, D))).astype(np.float32)
b = (-0.5 * (w.astype(np.float64) * (0.5 + mean)).sum(1)).astype(np.float32)


def path(name):
    return os.path.join(out, name)


def npz(name, **arrays):
    """numpy.savez with a fixed time."""
    with zipfile.ZipFile(path(name), "w", zipfile.ZIP_STORED) as z:
        for key, a in arrays.items():
            raw = io.BytesIO()
            np.lib.format.write_array(raw, a, version=(1, 0))
            z.writestr(zipfile.ZipInfo(key + ".npy", (1980, 1, 1, 0, 0, 0)), raw.getvalue())


for name in ("id", "texture", "far"):  # logits alone, as OpenOOD's users keep them
    npz(name + "_logits.npz", logits=sets[name][0] @ w.T + b, labels=sets[name][1])
# refused: another width, and one row that is not finite
np.save(path("narrow.npy"), sets["far"][0][:, :12])
bad = sets["far"][0].copy()
bad[7, 3] = np.nan
np.save(path("nan.npy"), bad)
# finite features whose products are not
np.save(path("huge.npy"), sets["far"][0] * np.float32(1e38 / sets["far"][0].max()))
# id.h5 as `extract` would have it with six unreadable images among the others
x, y = sets["id"]
at = np.sort(rng.choice(86, 6, replace=False))
good = np.setdiff1d(np.arange(86), at)
all_x, all_y = np.full((86, D), np.nan, np.float32), np.zeros(86, np.int64)
all_x[good], all_y[good] = x, y
status = np.full(86, 3, np.uint8)
status[good] = 1
names = [f"id/bad{i}.jpg" for i in range(86)]
for i, k in enumerate(good):
    names[k] = f"id/{i:04d}.jpg"
with h5py.File(path("id_bad.h5"), "w", track_order=False) as f:
    for key, a in (("features", all_x), ("labels", all_y), ("status", status),
                   ("paths", np.array(names, "S14")), ("head/weight", w), ("head/bias", b)):
        f.create_dataset(key, data=a, track_times=False)
# one set from two checkpoints
for which in "ab":
    with h5py.File(path(f"far_{which}.h5"), "w", track_order=False) as f:
        f.create_dataset("features", data=sets["far"][0], track_times=False)
        f.create_dataset("provenance", track_times=False, data=np.bytes_(
            '{"model": "resnet50", "checkpoint": {"sha256": "%s"}}' % (which * 64)))
with open(path("fc.pkl"), "wb") as f:
    pickle.dump([w, b], f, protocol=4)
for name, (x, y) in sets.items():
    with open(path(name + ".pkl"), "wb") as f:
        pickle.dump(x, f, protocol=4)
    np.save(path(name + ".npy"), x)
    npz(name + ".npz", feat_list=x, label_list=y)
    with open(path(name + ".txt"), "w") as f:
        for i, label in enumerate(y):
            f.write(f"{name}/{i:04d}.jpg" + (f" {label}\n" if label >= 0 else "\n"))
    # chunked and deflated, as h5py users write; the head beside the features
    with h5py.File(path(name + ".h5"), "w", track_order=False) as f:
        f.create_dataset("features", data=x, chunks=(16, D), compression="gzip", shuffle=True,
                         track_times=False)
        f.create_dataset("labels", data=y, track_times=False)
        f.create_dataset("head/weight", data=w, track_times=False)
        f.create_dataset("head/bias", data=b, track_times=False)
