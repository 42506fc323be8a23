#!/usr/bin/env python3
"""Real checkpoints on real images: `extract run` against known counts and against PyTorch.  Prints TAP.

  real_networks.py EXTRACT DATA [--long]

For every checkpoint of DATA/weights over its sample list: top-1 and top-5 counts as PyTorch counted them when the
data were put together; equal files for equal weights in different containers; features and logits against PyTorch
in float32 with torchvision's preprocessing on Pillow's decoder, relative L2 of each image.  bf16, where the CPU has
it, against our own fp32.  PyTorch sees the first images only, all of them with --long.
"""
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# file: (network for us, network in nets.py, classes, list, statistics, top-1, top-5, images)
IMAGENET, DENSE = "imagenet", "dense"
TABLE = {
    "imagenet_resnet50_large_blocks.safetensors": ("resnet50", "resnet50", 1000, "imagenet-sample", IMAGENET, 232, 283, 300),
    "imagenet_resnet18_small_blocks.pth": ("resnet18", "resnet18", 1000, "imagenet-sample", IMAGENET, 234, 282, 300),
    "imagenet_mobilenet_v2_tfquant.pth": ("mobilenet_v2", "mobilenet_v2", 1000, "imagenet-sample", IMAGENET, 246, 287, 300),
    "imagenet_squeezenet1_0_dc.pth": ("squeezenet1_0", "squeezenet1_0", 1000, "imagenet-sample", IMAGENET, 185, 248, 300),
    "cifar100_densenet_bc100_k12.pth": ("densenet_bc_100_12", "densenet_bc_100_12", 100, "cifar100-test", DENSE, 745, 943, 1000),
    "cifar10_densenet_bc100_k12.legacy.pth.tar": ("densenet_bc_100_12", "densenet_bc_100_12", 10, "cifar10-test", DENSE, 953, 998, 1000),
    "cifar10_resnet20.legacy.th": ("resnet20", "resnet20", 10, "cifar10-test", IMAGENET, 917, 995, 1000),
    "cifar10_resnet56.legacy.th": ("resnet56", "resnet56", 10, "cifar10-test", IMAGENET, 932, 999, 1000),
}
TWINS = {
    "imagenet_resnet18_small_blocks.pth": "imagenet_resnet18_small_blocks.safetensors",
    "imagenet_squeezenet1_0_dc.pth": "imagenet_squeezenet1_0_dc.safetensors",
    "cifar100_densenet_bc100_k12.pth": "cifar100_densenet_bc100_k12.legacy.pth.tar",
}
MAX, MEDIAN = 1e-4, 1e-5
QUICK = {224: 24, 32: 100}


class Tap:
    n = bad = 0

    def check(self, ok, words):
        self.n += 1
        self.bad += not ok
        print("ok" if ok else "not ok", self.n, "-", words.strip(), flush=True)

    def skip(self, words, why):
        self.n += 1
        print(f"ok {self.n} - {words} # SKIP {why}", flush=True)


def read(path):
    with h5py.File(path, "r") as f:
        return {k: f[k][:] for k in ("features", "logits", "labels", "status", "paths")}


def counts(o):
    own = o["logits"][np.arange(len(o["labels"])), o["labels"]][:, None]
    rank = (o["logits"] > own).sum(1)
    return int((rank < 1).sum()), int((rank < 5).sum())


def relative(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)


class Reference:
    """PyTorch on the same images."""

    def __init__(self, data):
        import torch
        import make_net_golden
        from nets import NETS, Taps
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
        self.torch, self.golden, self.nets, self.taps, self.data = torch, make_net_golden, NETS, Taps, data

    def run(self, file, paths):
        from PIL import Image
        _, name, classes, _, stats, *_ = TABLE[file]
        stats = self.golden.IMAGENET if stats == IMAGENET else self.golden.DENSE
        net = self.golden.load_net(name, classes, os.path.join(self.data, "weights", file))
        tf, taps = self.golden.transform(self.nets[name].side, stats), self.taps(net, self.nets[name])
        parts = {"features": [], "logits": []}
        for at in range(0, len(paths), 20):
            images = [Image.open(os.path.join(self.data, "images", p)).convert("RGB") for p in paths[at:at + 20]]
            taps.clear()
            with self.torch.no_grad():
                parts["logits"].append(net(self.torch.stack([tf(im) for im in images])).numpy())
            parts["features"].append(taps.features.numpy())
        return {k: np.concatenate(v) for k, v in parts.items()}


