#!/usr/bin/python3
"""Damages good images at random and compares verdict and pixels of decode_check with Pillow's.

usage: pillow_mutations.py DECODE_CHECK DATA [--seed S] [--count N] [--kind png|jpeg|progressive]

Seeds are the small PNG and JPEG files of DATA/hostile that Pillow decodes, PNG files built here
with chunks and sequences that real files rarely have, and progressive JPEG files that Pillow writes
here from the small images of DATA.  A PNG's checksums are repaired half of the
time, so that damage gets past them.  Prints one line a difference and a summary; exit 1 on any."""
import argparse
import hashlib
import io
import os
import random
import struct
import subprocess
import sys
import tempfile
import warnings
import zlib

from PIL import Image

warnings.simplefilter("ignore")
MAGIC = b"\x89PNG\r\n\x1a\n"
LAYOUTS = [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (1, 3), (2, 3), (4, 3), (8, 3), (8, 4),
           (16, 4), (8, 6), (16, 6)]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(cid, data=b""):
    return struct.pack(">I", len(data)) + cid + data + struct.pack(">I", zlib.crc32(cid + data))


def raw_rows(r, w, h, bits, interlaced):
    out = b""
    for x, y, dx, dy in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        pw, ph = (w - x + dx - 1) // dx, (h - y + dy - 1) // dy
        if pw > 0:
            for _ in range(ph):
                out += bytes([r.randrange(5)]) + r.randbytes((pw * bits + 7) // 8)
    return out


def split(r, data):
    parts = []
    while data:
        n = r.choice([1, 7, len(data), len(data), r.randrange(1, len(data) + 1)])
        parts.append(data[:n])
        data = data[n:]
    return parts


def odd_chunk(r):
    return r.choice([
        chunk(b"gAMA", r.randbytes(r.choice([4, 4, 2, 6]))), chunk(b"cHRM", r.randbytes(r.choice([32, 7, 8]))),
        chunk(b"sRGB", r.randbytes(r.choice([1, 0]))), chunk(b"pHYs", r.randbytes(r.choice([9, 8]))),
        chunk(b"tEXt", b"key\0text"), chunk(b"tEXt", b"x"), chunk(b"zTXt", b"key\0\0" + zlib.compress(b"abc")),
        chunk(b"zTXt", b"key\0\x01abc"), chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1 << 20))),
        chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes((1 << 20) + 1))), chunk(b"iTXt", b"k\0\0\0\0\0abc"),
        chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(b"abc")), chunk(b"iTXt", b"k\0\1\1\0\0abc"),
        chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(2 << 20))),
        chunk(b"iCCP", b"n\0\0" + zlib.compress(b"icc")), chunk(b"iCCP", b"none"), chunk(b"iCCP", b""),
        chunk(b"iCCP", b"n\0\0" + zlib.compress(bytes(3 << 20))), chunk(b"iCCP", b"n\0"),
        chunk(b"tRNS", r.choice([b"\xff\0\xff", b"\0", b"\0\1", b"\0\1\0\2\0\3", b"", b"\xff\xff\0\n", bytes(9),
                                 b"\xff" * 299 + b"\0"])),
        chunk(b"PLTE", r.randbytes(3 * r.choice([1, 4, 256, 257, 5]) + r.choice([0, 0, 1, 2]))),
        chunk(b"acTL", struct.pack(">II", r.choice([0, 1, 2, 3, 1 << 31, (1 << 31) + 1]), 0)), chunk(b"acTL", b"abc"),
        chunk(b"fcTL", struct.pack(">IIIIIHHBB", r.choice([0, 0, 1]), r.choice([3, 13]), r.choice([2, 7]),
                                   r.choice([0, 0, 4]), r.choice([0, 0, 5]), 1, 0, r.randrange(3), 0)),
        chunk(b"IHDR", r.randbytes(12)), chunk(b"eXIf", b"MM\0*"), chunk(b"prVt", b"abc"), chunk(b"ABCD"),
        chunk(b"a_9Z", b"q"), chunk(b"fdAT", struct.pack(">I", r.choice([0, 1])) + b"x"), chunk(b"IDAT"),
        chunk(b"I-AT", b"x"), chunk(b"IEND"), chunk(b"DDAT", b"zz"), chunk(b"fdAT", b"\0\0"), b"\0\0\0", b"\0\0\0\0IE"])


def build_png(r):
    depth, colour = r.choice(LAYOUTS + [(3, 0), (16, 3)])
    w, h = r.choice([(13, 7), (1, 1), (3, 9), (32, 5), (5, 1)])
    inter = r.random() < 0.4
    raw = raw_rows(r, w, h, depth * CHANNELS[colour], inter)
    if r.random() < 0.15:
        raw = raw[: r.randrange(len(raw) + 1)]
    if r.random() < 0.1:
        raw += r.randbytes(r.randrange(300))
    z = zlib.compress(raw, r.randrange(10))
    if r.random() < 0.2:
        z = z[: -r.randrange(1, 7)]
    if r.random() < 0.1:
        z += r.randbytes(r.randrange(9))
    out = MAGIC + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, int(inter)))
    if colour == 3 and r.random() < 0.9 or r.random() < 0.1:
        out += chunk(b"PLTE", r.randbytes(3 * r.choice([2, 4, 16, 256])))
    while r.random() < 0.35:
        out += odd_chunk(r)
    for part in split(r, z):
        cid = b"IDAT"
        if r.random() < 0.03:
            cid = r.choice([b"DDAT", b"fdAT"])
            part = struct.pack(">I", r.randrange(2)) + part if cid == b"fdAT" else part
        out += chunk(cid, part)
        if r.random() < 0.03:
            out += odd_chunk(r)
    while r.random() < 0.35:
        out += odd_chunk(r)
    if r.random() < 0.8:
        out += chunk(b"IEND")
    if r.random() < 0.1:
        out += r.randbytes(5)
    return out


