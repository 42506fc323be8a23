#!/usr/bin/env python3
"""torchvision's networks, from image files to features: `extract run` beside torchvision itself.  Prints TAP.

  torchvision_networks.py EXTRACT [--long]

Weights are made by hash (nets.py) and saved by torch.save under torchvision's names; images are drawn here.  torchvision
prepares them by the transforms of its own weights (IMAGENET1K_V1), so that each network's recipe (side, crop, filter,
statistics) is compared, too, with the network in float32.  One network of each family, all of them with --long.
"""
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import torch
import torchvision.models as tv
from PIL import Image

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from nets import NETS, Taps, hash_state  # noqa: E402

QUICK = ("resnet18", "mobilenet_v2", "squeezenet1_1", "densenet121", "efficientnet_b0", "regnet_y_400mf", "swin_t",
         "vit_b_16", "convnext_tiny")
# Relative L2 of an image; hash weights of mobilenet_v2 amplify rounding (models.md 14.3).
TOLERANCE, AMPLIFIED = 1e-5, {"mobilenet_v2": 6e-5}
SIZES = (300, 260), (240, 420), (90, 70), (224, 224)  # width, height: also what has to grow


def draw(folder):
    """Smooth noise with a few edges, as PNG."""
    rng = np.random.default_rng(1)
    names = []
    for i, size in enumerate(SIZES):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        v = np.array(coarse.resize(size, Image.BICUBIC))
        v[v.shape[0] // 3, :] = 255
        v[:, v.shape[1] // 4:v.shape[1] // 3] //= 2
        names.append(f"{i}.png")
        Image.fromarray(v).save(os.path.join(folder, names[-1]))
    with open(os.path.join(folder, "list.txt"), "w") as f:
        f.writelines(f"{n} 0\n" for n in names)
    return names


def weights_enum(name):
    """The enumeration of published weights that belongs to tv.NAME."""
    wanted = name.replace("_", "") + "weights"
    return next(getattr(tv, n) for n in dir(tv) if n.replace("_", "").lower() == wanted)


def torchvision_run(name, checkpoint, folder, images):
    recipe = weights_enum(name).IMAGENET1K_V1.transforms()
    net = NETS[name].build(1000).eval()
    net.load_state_dict(hash_state(net, NETS[name].g))
    torch.save(net.state_dict(), checkpoint)
    taps = Taps(net, NETS[name])
    with torch.no_grad():
        x = torch.stack([recipe(Image.open(os.path.join(folder, n)).convert("RGB")) for n in images])
        z = net(x).numpy()
    return {"logits": z, "features": taps.features.numpy()}, recipe


def relative(a, b):
    return (np.linalg.norm(a.astype(np.float64) - b, axis=1) / np.linalg.norm(b.astype(np.float64), axis=1)).max()


def main():
    extract, names = sys.argv[1], QUICK
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    if "--long" in sys.argv[2:]:
        names = [n for n, net in NETS.items() if hasattr(tv, n) and net.title == f"torchvision {n}"]
    bad = 0
    with tempfile.TemporaryDirectory() as tmp:
        images, checkpoint, out = draw(tmp), os.path.join(tmp, "net.pth"), os.path.join(tmp, "out.h5")
        for i, name in enumerate(names, 1):
            theirs, recipe = torchvision_run(name, checkpoint, tmp, images)
            done = subprocess.run([extract, "run", "-q", "--force", "-m", name, "-w", checkpoint, "-r", tmp,
                                   "-l", os.path.join(tmp, "list.txt"), "-o", out],
                                  capture_output=True, text=True)
            words = f"{name}: exit {done.returncode}, {done.stderr.strip()}"
            ok, allowed = done.returncode == 0, AMPLIFIED.get(name, TOLERANCE)
            if ok:
                with h5py.File(out) as f:
                    off = {k: relative(f[k][:], v) for k, v in theirs.items()}
                ok = max(off.values()) <= allowed
                words = (f"{name}: resize {recipe.resize_size[0]} {recipe.interpolation.value}, crop "
                         f"{recipe.crop_size[0]}: features {off['features']:.1e}, logits {off['logits']:.1e} of {allowed:.0e}")
            bad += not ok
            print("ok" if ok else "not ok", i, "-", words, flush=True)
    print(f"1..{len(names)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
