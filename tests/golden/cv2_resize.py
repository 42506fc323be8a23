#!/usr/bin/python3
"""Compares cv2's filters with OpenCV, byte by byte.

usage: cv2_resize.py RESIZE_CHECK [--cases N] [--seed N] [--decode DECODE_CHECK DATA [--every N]]

N random sizes (default 2000) of made images: up, down, one axis unchanged, exactly half, one pixel.
With --decode also every N-th image (default 50) of every list under DATA/lists, decoded by Pillow,
through squashing and through resize and crop.  Intel's IPP, which the wheels of PyPI use for
INTER_CUBIC, is switched off: it is another algorithm, 1 off in 4 % of all values.  Without it the
builds 3.4.18, 4.6.0 (Debian and PyPI), 4.11.0 and 5.0.0 gave the same bytes on x86-64.
Prints TAP; exit 1 on any difference."""
import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import zlib

import cv2
import numpy as np
from PIL import Image

CODES = {"cv2-bilinear": cv2.INTER_LINEAR, "cv2-bicubic": cv2.INTER_CUBIC}
M = (1 << 64) - 1


def noise(seed, n):
    """The top bytes of Z(seed, 0..n-1), models.md 14.1."""
    h = 14695981039346656037
    for c in seed.encode():
        h = ((h ^ c) * 1099511628211) & M
    with np.errstate(over="ignore"):
        z = np.uint64(h) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((z ^ (z >> np.uint64(31))) >> np.uint64(56)).astype(np.uint8)


def source(seed, kind, w, h):
    n = noise(seed, w * h * 3).reshape(h, w, 3)
    if kind == 1:
        return (n & 1) * np.uint8(255)
    if kind == 2:
        y, x, c = np.ogrid[:h, :w, :3]
        return ((3 * x + 5 * y + 80 * c + n // 32) % 256).astype(np.uint8)
    return n


def make_case(r, i):
    big = 40 if i % 3 == 0 else 300 if i % 40 else 900
    w, h = r.randint(1, big), r.randint(1, big)
    ow, oh = r.randint(1, 320), r.randint(1, 320)
    shape = i % 10
    if shape == 1:
        ow = w
    elif shape == 2:
        oh = h
    elif shape == 3:
        w, h = 2 * ow, 2 * oh
    elif shape == 4:
        w, ow = 2 * ow, ow
    elif shape == 5:
        ow, oh = w, h
    elif shape == 6:
        w, h = (1, h) if i % 20 == 6 else (w, 1)
    elif shape == 7:
        ow, oh = max(1, w // r.randint(1, 9)), max(1, h // r.randint(1, 9))
    x, y = r.randrange(ow), r.randrange(oh)
    return w, h, ow, oh, x, y, r.randint(1, ow - x), r.randint(1, oh - y)


def resized(img, ow, oh, code):
    return cv2.resize(img, (ow, oh), interpolation=code)


def random_cases(tool, count, seed):
    r = random.Random(seed)
    cases = [(f"c{seed}.{i}", i % 3 if i % 7 else 1, *make_case(r, i)) for i in range(count)]
    text = "".join(" ".join(map(str, c)) + "\n" for c in cases)
    out = subprocess.run([tool], input=text, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(out) == count, f"{len(out)} answers to {count} cases"
    wrong = {f: [] for f in CODES}
    paths = []
    values = 0
    for c, line in zip(cases, out):
        word = line.split()
        img = source(*c[:4])
        for f, code, ours in zip(CODES, CODES.values(), word):
            whole = resized(img, c[4], c[5], code)
            values += whole.size
            if f"{zlib.crc32(whole.tobytes()):08x}" != ours:
                wrong[f].append(c)
        if word[2] != "same":
            paths.append(c)
    return wrong, paths, values


def crop_at(n, c):
    return round((n - c) / 2)


def transform(img, resize, crop, code):
    """Resize and centre crop of HWC bytes by torchvision's and mmcls's rule for sizes and offsets."""
    h, w = img.shape[:2]
    if "x" in resize:
        oh, ow = map(int, resize.split("x"))
    else:
        s = int(resize)
        ow, oh = (s, int(s * h / w)) if w <= h else (int(s * w / h), s)
    out = resized(img, ow, oh, code)
    if crop is None:
        return out
    y, x = crop_at(oh, crop), crop_at(ow, crop)
    return out[y:y + crop, x:x + crop]


SHAPES = [("224x224", None), ("480x480", None), ("256", 224), ("384", 384), ("32x32", None), ("32", 32)]


def real_images(tool, data, every):
    """Yields (what, images that differ)."""
    paths = []
    for name in sorted(os.listdir(os.path.join(data, "lists"))):
        with open(os.path.join(data, "lists", name), encoding="utf-8") as f:
            paths += [os.path.join(data, "images", line.split()[0]) for line in f if line.strip()][::every]
    images = [np.asarray(Image.open(p).convert("RGB")) for p in paths]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as f:
        f.write("".join(p + "\n" for p in paths))
        f.flush()
        for resize, crop in SHAPES:
            for filt, code in CODES.items():
                out = subprocess.run([tool, "prep", f.name, resize, filt, str(crop) if crop else "none"], check=True,
                                     capture_output=True, text=True).stdout.splitlines()
                assert len(out) == len(paths)
                wrong = [p for p, img, line in zip(paths, images, out) if line.split("\t")[3] != hashlib.sha256(
                    np.ascontiguousarray(transform(img, resize, crop, code)).tobytes()).hexdigest()]
                yield f"resize {resize} {filt} crop {crop} of {len(paths)} real images", wrong


def main():
    a = argparse.ArgumentParser()
    a.add_argument("tool")
    a.add_argument("--cases", type=int, default=2000)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--decode", nargs=2)
    a.add_argument("--every", type=int, default=50)
    a = a.parse_args()
    n = bad = 0

    def result(good, what, which=()):
        nonlocal n, bad
        n += 1
        bad += not good
        print(f"{'ok' if good else 'not ok'} {n} - {what}", flush=True)
        for w in which[:5]:
            print("#", w)

    if hasattr(cv2, "ipp"):
        cv2.ipp.setUseIPP(False)
    print(f"# OpenCV {cv2.__version__}")
    wrong, paths, values = random_cases(a.tool, a.cases, a.seed)
    print(f"# {values} values")
    for f, w in wrong.items():
        result(not w, f"{f}: {a.cases - len(w)} of {a.cases} random sizes equal OpenCV", w)
    result(not paths, f"windows of {a.cases} sizes, on every path, are those of the plain resize", paths)
    if a.decode:
        for what, w in real_images(*a.decode, a.every):
            result(not w, f"{what}: {len(w)} differ", w)
    print(f"1..{n}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
