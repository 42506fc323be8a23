#!/usr/bin/env python3
"""Peer for f32 inference: ONNX Runtime's CPU provider, network only on random input.

  ort.py NET [-w CKPT] -n IMAGES [-t N] [-b B] [--cache DIR]

The ONNX file is exported once from the PyTorch network into the cache."""
import argparse
import os
import sys
import warnings

from common import Meter, network, threads

p = argparse.ArgumentParser()
p.add_argument("net")
p.add_argument("-w", "--weights")
p.add_argument("-n", "--images", type=int, default=256)
p.add_argument("-t", "--threads", type=int, default=1)
p.add_argument("-b", "--batch", type=int, default=16)
p.add_argument("--cache", default=os.environ.get("OUTPOST_PEERS_CACHE", "/tmp/outpost-onnx"))
a = p.parse_args()
threads(a.threads)

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402

tag = os.path.basename(a.weights).split(".")[0] if a.weights else "hash"
path = os.path.join(a.cache, f"{a.net}-{tag}-b{a.batch}.onnx")
if not os.path.exists(path):
    import torch
    from nets import NETS
    side = NETS[a.net].side
    warnings.simplefilter("ignore")
    os.makedirs(a.cache, exist_ok=True)
    torch.onnx.export(network(a.net, a.weights), (torch.zeros(a.batch, 3, side, side),), path + ".part",
                      input_names=["x"], output_names=["logits"], dynamo=False)
    os.replace(path + ".part", path)
    os.execv(sys.executable, [sys.executable] + sys.argv)  # measure without torch in the process
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.inter_op_num_threads = a.threads, 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
x = np.random.default_rng(1).standard_normal(session.get_inputs()[0].shape, dtype=np.float32)
for _ in range(2):
    session.run(None, {"x": x})
with Meter() as m:
    for _ in range(a.images // a.batch):
        session.run(None, {"x": x})
        m.items += a.batch
