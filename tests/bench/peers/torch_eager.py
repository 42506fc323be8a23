#!/usr/bin/env python3
"""Peer for extract: PyTorch eager with any network of tests/golden/nets.py.

  torch_eager.py NET [-w CKPT] -l LIST -r ROOT [-t N] [-j WORKERS] [--layout nchw|cl] [-b B]
  torch_eager.py NET [-w CKPT|none] -n IMAGES [-t N] [--dtype f32|bf16] ...   network only, random input

From files it does what the published extraction scripts do: DataLoader, forward, penultimate
features and logits kept in lists, concatenated, pickled.  bf16 is autocast, as those scripts would
have it.  Without -w the weights are made by hash, with -w none as the library initialises them."""
import argparse
import pickle
import tempfile

from common import Images, Meter, network, read_list, threads

p = argparse.ArgumentParser()
p.add_argument("net")
p.add_argument("-w", "--weights")
p.add_argument("-l", "--list")
p.add_argument("-r", "--root")
p.add_argument("-n", "--images", type=int, default=0)
p.add_argument("-t", "--threads", type=int, default=1)
p.add_argument("-j", "--workers", type=int, default=0)
p.add_argument("-b", "--batch", type=int, default=16)
p.add_argument("--layout", choices=("nchw", "cl"), default="nchw")
p.add_argument("--limit", type=int, default=0)
p.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
p.add_argument("--autocast", action="store_const", const="bf16", dest="dtype", help="same as --dtype bf16")
p.add_argument("--warm", type=int, default=2, help="batches before the measured ones")
a = p.parse_args()
threads(a.threads)

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402
from nets import NETS, Taps  # noqa: E402

torch.set_num_threads(a.threads)
fmt = torch.channels_last if a.layout == "cl" else torch.contiguous_format
net = network(a.net, a.weights).to(memory_format=fmt)
side = NETS[a.net].side
if a.list:
    data = Images(a.root, read_list(a.list, a.limit), side)
    batches = DataLoader(data, batch_size=a.batch, num_workers=a.workers)
else:
    fixed = torch.randn(a.batch, 3, side, side).to(memory_format=fmt)
    batches = [fixed] * (a.images // a.batch)
with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=a.dtype == "bf16"):
    for _ in range(a.warm):
        net(torch.randn(a.batch, 3, side, side).to(memory_format=fmt))
    taps = Taps(net, type("OnlyFeature", (), {"taps": [], "head": NETS[a.net].head}))
    with Meter() as m:
        features, logits = [], []
        for x in batches:
            z = net(x.to(memory_format=fmt))
            features.append(taps.features.float().numpy())
            logits.append(z.float().numpy())
            m.items += len(x)
        with tempfile.TemporaryFile() as f:
            pickle.dump((np.concatenate(features), np.concatenate(logits)), f)
