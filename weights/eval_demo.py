#!/usr/bin/env python3
"""What the demo's table should look like, worked out without outpost: PyTorch forward, numpy scores.

    make build/demo-images && python3 weights/eval_demo.py

Prints the accuracy and, for each out-of-distribution set, AUROC and FPR95 in percent of MSP, MaxLogit,
Energy, GEN (gamma 0.1, all classes) and of the Mahalanobis distance of the features (class means and one pooled
covariance of the train set).  A larger score means more in-distribution.
"""
import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from demo_net import load, load_net, read_list, run

HERE = Path(__file__).resolve().parent
OOD = ("near", "texture", "glyphs", "noise")


def auroc(inside, outside):
    """The chance that an inside score is larger; ties count half."""
    both = np.sort(outside)
    below = np.searchsorted(both, inside, "left") + np.searchsorted(both, inside, "right")
    return below.mean() / 2 / len(outside)


def fpr95(inside, outside):
    return float(np.mean(outside >= np.quantile(inside, 0.05, method="lower")))


def fit_mahalanobis(f, labels, classes=10):
    means = np.stack([f[labels == k].mean(0) for k in range(classes)])
    rest = f - means[labels]
    return means, np.linalg.pinv(rest.T @ rest / len(f))


def scores(f, z, fitted):
    f, z = f.astype(np.float64), z.astype(np.float64)
    top = z.max(1, keepdims=True)
    log_sum = top[:, 0] + np.log(np.exp(z - top).sum(1))
    prob = np.exp(z - log_sum[:, None])
    means, precision = fitted
    d = f[:, None] - means
    return {
        "msp": prob.max(1),
        "maxlogit": z.max(1),
        "energy": log_sum,
        "gen": -((prob * (1 - prob)).clip(0) ** 0.1).sum(1),
        "mahalanobis": -np.einsum("nkd,de,nke->nk", d, precision, d).min(1),
    }


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--generator", default=HERE.parent / "build" / "demo-images")
    p.add_argument("--weights", default=HERE / "demo.safetensors")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--scale", type=float, default=1)
    o = p.parse_args()
    net, of, labels = load_net(o.weights), {}, {}
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run([o.generator, tmp, "--seed", str(o.seed), "--scale", str(o.scale)], check=True)
        for name in ("train", "id") + OOD:
            rows = read_list(tmp, name)
            of[name] = run(net, load(tmp, [path for path, _ in rows]))
            labels[name] = np.array([k for _, k in rows])
    fitted = fit_mahalanobis(of["train"][0].astype(np.float64), labels["train"])
    for name in ("train", "id"):
        print(f"accuracy {name}: {np.mean(of[name][1].argmax(1) == labels[name]):.4f}")
    inside = scores(*of["id"], fitted)
    outside = {name: scores(*of[name], fitted) for name in OOD}
    print(f"{'AUROC/FPR95':<14}" + "".join(f"{name:>16}" for name in OOD) + f"{'mean':>16}")
    for m, s in inside.items():
        cells = [(auroc(s, outside[n][m]), fpr95(s, outside[n][m])) for n in OOD]
        cells.append(tuple(np.mean(cells, 0)))
        print(f"{m:<14}" + "".join(f"{100 * a:>9.2f}/{100 * b:6.2f}" for a, b in cells))


if __name__ == "__main__":
    main()
