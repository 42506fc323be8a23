#!/usr/bin/env python3
"""Checks of 79_views.t: view_values.py CHECK ARGUMENTS...; exit 1 and a line where one fails."""
import json
import os
import sys

import h5py
import numpy as np


def need(ok, *words):
    if not ok:
        print(*words)
        sys.exit(1)


def read(file, *names):
    with h5py.File(file, "r") as f:
        return [f[n].asstr()[:] if n == "paths" else f[n][:] for n in names]


def cuts(file, listed, root, n, k):
    from PIL import Image
    n, k = int(n), int(k)
    paths, labels, views = read(file, "paths", "labels", "views")
    want = [line.rsplit(" ", 1) for line in open(listed).read().splitlines()[:n]]
    need(list(paths) == [p for p, _ in want for _ in range(k)], "paths")
    need(list(labels) == [int(y) for _, y in want for _ in range(k)], "labels")
    x, y, w, h, flip = views.T
    width, height = np.array([Image.open(os.path.join(root, p)).size for p in paths]).T
    need((x >= 0).all() and (y >= 0).all() and (x + w <= width).all() and (y + h <= height).all(), "outside")
    need(((flip == 0) | (flip == 1)).all(), "flip")
    # sides are rounded to pixels: half a pixel of room
    need(((w + 0.5) * (h + 0.5) >= 0.08 * width * height).all() and ((w + 0.5) / (h - 0.5) >= 3 / 4).all()
         and ((w - 0.5) / (h + 0.5) <= 4 / 3).all(), "shape")
    area, ratio = w * h / (width * height), np.log(w / h)
    # tries that do not fit are drawn again, which takes from the largest: 0.54 becomes about 0.50
    print(f"area {area.mean():.3f}, log ratio {ratio.mean():.3f} +- {ratio.std():.3f}, flipped {flip.mean():.3f}, "
          f"{len(set(map(tuple, views)))} different")
    need(0.42 < area.mean() < 0.58 and area.min() < 0.15 and area.max() > 0.9, "areas")
    need(abs(ratio.mean()) < 0.04 and 0.12 < ratio.std() < 0.2, "ratios")
    need(0.4 < flip.mean() < 0.6 and len(set(map(tuple, views))) > 0.9 * len(views), "spread")
    with h5py.File(file, "r") as f:
        o = json.loads(f["provenance"].asstr()[()])
    need(o["views"] == {"each": k, "seed": 3} and o["list"]["rows"] == n * k and f"--views {k} --seed 3 --limit {n}" in o["command"], o)


def pixels(file, root):
    from PIL import Image
    paths, views, got = read(file, "paths", "views", "taps/image")
    for path, (x, y, w, h, flip), have in zip(paths, views, got):
        im = Image.open(os.path.join(root, path)).convert("RGB").crop((x, y, x + w, y + h)).resize((32, 32), Image.BILINEAR)
        if flip:
            im = im.transpose(Image.FLIP_LEFT_RIGHT)
        v = (np.asarray(im).transpose(2, 0, 1).astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.25)
        need(have.tobytes() == v.tobytes(), path, (x, y, w, h, flip), np.abs(have - v).max())
    print(len(paths), "views")


def draw(folder):
    from PIL import Image
    rng = np.random.default_rng(5)
    os.makedirs(f"{folder}/drawn")
    sizes = {"large.jpg": (400, 300), "small.png": (20, 17), "flat.jpg": (1, 1), "strip.png": (900, 8), "tall.jpg": (33, 700)}
    for name, (w, h) in sizes.items():
        coarse = Image.fromarray(rng.integers(0, 256, (max(2, h // 8), max(2, w // 8), 3), dtype=np.uint8))
        coarse.resize((w, h), Image.BICUBIC).save(f"{folder}/drawn/{name}")
    with open(f"{folder}/drawn.txt", "w") as f:
        f.writelines(f"{n} 1\n" for n in sizes)


def middle(file):
    paths, views = read(file, "paths", "views")
    strip = views[paths == "strip.png"]
    one = views[paths == "flat.jpg"]
    need((one[:, :4] == (0, 0, 1, 1)).all(), one)
    # 900 x 8: no allowed ratio has 8 % of the area, so always 8 * 4/3 columns, in the middle
    need((strip[:, 2:4] == (11, 8)).all() and (strip[:, 0] == 444).all() and (strip[:, 1] == 0).all(), strip)


def differ(a, b):
    (x,), (y,) = read(a, "views"), read(b, "views")
    need((x != y).any(1).mean() > 0.95, "alike")


def flagged(file):
    status, views, z = read(file, "status", "views", "logits")
    need(list(status) == [1] * 6 + [2] * 2, status)
    need((views[6:] == -2**63).all() and np.isnan(z[6:]).all() and np.isfinite(z[:6]).all() and (views[:6, 2] > 0).all(), views)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
