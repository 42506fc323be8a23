#!/usr/bin/env python3
"""Peer for extract -d cuda: PyTorch on the same GPU, any network of tests/golden/nets.py.

  torch_gpu.py NET [--batch B] [--seconds S] [--modes eager,amp,compile] [--precision fp32,tf32,bf16,fp16]
  torch_gpu.py NET --list LIST --root DIR [--workers 16] [--batch B] [--modes amp] [--precision bf16]

With a list, end to end: files, a DataLoader of worker processes with torchvision's transform and pinned memory, the
network, features and logits back in host memory, as the published scripts do it; line
`torch-files NET MODE PRECISION images/s`.  The time is that of the loop, workers started within it; building the
network and a warm-up of five batches come before.

Without, per mode and precision one line `torch-gpu NET MODE PRECISION images/s`, network only: a batch of random
input that stays on the device, timed by CUDA events after a warm-up.
  eager    contiguous, parameters and input of the precision itself (tf32: float32 with TF32 allowed)
  amp      channels_last under autocast, as the published scripts would do it (bf16 and fp16 only)
  compile  torch.compile(mode="max-autotune") of channels_last, parameters of the precision
Modes that fail say why and go on.  --device cpu is for trying the script out."""
import argparse
import sys
import time

from common import Images, network, read_list

p = argparse.ArgumentParser()
p.add_argument("net")
p.add_argument("--batch", type=int, default=256)
p.add_argument("--seconds", type=float, default=2.0)
p.add_argument("--modes", default="eager,amp,compile")
p.add_argument("--precision", default="fp32,tf32,bf16,fp16")
p.add_argument("--list")
p.add_argument("--root")
p.add_argument("--workers", type=int, default=16)
p.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
a = p.parse_args()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from nets import NETS, Taps  # noqa: E402

TYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def rate(call, x):
    """Images per second of call(x), over at least a.seconds."""
    if a.device == "cpu":
        return rate_on_cpu(call, x)
    for _ in range(5):
        call(x)
    torch.cuda.synchronize()
    runs, milliseconds = 5, 0.0
    while True:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(runs):
            call(x)
        end.record()
        end.synchronize()
        milliseconds = begin.elapsed_time(end)
        if milliseconds >= 1000 * a.seconds:
            return 1000 * runs * len(x) / milliseconds
        runs = max(runs * 2, int(runs * 1100 * a.seconds / max(milliseconds, 1.0)))


def rate_on_cpu(call, x):
    call(x)
    begin, runs = time.perf_counter(), 0
    while runs == 0 or time.perf_counter() - begin < a.seconds:
        call(x)
        runs += 1
    return runs * len(x) / (time.perf_counter() - begin)


def rate_of_files(call, kind, layout):
    """Images per second from files to features and logits in host memory."""
    data = Images(a.root, read_list(a.list), NETS[a.net].side)
    batches = torch.utils.data.DataLoader(data, batch_size=a.batch, num_workers=a.workers,
                                          pin_memory=a.device == "cuda", prefetch_factor=4 if a.workers else None)
    x = torch.randn(a.batch, 3, NETS[a.net].side, NETS[a.net].side, device=a.device)
    for _ in range(5):
        call(x.to(kind).to(memory_format=layout))
    if a.device == "cuda":
        torch.cuda.synchronize()
    begin, features, logits = time.perf_counter(), [], []
    for x in batches:
        x = x.to(a.device, non_blocking=True).to(kind).to(memory_format=layout)
        z = call(x)
        features.append(taps.features.float().cpu().numpy())
        logits.append(z.float().cpu().numpy())
    done = np.concatenate(features), np.concatenate(logits)
    seconds = time.perf_counter() - begin
    assert len(done[0]) == len(done[1]) == len(data) and np.isfinite(done[1]).all()
    return len(data) / seconds


def measure(mode, precision):
    global taps
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True
    kind = TYPES[precision]
    net = network(a.net, "none").to(a.device)
    side = NETS[a.net].side
    layout = torch.contiguous_format if mode == "eager" else torch.channels_last
    net = net.to(memory_format=layout)
    if a.list:
        taps = Taps(net, type("OnlyFeature", (), {"taps": [], "head": NETS[a.net].head}))
    if mode == "amp":
        def call(v):
            with torch.autocast(a.device, kind):
                return net(v)
        kind_in = torch.float32
    else:
        net, kind_in = net.to(kind), kind
        call = torch.compile(net, mode="max-autotune") if mode == "compile" else net
    if a.list:
        return rate_of_files(call, kind_in, layout)
    return rate(call, torch.randn(a.batch, 3, side, side, device=a.device).to(kind_in).to(memory_format=layout))


if a.device == "cuda" and not torch.cuda.is_available():
    sys.exit("torch_gpu.py: no CUDA device")
where = torch.cuda.get_device_name() if a.device == "cuda" else "CPU"
print(f"# torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}, {where}", flush=True)
who = "torch-files" if a.list else "torch-gpu"
with torch.inference_mode():
    for precision in a.precision.split(","):
        for mode in a.modes.split(","):
            if mode == "amp" and precision in ("fp32", "tf32"):
                continue
            try:
                print(f"{who} {a.net} {mode} {precision} {measure(mode, precision):.1f}", flush=True)
            except Exception as e:  # a mode that this torch cannot do must not end the others
                print(f"{who} {a.net} {mode} {precision} failed: {str(e).splitlines()[0][:150]}", flush=True)
            if a.device == "cuda":
                torch.cuda.empty_cache()
            if mode == "compile":
                torch._dynamo.reset()
