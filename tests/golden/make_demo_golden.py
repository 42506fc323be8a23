#!/usr/bin/env python3
"""Golden values of the network `demo`: PyTorch's features and logits of eight demo images.

    make build/demo-images
    python3 tests/golden/make_demo_golden.py                  writes tests/golden/demo/golden.safetensors
                                                              and tests/golden/demo/list.txt
    python3 tests/golden/make_demo_golden.py --check F.h5     compares features extracted over list.txt

The images are those of `demo-images OUTDIR` (seed 1): every encoding, square and not, in- and
out-of-distribution.  list.txt has their paths; stored are the sha256 of each file and of its 32x32 RGB
bytes after decode and resize, so that a difference can be told: other file, other preprocessing, or
other arithmetic.  The reference is computed in float64 with the float32 weights and rounded once;
`torch_f32_error` in the header says how far PyTorch's own float32 is from it.
"""
import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image, JpegImagePlugin

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "weights"))
from demo_net import MEAN, STD, load, load_net, load_safetensors, read_list, run, save_safetensors

GOLDEN = HERE / "demo" / "golden.safetensors"
LIST = HERE / "demo" / "list.txt"
TOLERANCE = 2e-5  # of the largest value of the array; float32 sums over at most 576 terms, 15 deep


def encoding(path):
    with Image.open(path) as im:
        kind = im.format + "-" + im.mode
        return kind + str(JpegImagePlugin.get_sampling(im)) if kind == "JPEG-RGB" else kind


def choose(folder):
    """For each of the five encodings an image of the test set that is not square, no class twice,
    then the first image of three other sets."""
    seen, classes = {}, set()
    for path, label in read_list(folder, "id"):
        full = Path(folder) / "images" / path
        with Image.open(full) as im:
            square = im.size[0] == im.size[1]
        kind = encoding(full)
        if not square and kind not in seen and label not in classes:
            seen[kind] = (path, label)
            classes.add(label)
    return list(seen.values()) + [read_list(folder, s)[0] for s in ("near", "texture", "glyphs")]


@torch.no_grad()
def reference(net, u8):
    net = net.double()
    x = u8.double() / 255.0
    x = (x - torch.tensor(MEAN, dtype=torch.float64).view(1, 3, 1, 1)) / \
        torch.tensor(STD, dtype=torch.float64).view(1, 3, 1, 1)
    f = net.features(x)
    return f.numpy(), net.fc(f).numpy()


def digests(blobs):
    return np.stack([np.frombuffer(hashlib.sha256(b).digest(), "u1") for b in blobs])


def make(folder, weights):
    rows = choose(folder)
    u8 = load(folder, [p for p, _ in rows])
    f32, z32 = run(load_net(weights), u8)
    f, z = reference(load_net(weights), u8)
    files = digests((Path(folder) / "images" / p).read_bytes() for p, _ in rows)
    pixels = digests(x.permute(1, 2, 0).contiguous().numpy().tobytes() for x in u8)
    error = max(np.abs(f32 - f).max() / np.abs(f).max(), np.abs(z32 - z).max() / np.abs(z).max())
    GOLDEN.parent.mkdir(exist_ok=True)
    save_safetensors(GOLDEN, {
        "features": f.astype("<f4"), "logits": z.astype("<f4"),
        "labels": np.array([k for _, k in rows], "<i8"),
        "sha256_files": files, "sha256_pixels": pixels,
    }, {
        "torch": torch.__version__, "pillow": PIL.__version__,
        "weights_sha256": hashlib.sha256(Path(weights).read_bytes()).hexdigest(),
        "torch_f32_error": f"{error:.3g}",
    })
    LIST.write_text("".join(f"{p} {k}\n" if k >= 0 else f"{p}\n" for p, k in rows))
    print(f"{GOLDEN.relative_to(ROOT)}: {GOLDEN.stat().st_size} bytes, {len(rows)} images, "
          f"PyTorch float32 is within {error:.3g} of float64")


def check(path):
    import h5py
    arrays, _ = load_safetensors(GOLDEN)
    failed = 0
    with h5py.File(path) as h:
        got_paths = [p.decode() if isinstance(p, bytes) else p for p in h["paths"][:]]
        if got_paths != [line.split(" ")[0] for line in LIST.read_text().splitlines()]:
            sys.exit(f"{path}: other images than {LIST.name}")
        for name in ("features", "logits"):
            want, got = arrays[name].astype(np.float64), h[name][:].astype(np.float64)
            if got.shape != want.shape:
                sys.exit(f"{path}: {name} is {got.shape}, not {want.shape}")
            used = np.abs(got - want).max() / (TOLERANCE * np.abs(want).max())
            failed += not used <= 1
            print(f"{name}: {100 * used:.1f} % of the tolerance {TOLERANCE:g} x largest value")
    return 1 if failed else 0


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--generator", default=ROOT / "build" / "demo-images")
    p.add_argument("--weights", default=ROOT / "weights" / "demo.safetensors")
    p.add_argument("--check", metavar="FEATURES.h5")
    o = p.parse_args()
    torch.set_num_threads(1)
    if o.check:
        sys.exit(check(o.check))
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run([o.generator, tmp], check=True)
        make(tmp, o.weights)


if __name__ == "__main__":
    main()
