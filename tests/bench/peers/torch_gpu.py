#!/usr/bin/env python3
"""Peer for extract -d cuda: PyTorch on the same GPU, any network of tests/golden/nets.py.

  torch_gpu.py NET [--batch B] [--seconds S] [--modes eager,amp,compile] [--precision fp32,tf32,bf16,fp16]

Per mode and precision one line `torch-gpu NET MODE PRECISION images/s`, network only: a batch of random
input that stays on the device, timed by CUDA events after a warm-up.
  eager    contiguous, parameters and input of the precision itself (tf32: float32 with TF32 allowed)
  amp      channels_last under autocast, as the published scripts would do it (bf16 and fp16 only)
  compile  torch.compile(mode="max-autotune") of channels_last, parameters of the precision
Modes that fail say why and go on."""
import argparse
import sys

from common import network

p = argparse.ArgumentParser()
p.add_argument("net")
p.add_argument("--batch", type=int, default=256)
p.add_argument("--seconds", type=float, default=2.0)
p.add_argument("--modes", default="eager,amp,compile")
p.add_argument("--precision", default="fp32,tf32,bf16,fp16")
a = p.parse_args()

import torch  # noqa: E402
from nets import NETS  # noqa: E402

TYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def rate(call, x):
    """Images per second of call(x), over at least a.seconds."""
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


def measure(mode, precision):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True
    kind = TYPES[precision]
    net = network(a.net, "none").cuda()
    side = NETS[a.net].side
    x = torch.randn(a.batch, 3, side, side, device="cuda")
    if mode == "eager":
        return rate(net.to(kind), x.to(kind))
    net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    if mode == "amp":
        def call(v):
            with torch.autocast("cuda", kind):
                return net(v)
        return rate(call, x)
    return rate(torch.compile(net.to(kind), mode="max-autotune"), x.to(kind))


if not torch.cuda.is_available():
    sys.exit("torch_gpu.py: no CUDA device")
print(f"# torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}, {torch.cuda.get_device_name()}", flush=True)
with torch.inference_mode():
    for precision in a.precision.split(","):
        for mode in a.modes.split(","):
            if mode == "amp" and precision in ("fp32", "tf32"):
                continue
            try:
                print(f"torch-gpu {a.net} {mode} {precision} {measure(mode, precision):.1f}", flush=True)
            except Exception as e:  # a mode that this torch cannot do must not end the others
                print(f"torch-gpu {a.net} {mode} {precision} failed: {str(e).splitlines()[0][:150]}", flush=True)
            torch.cuda.empty_cache()
            torch._dynamo.reset()
