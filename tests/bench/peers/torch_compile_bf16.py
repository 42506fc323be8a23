#!/usr/bin/env python3
"""Peer for bf16: torch.compile, channels_last, frozen weights, network only on random input.

  torch_compile_bf16.py NET [-w CKPT] -n IMAGES [-t N] [-b B] [--cast model|auto] [--f32] [--no-freeze]

--cast model converts the network to bf16 (all of it), auto uses autocast.  The first calls compile
and are not measured; inductor keeps its cache in TORCHINDUCTOR_CACHE_DIR."""
import argparse

from common import Meter, network, threads

p = argparse.ArgumentParser()
p.add_argument("net")
p.add_argument("-w", "--weights")
p.add_argument("-n", "--images", type=int, default=256)
p.add_argument("-t", "--threads", type=int, default=1)
p.add_argument("-b", "--batch", type=int, default=16)
p.add_argument("--cast", choices=("model", "auto"), default="model")
p.add_argument("--f32", action="store_true")
p.add_argument("--no-freeze", action="store_true")
a = p.parse_args()
threads(a.threads)

import torch  # noqa: E402
import torch._inductor.config as inductor  # noqa: E402
from nets import NETS  # noqa: E402

torch.set_num_threads(a.threads)
inductor.freezing = not a.no_freeze
net = network(a.net, a.weights).to(memory_format=torch.channels_last)
side = NETS[a.net].side
x = torch.randn(a.batch, 3, side, side).to(memory_format=torch.channels_last)
if not a.f32 and a.cast == "model":
    net, x = net.bfloat16(), x.bfloat16()
net = torch.compile(net)
with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=not a.f32 and a.cast == "auto"):
    for _ in range(3):
        net(x)
    with Meter() as m:
        for _ in range(a.images // a.batch):
            net(x)
            m.items += a.batch
