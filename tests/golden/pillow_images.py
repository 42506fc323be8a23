#!/usr/bin/python3
"""Compares decode_check with Pillow and torchvision, image by image, bit by bit.

usage: pillow_images.py DECODE_CHECK DATA [--sets a,b,...] [--every N]

Every image of every list under DATA/lists is decoded; the SHA-256 of its RGB bytes must be
Pillow's.  Then every N-th image (default 1) of the small and every image of the large sets goes
through each geometry and filter; the bytes must be those of torchvision's transforms.
Prints TAP; exit 1 on any difference."""
import argparse
import hashlib
import os
import subprocess
import sys
import tempfile

from PIL import Image
from torchvision import transforms as T

FILTERS = {"bilinear": T.InterpolationMode.BILINEAR, "bicubic": T.InterpolationMode.BICUBIC}
# resize, crop
SHAPES = [("224x224", None), ("480x480", None), ("384x384", None), ("256", 224), ("32", 32), ("32x32", None),
          ("248", 224), ("224x160", 200)]


def digest(im):
    return hashlib.sha256(im.tobytes()).hexdigest()


def decode(path):
    with Image.open(path) as f:
        return f.convert("RGB")


def transform(resize, crop, mode):
    size = [int(v) for v in resize.split("x")] if "x" in resize else int(resize)
    steps = [T.Resize(size, interpolation=mode)]
    if crop:
        steps.append(T.CenterCrop(crop))
    return T.Compose(steps)


def ours(tool, args, paths):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as f:
        f.write("".join(p + "\n" for p in paths))
        f.flush()
        out = subprocess.run([tool, args[0], f.name, *args[1:]], check=True, capture_output=True, text=True)
    return [line.split("\t") for line in out.stdout.splitlines()]


def main():
    a = argparse.ArgumentParser()
    a.add_argument("tool")
    a.add_argument("data")
    a.add_argument("--sets", default="")
    a.add_argument("--every", type=int, default=1)
    a = a.parse_args()
    sets = [s for s in a.sets.split(",") if s] or sorted(
        f[:-4] for f in os.listdir(os.path.join(a.data, "lists")) if f.endswith(".txt"))
    n = bad = 0
    for name in sets:
        with open(os.path.join(a.data, "lists", name + ".txt"), encoding="utf-8") as f:
            paths = [os.path.join(a.data, "images", line.split()[0]) for line in f if line.strip()]
        rows = ours(a.tool, ["rgb"], paths)
        assert len(rows) == len(paths)
        wrong = []
        for p, r in zip(paths, rows):
            im = decode(p)
            if r[1:] != [str(im.width), str(im.height), digest(im)]:
                wrong.append(p)
        n += 1
        bad += bool(wrong)
        print(f"{'not ' if wrong else ''}ok {n} - {name}: RGB bytes of {len(paths)} images equal Pillow's", flush=True)
        for p in wrong[:5]:
            print("#", p)
        small = paths[:: a.every]
        images = [decode(p) for p in small]
        for resize, crop in SHAPES:
            for fname, mode in FILTERS.items():
                t = transform(resize, crop, mode)
                rows = ours(a.tool, ["prep", resize, fname, str(crop) if crop else "none"], small)
                wrong = [p for p, r, im in zip(small, rows, images) if r[3:] != [digest(t(im))]]
                n += 1
                bad += bool(wrong) or len(rows) != len(small)
                print(f"{'not ' if wrong else ''}ok {n} - {name}: resize {resize} {fname} crop {crop} of "
                      f"{len(small)} images equals torchvision's", flush=True)
                for p in wrong[:5]:
                    print("#", p)
    print(f"1..{n}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
