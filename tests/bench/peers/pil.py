#!/usr/bin/env python3
"""Peer for decode + resize + crop + normalise: Pillow and torchvision's transforms.

  pil.py -l LIST -r ROOT [-t WORKERS] [--repeat K] [--limit N]

One worker runs in this process; more run as a torch DataLoader's worker processes."""
import argparse

from common import Images, Meter, read_list, threads

p = argparse.ArgumentParser()
p.add_argument("-l", "--list", required=True)
p.add_argument("-r", "--root", required=True)
p.add_argument("-t", "--threads", type=int, default=1)
p.add_argument("--repeat", type=int, default=1)
p.add_argument("--limit", type=int, default=0)
a = p.parse_args()
threads(1)

import torch  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

torch.set_num_threads(1)
images = Images(a.root, read_list(a.list, a.limit) * a.repeat)
images[0]
with Meter() as m:
    if a.threads == 1:
        for i in range(len(images)):
            m.items += images[i].shape[0] == 3
    else:
        for x in DataLoader(images, batch_size=16, num_workers=a.threads):
            m.items += len(x)
