#!/usr/bin/env python3
"""Peer for gradients at the image: PyTorch's autograd, eager, on random input.

  torch_gradient.py NET [-w CKPT|none] -n IMAGES [-t N] [-b B] [--layout nchw|cl] [--warm BATCHES]

What ODIN and its relatives run: forward, log-sum-exp of the logits, backward to the input.  Only the input asks for a
gradient; those of the weights are not computed."""
import argparse

from common import Meter, network, threads

p = argparse.ArgumentParser()
p.add_argument("net")
p.add_argument("-w", "--weights", default="none")
p.add_argument("-n", "--images", type=int, required=True)
p.add_argument("-t", "--threads", type=int, default=1)
p.add_argument("-b", "--batch", type=int, default=8)
p.add_argument("--layout", choices=("nchw", "cl"), default="nchw")
p.add_argument("--warm", type=int, default=1, help="batches before the measured ones")
a = p.parse_args()
threads(a.threads)

import torch  # noqa: E402
from nets import NETS  # noqa: E402

torch.set_num_threads(a.threads)
fmt = torch.channels_last if a.layout == "cl" else torch.contiguous_format
net = network(a.net, a.weights).to(memory_format=fmt)
for w in net.parameters():
    w.requires_grad_(False)
side = NETS[a.net].side
images = torch.randn(a.batch, 3, side, side).to(memory_format=fmt)


def gradient():
    x = images.detach().requires_grad_(True)
    torch.logsumexp(net(x), 1).sum().backward()
    return x.grad


for _ in range(a.warm):
    gradient()
with Meter() as m:
    for _ in range(max(1, a.images // a.batch)):
        m.items += len(gradient())
