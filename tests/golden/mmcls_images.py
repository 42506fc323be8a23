#!/usr/bin/env python3
"""Compares the geometry of the preset mmcls with mmcls's own pipeline, image by image, bit by bit.

usage: mmcls_images.py DECODE_CHECK DATA [--every N]

Needs mmcls 0.25 and mmcv 1.x, which no Debian package has: by hand, or through tests/cli/23_cv2.t
with MMCLS_PYTHON.  Every N-th image (default 25) of every list under DATA/lists goes through
LoadImageFromFile, Resize((SIDE, -1)) and CenterCrop with each back end.  Prints TAP."""
import argparse
import hashlib
import os
import subprocess
import sys
import tempfile

import cv2
import mmcls
import mmcv
import numpy as np
import PIL
from mmcls.datasets.pipelines import CenterCrop, LoadImageFromFile, Resize

if hasattr(cv2, "ipp"):
    cv2.ipp.setUseIPP(False)  # as in cv2_resize.py

# resize, crop, back end, interpolation; the first is ViT-B/16 at 384, the others ResNet, Mixer, Swin
CASES = [(384, 384, "pillow", "bilinear"), (384, 384, "cv2", "bicubic"), (256, 224, "cv2", "bilinear"),
         (256, 224, "cv2", "bicubic"), (256, 224, "pillow", "bicubic"), (248, 224, "pillow", "bicubic")]
FILTERS = {("pillow", "bilinear"): "bilinear", ("pillow", "bicubic"): "bicubic",
           ("cv2", "bilinear"): "cv2-bilinear", ("cv2", "bicubic"): "cv2-bicubic"}


def theirs(path, resize, crop, backend, interpolation):
    r = {"img_prefix": None, "img_info": {"filename": path}}
    r = LoadImageFromFile(color_type="color_ignore_orientation")(r)
    r = Resize((resize, -1), backend=backend, interpolation=interpolation)(r)
    r = CenterCrop(crop)(r)
    rgb = np.ascontiguousarray(r["img"][:, :, ::-1])
    return rgb.shape[:2], hashlib.sha256(rgb.tobytes()).hexdigest()


def main():
    a = argparse.ArgumentParser()
    a.add_argument("tool")
    a.add_argument("data")
    a.add_argument("--every", type=int, default=25)
    a = a.parse_args()
    print(f"# mmcls {mmcls.__version__}, mmcv {mmcv.__version__}, OpenCV {cv2.__version__}, Pillow {PIL.__version__}")
    paths = []
    for name in sorted(os.listdir(os.path.join(a.data, "lists"))):
        with open(os.path.join(a.data, "lists", name), encoding="utf-8") as f:
            paths += [os.path.join(a.data, "images", line.split()[0]) for line in f if line.strip()][::a.every]
    bad = 0
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as f:
        f.write("".join(p + "\n" for p in paths))
        f.flush()
        for n, (resize, crop, backend, interpolation) in enumerate(CASES, 1):
            out = subprocess.run([a.tool, "prep", f.name, str(resize), FILTERS[backend, interpolation], str(crop)],
                                 check=True, capture_output=True, text=True).stdout.splitlines()
            assert len(out) == len(paths)
            wrong = [p for p, line in zip(paths, out)
                     if ((crop, crop), line.split("\t")[3]) != theirs(p, resize, crop, backend, interpolation)]
            bad += bool(wrong)
            print(f"{'not ok' if wrong else 'ok'} {n} - {len(paths)} images, short side {resize} {backend} "
                  f"{interpolation}, crop {crop}: {len(wrong)} differ from mmcls", flush=True)
            for p in wrong[:5]:
                print("#", p)
    print(f"1..{len(CASES)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
