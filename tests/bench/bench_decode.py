#!/usr/bin/python3
"""Images per CPU-second of one core: extract's decode + Resize(256) + CenterCrop(224) against
Pillow + torchvision, interleaved (A B A B ...), the same files from memory.

usage: bench_decode.py DECODE_CHECK LIST [ROUNDS]      LIST: one path a line"""
import io
import statistics
import subprocess
import sys
import time

from PIL import Image
from torchvision import transforms as T


def main():
    tool, path, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 5
    with open(path, encoding="utf-8") as f:
        files = []
        for line in f:
            with open(line.strip(), "rb") as g:
                files.append(g.read())
    crop = T.Compose([T.Resize(256), T.CenterCrop(224)])
    resize = T.Resize(256)

    def pillow(what):
        start = time.process_time()
        for b in files:
            im = Image.open(io.BytesIO(b)).convert("RGB")
            if what == "all":
                crop(im).tobytes()
        return len(files) / (time.process_time() - start)

    def ours(what):
        out = subprocess.run([tool, "bench", path, "1", what], check=True, capture_output=True, text=True)
        return float(out.stdout)

    images = [Image.open(io.BytesIO(b)).convert("RGB") for b in files[:100]]
    start = time.process_time()
    for im in images:
        resize(im)
    print(f"Pillow's resize alone: {(time.process_time() - start) / len(images) * 1e3:.3f} ms an image")
    for what in ["all", "decode"]:
        pairs = [(ours(what), pillow(what)) for _ in range(rounds)]
        a, b = [p[0] for p in pairs], [p[1] for p in pairs]
        ratios = sorted(x / y for x, y in pairs)
        print(f"{what}: extract {statistics.median(a):.0f} [{min(a):.0f}-{max(a):.0f}] img/s, "
              f"Pillow {statistics.median(b):.0f} [{min(b):.0f}-{max(b):.0f}], "
              f"ratio {statistics.median(a) / statistics.median(b):.2f} [{ratios[0]:.2f}-{ratios[-1]:.2f}]")


if __name__ == "__main__":
    main()