def bf16(tap, run, out, fp32, limit):
    file = "imagenet_resnet50_large_blocks.safetensors"
    words = "resnet50 in bf16"
    rc, said = run(file, out, "-p", "bf16", "--limit", str(limit))
    if rc != 0:
        tap.skip(words, said.splitlines()[0] if said else f"exit {rc}")
        return
    o = read(out)
    a, b = (x["features"][:limit].astype(np.float64) for x in (o, fp32))
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    tap.check(cosine.min() >= 0.999, f"{words}: features against fp32, cosine at least {cosine.min():.6f} of 0.999, {len(a)} images")
    mine, full = counts(o)[0], counts({k: v[:limit] for k, v in fp32.items()})[0]
    allowed = max(1, limit // 100)
    tap.check(abs(mine - full) <= allowed, f"{words}: top-1 {mine}, fp32 {full} of {limit}; {allowed} may differ")
    agree = (o["logits"].argmax(1) == fp32["logits"][:limit].argmax(1)).sum()
    off = relative(o["logits"], fp32["logits"][:limit])
    tap.check(off.max() > 1e-5, f"{words}: is another arithmetic: logits differ by {np.median(off):.1e} (median), {agree} of {limit} predictions agree")


def main():
    extract, data = sys.argv[1], sys.argv[2]
    long = "--long" in sys.argv[3:]
    tap = Tap()
    try:
        reference, why = Reference(data), ""
    except ImportError as e:
        reference, why = None, str(e)

    def run(file, out, *more):
        name, _, _, listed, *_ = TABLE.get(file) or TABLE[[k for k, v in TWINS.items() if v == file][0]]
        done = subprocess.run([extract, "run", "-q", "-m", name, "-w", os.path.join(data, "weights", file),
                               "-r", os.path.join(data, "images"), "-l", os.path.join(data, "lists", listed + ".txt"),
                               "-o", out, *more], capture_output=True, text=True)
        return done.returncode, done.stderr.strip()

    for file, (name, _, _, listed, _, top1, top5, images) in TABLE.items():
        if not all(os.path.exists(os.path.join(data, p)) for p in (f"weights/{file}", f"lists/{listed}.txt")):
            tap.skip(file, "not in " + data)
            continue
        with tempfile.TemporaryDirectory() as tmp:
            out, again = os.path.join(tmp, "a.h5"), os.path.join(tmp, "b.h5")
            rc, said = run(file, out)
            tap.check(rc == 0, f"{file}: {name} over {listed} {said}")
            if rc != 0:
                continue
            o = read(out)
            got1, got5 = counts(o)
            tap.check(len(o["labels"]) == images and abs(got1 - top1) <= 1 and abs(got5 - top5) <= 1,
                      f"{file}: top-1 {got1} of {top1} +-1, top-5 {got5} of {top5} +-1, {len(o['labels'])} images")
            side = 224 if images == 300 else 32
            if file in TWINS:
                limit = images if long else QUICK[side]
                rc, said = run(TWINS[file], again, "--limit", str(limit))
                same = rc == 0 and all(np.array_equal(o[k][:limit].view(np.uint32), read(again)[k].view(np.uint32))
                                       for k in ("features", "logits"))
                tap.check(same, f"{TWINS[file]}: features and logits of {limit} images as from {file}, to the bit {said}")
            if reference is None:
                tap.skip(f"{file}: against PyTorch", why)
            else:
                k = images if long else QUICK[side]
                want = reference.run(file, [p.decode() for p in o["paths"][:k]])
                for what in ("features", "logits"):
                    e = relative(o[what][:k], want[what])
                    tap.check(e.max() <= MAX and np.median(e) <= MEDIAN,
                              f"{file}: {what} of {k} images against PyTorch: max {e.max():.1e} of {MAX:.0e}, "
                              f"median {np.median(e):.1e} of {MEDIAN:.0e}")
                agree = (o["logits"][:k].argmax(1) == want["logits"].argmax(1)).sum()
                tap.check(k - agree <= k // 100, f"{file}: {agree} of {k} predictions as PyTorch")
            if name == "resnet50":
                bf16(tap, run, again, o, images if long else QUICK[side])
    print(f"1..{tap.n}")
    return 1 if tap.bad else 0


if __name__ == "__main__":
    sys.exit(main())
