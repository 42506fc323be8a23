#!/usr/bin/env python3
"""Logits of networks that run again with something exchanged, in float64 PyTorch -> tests/golden/replays.tsv.

  make_replays.py > replays.tsv        (timm 0.6.13, torch >= 1.13, torchvision, numpy)

deflate MODULE: a hook takes the largest singular component out of the module's output (numpy's SVD); relu MODULE:
the hook rectifies it; lighter KEY N: the weight without its N largest components, as f32; odin T EPS: the input
moved against the sign of the gradient.  Batch 2, weights and input by hash (nets.py); n, sum, L2,
sum of v[i] U("check", i) and the values at 0, n/3, n/2, n-1 of the logits."""
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from make_net_golden import hash_net  # noqa: E402
from nets import NETS, uniform  # noqa: E402

RUNS = [
    ("resnet20", "deflate layer3"), ("resnet20", "deflate layer2"), ("resnet20", "odin 1000 0.0014"),
    ("squeezenet1_1", "deflate features.12"), ("squeezenet1_1", "odin 1000 0.0014"),
    ("vit_tiny_patch16_224", "deflate blocks.5"), ("vit_tiny_patch16_224", "deflate blocks.11"),
    ("vit_tiny_patch16_224", "relu blocks.5"), ("vit_tiny_patch16_224", "odin 1000 0.0014"),
    ("vit_tiny_patch16_224", "lighter blocks.10.mlp.fc2.weight 1"),
    ("vit_tiny_patch16_224", "lighter blocks.10.mlp.fc2.weight 2"),
    ("swin_t", "deflate features.5"),
    ("t2t_vit_14", "deflate blocks.11"), ("t2t_vit_14", "lighter blocks.13.mlp.fc2.weight 1"),
    ("bit_s_r101x1", "deflate body.block4"), ("bit_s_r101x1", "lighter body.block4.unit03.conv2.weight 1"),
]


def without_largest(a, removals=1):
    u, s, v = np.linalg.svd(a.detach().numpy(), full_matrices=False)
    s[..., :removals] = 0
    return torch.from_numpy(u * s[..., None, :] @ v)


def deflated(y):
    """Each image's map as a matrix: [c, h w] of NCHW, [h w, c] of channels last; the same component either way."""
    a = y.flatten(2) if y.dim() == 4 and y.shape[1] > y.shape[3] else y.reshape(y.shape[0], -1, y.shape[-1])
    return without_largest(a).reshape(y.shape)


def run(name, what):
    net, x = hash_net(name)
    net.double()
    x = x.double()
    kind, *words = what.split()
    if kind == "lighter":
        w = dict(net.named_parameters())[words[0]]
        w.data = without_largest(w.flatten(1), int(words[1])).float().double().view_as(w)
    elif kind == "odin":
        x.requires_grad_(True)
        z = net(x)
        F.cross_entropy(z / float(words[0]), z.argmax(1), reduction="sum").backward()
        x = x.detach() - float(np.float32(words[1])) * torch.where(x.grad < 0, -1.0, 1.0)
    else:
        change = {"deflate": deflated, "relu": F.relu}[kind]
        dict(net.named_modules())[words[0]].register_forward_hook(lambda _m, _x, y: change(y))
    with torch.no_grad():
        return net(x).numpy().reshape(-1)


def main():
    print("# make_replays.py: float64, batch 2; weights and input by hash")
    print("network\tgain\texchange\tn\tsum\tl2\tprojection\tv0\tv_n3\tv_n2\tv_last")
    for name, what in RUNS:
        v = run(name, what)
        n = v.size
        row = [v.sum(), np.sqrt((v * v).sum()), (v * uniform("check", np.arange(n))).sum(),
               v[0], v[n // 3], v[n // 2], v[n - 1]]
        print("\t".join([name, str(NETS[name].g), what, str(n)] + [f"{r:.12g}" for r in row]), flush=True)


if __name__ == "__main__":
    main()
