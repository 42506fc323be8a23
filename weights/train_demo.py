#!/usr/bin/env python3
"""Trains the network of `make demo` on generated images and writes weights/demo.safetensors.

    make build/demo-images && python3 weights/train_demo.py

The images it learns from come from another seed than those of the demo, so nothing that the demo
measures was seen in training.  Needs torch, torchvision and Pillow; minutes on one CPU core.
One thread and fixed seeds: the same versions on the same kind of CPU give the same file.
"""
import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from demo_net import DemoNet, load, load_net, normalise, read_list, run, save_safetensors

HERE = Path(__file__).resolve().parent
TRAIN_SEED, DEMO_SEED = 20260, 1


def augment(x, gen):
    """Turns and flips, which none of the classes minds, for the whole batch at once."""
    if torch.rand(1, generator=gen) < 0.5:
        x = x.flip(3)
    return torch.rot90(x, int(torch.randint(4, (1,), generator=gen)), (2, 3))


def train(net, images, labels, epochs, batch=64):
    gen = torch.Generator().manual_seed(0)
    steps = epochs * (len(images) // batch)
    opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, 0.15, total_steps=steps, pct_start=0.25)
    loss_of = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        start, total, right = time.time(), 0.0, 0
        order = torch.randperm(len(images), generator=gen)
        net.train()
        for i in range(len(images) // batch):
            rows = order[i * batch:(i + 1) * batch]
            z = net(augment(normalise(images[rows]), gen))
            loss = loss_of(z, labels[rows])
            opt.zero_grad()
            loss.backward()
            opt.step()
            plan.step()
            total += float(loss.detach()) * batch
            right += int((z.argmax(1) == labels[rows]).sum())
        seen = len(images) // batch * batch
        print(f"epoch {epoch + 1}/{epochs}  loss {total / seen:.4f}  accuracy {right / seen:.4f}  "
              f"{time.time() - start:.0f} s", flush=True)


def accuracy(net, folder, name):
    rows = read_list(folder, name)
    _, z = run(net, load(folder, [p for p, _ in rows]))
    return float(np.mean(z.argmax(1) == np.array([k for _, k in rows])))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--generator", default=HERE.parent / "build" / "demo-images")
    p.add_argument("--out", default=HERE / "demo.safetensors")
    p.add_argument("--scale", type=float, default=8, help="times 1500 training images")
    p.add_argument("--epochs", type=int, default=20)
    p.add_argument("--threads", type=int, default=1)
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as tmp:
        big, demo = f"{tmp}/big", f"{tmp}/demo"
        subprocess.run([o.generator, big, "--seed", str(TRAIN_SEED), "--scale", str(o.scale)],
                       check=True)
        subprocess.run([o.generator, demo, "--seed", str(DEMO_SEED)], check=True)
        rows = read_list(big, "train")
        images = load(big, [path for path, _ in rows])
        labels = torch.tensor([k for _, k in rows])
        net = DemoNet()
        train(net, images, labels, o.epochs)
        state = {k: v.numpy() for k, v in net.state_dict().items() if "num_batches" not in k}
        save_safetensors(o.out, state, {
            "model": "demo", "trained_on": f"demo-images --seed {TRAIN_SEED} --scale {o.scale:g}",
            "epochs": o.epochs, "licence": "MIT"})
        net = load_net(o.out)
        print(f"{sum(v.size for v in state.values())} numbers in {len(state)} tensors")
        print(f"accuracy: demo test set {accuracy(net, demo, 'id'):.4f}, "
              f"demo train set {accuracy(net, demo, 'train'):.4f}, "
              f"larger test set {accuracy(net, big, 'id'):.4f}")


if __name__ == "__main__":
    main()
