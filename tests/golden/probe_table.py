#!/usr/bin/env python3
"""The OOD table of methods over probes on real networks and images, beside PyTorch in float64.  Prints TAP.

  probe_table.py EXTRACT SCORE DATA [--images N]

ODIN, NAC and RankFeat of ResNet-20 (CIFAR-10 against MNIST and Tiny-ImageNet) and RankFeat and ODIN of SqueezeNet (ImageNet
against textures): `extract run --probe`, then `score run`, against gradients, second passes and SVDs by autograd, hooks
and numpy, scores from the definitions, AUROC by scikit-learn.  Allowed: 1e-3 on AUROC and FPR95.
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.special import expit, logsumexp
from sklearn.metrics import roc_auc_score
from torchvision import transforms as T

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import make_net_golden as golden  # noqa: E402
from nets import NETS  # noqa: E402
from probe_oracle import Net, deflate, image_gradient, signs  # noqa: E402
from real_networks import TABLE, Tap  # noqa: E402

ALLOWED = 1e-3
NAC = {"avgpool": (50, 50, 100.0), "layer3": (100, 500, 1000.0), "layer2": (5, 50, 0.001), "layer1": (100, 500, 0.001)}
CASES = [
    ("cifar10_resnet20.legacy.th", {"train": "cifar10-train", "id": "cifar10-test", "mnist": "mnist", "tin": "tin32"},
     ["odin:temperature=1000:eps=0.0014", "nac", "rankfeat"], ("layer3", "layer2")),
    ("imagenet_squeezenet1_0_dc.pth", {"id": "imagenet-sample", "textures": "textures"},
     ["odin:temperature=1000:eps=0.0014", "rankfeat"], ("features.12", "features.10")),
]


def boundaries(m):
    a = np.log(np.linspace(1, np.sqrt(1000), m // 2)) / np.log(1000)
    t = np.concatenate([a[:-1], (1 - a)[::-1]])
    t[m // 2 - 1] = 0.5
    t[-1] += 0.01
    return np.concatenate([t, [1.2]])


def coverage(train, x, m, o, alpha):
    t, out = boundaries(m), np.zeros(len(x))
    state = [expit(alpha * v.astype(np.float64)) for v in (train, x)]
    for j in range(x.shape[1]):
        count = np.bincount(np.searchsorted(t, state[0][:, j], side="right") - 1, minlength=m)
        out += np.minimum(count[np.searchsorted(t, state[1][:, j], side="right") - 1] / o, 1)
    return out / x.shape[1]


class Truth:
    """What PyTorch says of one set of images."""

    def __init__(self, net, x, layers, with_nac):
        g = image_gradient(net, x, "ce", 1000.0)
        moved = net.run(x - 0.0014 * signs(g, 1)).detach() / 1000
        self.odin = F.softmax(moved - moved.max(1, keepdim=True).values, 1).max(1).values.numpy()
        zs = [net.run(x, (), {layer: lambda y: net.again(deflate(net.matrix(y)), y)}).detach() for layer in layers]
        self.rankfeat = logsumexp(((zs[0] + zs[1]) / 2).numpy(), axis=1)
        self.nac = self.states(net, x) if with_nac else {}

    @staticmethod
    def states(net, x):
        y = net.run(x.clone().requires_grad_(True), NAC)
        (-F.log_softmax(y, 1).mean(1).sum()).backward()
        maps = {layer: net.layer(layer) for layer in NAC}
        return {k: (net.matrix(o).sum(2) * net.matrix(o.grad).sum(2)).detach().numpy() for k, o in maps.items()}


def in_parts(net, x, layers, with_nac, size=25):
    parts = [Truth(net, x[i:i + size], layers, with_nac) for i in range(0, len(x), size)]
    out = parts[0]
    out.odin = np.concatenate([p.odin for p in parts])
    out.rankfeat = np.concatenate([p.rankfeat for p in parts])
    out.nac = {k: np.concatenate([p.nac[k] for p in parts]) for k in out.nac}
    return out


def fpr95(ident, ood):
    return np.mean(ood >= np.sort(ident)[-int(0.95 * len(ident))])


def case(tap, extract, score, data, images, file, sets, methods, layers):
    name, reference, classes, _, stats, *_ = TABLE[file]
    mean, std = golden.IMAGENET
    net = Net(golden.load_net(reference, classes, os.path.join(data, "weights", file)).double().eval(), NETS[reference], False)
    for p in net.net.parameters():
        p.requires_grad_(False)
    small = NETS[reference].side == 32
    size = [T.Resize((32, 32))] if small else [T.Resize(256), T.CenterCrop(224)]
    change = T.Compose(size + [T.ToTensor(), T.Normalize(mean, std)])
    truth = {}
    with tempfile.TemporaryDirectory() as tmp:
        for role, listed in sets.items():
            rows = golden.read_list(data, listed, 0)
            rows = rows[:: max(1, len(rows) // images)][:images]
            with open(f"{tmp}/{role}.txt", "w") as f:
                f.writelines(f"{r[0]} {r[1] if len(r) > 1 else 0}\n" for r in rows)
            x = torch.stack([change(Image.open(os.path.join(data, "images", r[0])).convert("RGB")) for r in rows]).double()
            truth[role] = in_parts(net, x, layers, small)
            args = [extract, "run", "-q", "-m", name, "-w", os.path.join(data, "weights", file), "-r", os.path.join(data, "images"),
                    "-l", f"{tmp}/{role}.txt", "-o", f"{tmp}/{role}.h5", "--probe", "odin:T=1000,eps=0.0014", "--probe", "rankfeat"]
            args += ["--probe", "nac:layers=" + "/".join(NAC)] if small else []
            subprocess.run(args, check=True)
        options = {"nac": "nac:build=all:layers=" + "/".join(NAC) + "".join(
            f":{k}=" + "/".join(f"{v[i]:g}" for v in NAC.values()) for i, k in enumerate(("o", "m", "alpha")))}
        subprocess.run([score, "run", "-q", "--id", f"{tmp}/id.h5", "--json", f"{tmp}/r.json", "--markdown", f"{tmp}/r.md",
                        "--methods", ",".join(options.get(m, m) for m in methods), "--ood"]
                       + [f"{s}={tmp}/{s}.h5" for s in sets if s not in ("id", "train")]
                       + (["--train", f"{tmp}/train.h5"] if "train" in sets else []), check=True,
                       stdout=subprocess.DEVNULL)
        rows = json.load(open(f"{tmp}/r.json"))["rows"]
        skipped = json.load(open(f"{tmp}/r.json"))["skipped"]
    tap.check(not skipped, f"{name}: every method ran {skipped if skipped else ''}")
    for m in methods:
        of = m.split(":")[0]
        for s in sets:
            if s in ("id", "train"):
                continue
            values = []
            for role in ("id", s):
                t = truth[role]
                values.append(sum(coverage(truth["train"].nac[k], t.nac[k], b, o, a) for k, (o, b, a) in NAC.items())
                              if of == "nac" else getattr(t, of))
            got = [r for r in rows if r["method"].split(":")[0] == of and r["ood"] == s]
            if len(got) != 1:
                tap.check(False, f"{name} {m} {s}: {len(got)} rows")
                continue
            want = roc_auc_score([1] * len(values[0]) + [0] * len(values[1]), np.concatenate(values))
            off, fpr = abs(got[0]["auroc"] - want), abs(got[0]["fpr95_vim"] - fpr95(*values))
            one = 1.5 / len(values[1])  # one image at the threshold
            tap.check(off <= ALLOWED and fpr <= max(ALLOWED, one),
                      f"{name} {of} {s}: AUROC {100 * want:.2f}, off by {off:.1e} (allowed {ALLOWED}), FPR95 off by {fpr:.1e} of {len(values[1])} images")


def main():
    images = int(sys.argv[sys.argv.index("--images") + 1]) if "--images" in sys.argv else 200
    extract, score, data = sys.argv[1:4]
    torch.set_num_threads(2)
    tap = Tap()
    for file, sets, methods, layers in CASES:
        count = images if "resnet20" in file else max(20, images // 5)
        if os.path.exists(os.path.join(data, "weights", file)):
            case(tap, extract, score, data, count, file, sets, methods, layers)
        else:
            tap.skip(file, "not there")
    print(f"1..{tap.n}")
    return 1 if tap.bad else 0


if __name__ == "__main__":
    sys.exit(main())
