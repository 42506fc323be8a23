#!/usr/bin/python3
"""Writes tests/unit/image_cases.h: small PNG and JPEG files with Pillow 9.4's verdict and pixels.

usage: make_image_cases.py MODELS_MD > tests/unit/image_cases.h

PNG: every layout, plain and interlaced, and 90 files with odd chunk sequences (seed 7).  JPEG: the
files of the specification's section 11.3, whose CRC-32 values stand there, plus a few made here."""
import base64
import io
import os
import random
import re
import struct
import sys
import warnings
import zlib

from PIL import Image

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pillow_mutations as pm  # noqa: E402

warnings.simplefilter("ignore")


def verdict(data):
    try:
        with Image.open(io.BytesIO(data)) as f:
            im = f.convert("RGB")
        return im.width, im.height, zlib.crc32(im.tobytes())
    except Exception:  # every refusal counts
        return 0, 0, 0


def put(what, data, want=None):
    v = verdict(data)
    assert want is None or v[2] == want, what
    text = base64.b64encode(data).decode()
    lines = "\n      ".join(f'"{text[i:i + 92]}"' for i in range(0, len(text), 92)) or '""'
    print(f'    {{ "{what}", {v[0]}, {v[1]}, 0x{v[2]:08x},\n      {lines} }},')


def pngs():
    r = random.Random(7)
    for depth, colour in pm.LAYOUTS:
        for inter in (False, True):
            w, h = 13, 7
            raw = pm.raw_rows(r, w, h, depth * pm.CHANNELS[colour], inter)
            out = pm.MAGIC + pm.chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, int(inter)))
            if colour == 3:
                out += pm.chunk(b"PLTE", r.randbytes(3 * (1 << min(depth, 7))))
            put(f"PNG depth {depth} colour {colour}{' interlaced' if inter else ''}",
                out + pm.chunk(b"IDAT", zlib.compress(raw)) + pm.chunk(b"IEND"))
    n = 0
    while n < 90:
        data = pm.build_png(r)
        if len(data) < 900:
            n += 1
            put(f"PNG odd {n}", data)


def jpegs(spec):
    part = spec[spec.index("### 11.3"):spec.index("\n## 12")]
    for m in re.finditer(r"\* \*\*(.*?)\*\*.*?CRC `([0-9a-f]{8})`.*?\n\n((?:      \S+\n)+)", part, re.S):
        put("JPEG " + m.group(1), base64.b64decode("".join(m.group(3).split())), int(m.group(2), 16))
    im = Image.frombytes("RGB", (27, 17), bytes((i * i * 7 + i) % 251 for i in range(27 * 17 * 3)))
    for what, kw in [("quality 95 4:2:0", {"quality": 95}), ("4:4:4", {"quality": 80, "subsampling": 0}),
                     ("4:2:2", {"quality": 60, "subsampling": 1}), ("optimised", {"optimize": True}),
                     ("progressive 4:4:4", {"progressive": True, "subsampling": 0}), ("quality 1", {"quality": 1}),
                     ("quality 100", {"quality": 100, "subsampling": 0})]:
        f = io.BytesIO()
        im.save(f, "JPEG", **kw)
        put("JPEG made " + what, f.getvalue())
    for size in [(1, 1), (2, 2), (3, 1), (8, 8), (9, 17)]:
        f = io.BytesIO()
        im.resize(size).save(f, "JPEG", quality=70)
        put(f"JPEG made {size[0]}x{size[1]}", f.getvalue())


def main():
    print("/* Made by tests/golden/make_image_cases.py with Pillow 9.4; do not edit.\n"
          " * { what, width, height (0: refused), CRC-32 of the RGB bytes, the file in base64 } */")
    print("static const struct image_case {\n    const char *what;\n    int w, h;\n    uint32_t crc;\n"
          "    const char *base64;\n} image_cases[] = {")
    with open(sys.argv[1], encoding="utf-8") as f:
        jpegs(f.read())
    pngs()
    print("};")


if __name__ == "__main__":
    main()