def repair(data):
    """Recomputes the checksums of the chunks that can still be found."""
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        n = struct.unpack(">I", out[at:at + 4])[0]
        if at + 12 + n > len(out):
            break
        out[at + 8 + n:at + 12 + n] = struct.pack(">I", zlib.crc32(bytes(out[at + 4:at + 8 + n])))
        at += 12 + n
    return bytes(out)


def mutate(r, data):
    b = bytearray(data)
    for _ in range(r.choice([1, 1, 1, 2, 5])):
        if not b:
            break
        at = r.randrange(len(b)) if r.random() < 0.6 else r.randrange(min(len(b), 400))
        what = r.randrange(7)
        if what == 0:
            b[at] ^= 1 << r.randrange(8)
        elif what == 1:
            b[at] = r.choice([0, 255, 0x7f, 0x80, 0xd9, 0xc0, 0xc2, 0xda, r.randrange(256)])
        elif what == 2:
            del b[at:]
        elif what == 3:
            del b[at:at + r.choice([1, 2, 16])]
        elif what == 4:
            b[at:at] = r.randbytes(r.choice([1, 2, 16]))
        elif what == 5:
            n = r.choice([2, 16, 64])
            b[at:at] = b[max(0, at - n):at]
        else:
            b[at:at + 2] = bytes([255, r.randrange(256)])
    return bytes(b)


def pillow(path):
    try:
        with Image.open(path) as f:
            if f.format not in ("PNG", "JPEG", "MPO"):
                return None
            im = f.convert("RGB")
        return f"{im.width} {im.height} {hashlib.sha256(im.tobytes()).hexdigest()}"
    except Exception as e:  # every refusal counts, whatever its class
        return "refused " + type(e).__name__ + " " + str(e)[:80]


def seeds(data, kind):
    out = []
    with open(os.path.join(data, "hostile", "pillow_rgb.tsv"), encoding="utf-8") as f:
        for line in f:
            c = line.split("\t")
            if c[5] == "ok" and c[1] in ("PNG", "JPEG", "MPO") and c[0].startswith(kind):
                p = os.path.join(data, "hostile", c[0])
                if os.path.getsize(p) < 40000 and int(c[3]) * int(c[4]) < 300000:
                    with open(p, "rb") as g:
                        out.append(g.read())
    return out


def progressive(r, start):
    """Progressive files of pictures that others decode to, grey or colour, every subsampling."""
    out = []
    for data in start:
        with Image.open(io.BytesIO(data)) as f:
            im = f.convert(r.choice(["RGB", "RGB", "RGB", "L", "CMYK"]))
        if r.random() < 0.5:
            im = im.resize((r.randrange(1, 90), r.randrange(1, 90)))
        buffer = io.BytesIO()
        im.save(buffer, "JPEG", progressive=True, quality=r.randrange(5, 100), subsampling=r.randrange(3),
                optimize=r.random() < 0.5)
        out.append(buffer.getvalue())
    return out


def main():
    a = argparse.ArgumentParser()
    a.add_argument("tool")
    a.add_argument("data")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--count", type=int, default=2000)
    a.add_argument("--kind", default="png")
    a.add_argument("--keep", default="")
    a = a.parse_args()
    r = random.Random(a.seed)
    start = seeds(a.data, "jpeg" if a.kind == "progressive" else a.kind)
    if a.kind == "progressive":
        start = progressive(r, start)
    same = accepted = bad = 0
    with tempfile.TemporaryDirectory() as d:
        paths = []
        for i in range(a.count):
            if a.kind == "png" and r.random() < 0.5:
                b = build_png(r)
                if r.random() < 0.3:
                    b = mutate(r, b)
            else:
                b = mutate(r, r.choice(start))
            if a.kind == "png" and r.random() < 0.6:
                b = repair(b)
            paths.append(os.path.join(d, str(i)))
            with open(paths[-1], "wb") as f:
                f.write(b)
        with open(os.path.join(d, "list"), "w") as f:
            f.write("".join(p + "\n" for p in paths))
        out = subprocess.run([a.tool, "rgb", f.name], check=True, capture_output=True, text=True, errors="replace")
        rows = [line.split("\t") for line in out.stdout.splitlines()]
        assert len(rows) == len(paths)
        for p, row in zip(paths, rows):
            want = pillow(p)
            got = " ".join(row[1:4])
            if want is None or (want.startswith("refused") and got.startswith("refused")) or want == got:
                same += 1
                accepted += want is not None and not want.startswith("refused")
                continue
            bad += 1
            print(f"difference {os.path.basename(p)}: Pillow {want} / we {got}")
            if a.keep:
                os.makedirs(a.keep, exist_ok=True)
                with open(p, "rb") as f, open(os.path.join(a.keep, f"{a.kind}{a.seed}_{os.path.basename(p)}"), "wb") as g:
                    g.write(f.read())
    print(f"{a.count} damaged {a.kind} files: {same} agree ({accepted} accepted, the same pixels), {bad} differ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
