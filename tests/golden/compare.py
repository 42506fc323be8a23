#!/usr/bin/env python3
"""Compares a feature file of outpost with golden values of make_net_golden.py.

  compare.py OURS.h5|OURS.npz GOLDEN.npz [--tol R]

Per tensor: relative L2 error of the whole, and per image its median and maximum; images are matched
by row.  For logits also top-1 and top-5 counts of both sides and how many predictions agree.  A tap
stored as [N,C] is compared with the spatial mean or the sum of the golden map (the nearer, said);
one stored as NHWC is transposed.  Exit 1 when --tol is given and some whole error is above it, when a
shape does not fit, or when nothing could be compared.
"""
import argparse
import sys

import numpy as np


def read_ours(path):
    if path.endswith(".npz"):
        with np.load(path) as f:
            return {k: f[k] for k in f.files}
    import h5py
    out = {}
    with h5py.File(path, "r") as f:
        def visit(name, item):
            if isinstance(item, h5py.Dataset) and item.shape:
                out["tap:" + name[5:] if name.startswith("taps/") else name] = item[()]
        f.visititems(visit)
    return out


def fit(got, want):
    """(got, want, remark) with equal shapes, or None."""
    n = min(len(got), len(want))
    got, want = got[:n].astype(np.float64), want[:n].astype(np.float64)
    if got.shape == want.shape:
        return got, want, ""
    if got.ndim == 4 and want.ndim == 4 and got.transpose(0, 3, 1, 2).shape == want.shape:
        return got.transpose(0, 3, 1, 2), want, "NHWC"
    if want.ndim == 4 and got.size == want.size and 1 in want.shape[2:]:
        return got.reshape(want.shape), want, ""
    flat = got.reshape(n, -1)
    if want.ndim == 4 and flat.shape == want.shape[:2]:
        sides = [(want.mean((2, 3)), "mean"), (want.sum((2, 3)), "sum")]
        return (flat, *min(sides, key=lambda s: np.abs(s[0] - flat).sum()))
    return None


def relative(got, want, axis=None):
    return np.sqrt(((got - want) ** 2).sum(axis)) / np.maximum(np.sqrt((want ** 2).sum(axis)), 1e-300)


def top(logits, labels, k):
    own = logits[np.arange(len(labels)), labels][:, None]
    return int(((logits > own).sum(1) < k).sum())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("ours")
    p.add_argument("golden")
    p.add_argument("--tol", type=float, help="largest relative L2 error of a whole tensor")
    args = p.parse_args()
    ours = read_ours(args.ours)
    with np.load(args.golden) as f:
        golden = {k: f[k] for k in f.files}
    failed = compared = 0
    if "status" in ours and (ours["status"] != 1).any():
        print(f"status: {(ours['status'] != 1).sum()} rows are not ok")
        failed += 1
    if "paths" in ours and "paths" in golden:
        text = [x.decode() if isinstance(x, bytes) else str(x) for x in ours["paths"]]
        n = min(len(text), len(golden["paths"]))
        if text[:n] != [str(x) for x in golden["paths"][:n]]:
            print("paths: the rows are not the same images")
            failed += 1
    print(f"{'tensor':<24}{'rows':>6}{'whole':>11}{'median':>11}{'max':>11}  of the image")
    for key, want in golden.items():
        if key not in ours or key in ("paths", "labels", "made", "status"):
            continue
        fitted = fit(ours[key], want)
        if fitted is None:
            print(f"{key:<24} shapes do not fit: ours {ours[key].shape}, golden {want.shape}")
            failed += 1
            continue
        got, want, remark = fitted
        n = len(got)
        whole, each = relative(got, want), relative(got.reshape(n, -1), want.reshape(n, -1), 1)
        compared += 1
        over = args.tol is not None and not whole <= args.tol
        failed += over
        used = "" if args.tol is None else f"  {whole / args.tol:.0%} of the tolerance{' EXCEEDED' if over else ''}"
        print(f"{key:<24}{n:>6}{whole:>11.2e}{np.median(each):>11.2e}{each.max():>11.2e}  {remark}{used}")
    if "logits" in ours and "logits" in golden:
        a, b = ours["logits"], golden["logits"][:len(ours["logits"])]
        a = a[:len(b)]
        print(f"predictions: {(a.argmax(1) == b.argmax(1)).sum()} of {len(b)} agree")
        if "labels" in golden:
            labels = golden["labels"][:len(b)]
            for k in (1, 5):
                print(f"top-{k}: ours {top(a, labels, k)}, golden {top(b, labels, k)} of {len(b)}")
    if not compared:
        print("nothing to compare: no tensor is in both files")
    return 1 if failed or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
