#!/usr/bin/env python3
"""make_images.py DIR COUNT [ROWS]: JPEG files like ImageNet's for machines that have none of it.

500 x 375 pixels of about 110 KB, sampling mixed (4:2:0, 4:4:4, 4:2:2, grey, some progressive), drawn from a
seed: noise with the 1/f spectrum of photographs, so that the work of Huffman decoding, IDCT and resize is
that of photographs.  DIR/list.txt names them, again and again up to ROWS lines.  Needs numpy and Pillow."""
import io
import os
import sys
from multiprocessing import Pool

import numpy as np
from PIL import Image

W, H, BYTES = 500, 375, 110_000
KINDS = ["4:2:0"] * 13 + ["4:4:4"] * 3 + ["4:2:2"] * 2 + ["grey", "progressive"]


def draw(seed):
    rng = np.random.default_rng(seed)
    fy, fx = np.fft.fftfreq(H)[:, None], np.fft.rfftfreq(W)[None, :]
    fall = 1 / np.maximum(np.hypot(fy, fx), 1 / W)
    planes = []
    for strength in (60, 22, 22):  # brightness, two of colour
        noise = rng.standard_normal((H, fall.shape[1])) + 1j * rng.standard_normal((H, fall.shape[1]))
        p = np.fft.irfft2(noise * fall, s=(H, W))
        planes.append(p / p.std() * strength)
    y, u, v = planes
    rgb = np.stack([y + v, y - 0.3 * u - 0.5 * v, y + u], axis=2) + rng.uniform(80, 170, 3)
    return Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8), "RGB")


def encode(image, kind, quality):
    out = io.BytesIO()
    if kind == "grey":
        image.convert("L").save(out, "JPEG", quality=quality)
    else:
        image.save(out, "JPEG", quality=quality, subsampling="4:2:0" if kind == "progressive" else kind,
                   progressive=kind == "progressive")
    return out.getvalue()


def make(job):
    path, seed = job
    image, kind = draw(seed), KINDS[seed % len(KINDS)]
    low, high = 40, 98
    while low < high:  # the least quality that reaches the size
        middle = (low + high) // 2
        low, high = (low, middle) if len(encode(image, kind, middle)) >= BYTES else (middle + 1, high)
    data = encode(image, kind, low)
    with open(path, "wb") as f:
        f.write(data)
    return len(data)


def main():
    where, count = sys.argv[1], int(sys.argv[2])
    rows = int(sys.argv[3]) if len(sys.argv) > 3 else count
    os.makedirs(where, exist_ok=True)
    names = [f"{i:05d}.jpg" for i in range(count)]
    with Pool() as pool:
        sizes = pool.map(make, [(os.path.join(where, n), i) for i, n in enumerate(names)], chunksize=8)
    with open(os.path.join(where, "list.txt"), "w") as f:
        f.writelines(f"{names[i % count]} {i % 1000}\n" for i in range(rows))
    print(f"{count} images, {np.mean(sizes) / 1000:.0f} KB on average, list of {rows}")


if __name__ == "__main__":
    main()
