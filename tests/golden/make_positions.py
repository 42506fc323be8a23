#!/usr/bin/env python3
"""Resampled position grids as PyTorch makes them: writes tests/golden/positions.tsv.

    /usr/bin/python3 tests/golden/make_positions.py      torch 1.13 or newer (antialias=True)

Grid [from, from, 2], values U("pe", i) of the golden generator (nets.py), i in C order.  Each row:
how, from, to, sum and L2 of the result [to, to, 2], the largest difference of PyTorch's own float32
from its float64, and up to 24 values at (n - 1) k / 23, all of float64.
"""
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from nets import uniform

PAIRS = [(14, 24), (24, 14), (14, 16), (16, 14), (7, 12), (14, 28), (28, 14), (14, 48), (32, 7), (1, 3),
         (2, 5), (5, 2), (3, 1), (14, 13)]
WIDTH, VALUES = 2, 24


def resize(grid, to, antialias):
    x = grid.permute(2, 0, 1)[None]
    y = F.interpolate(x, size=(to, to), mode="bicubic", align_corners=False, antialias=antialias)
    return y[0].permute(1, 2, 0).numpy().reshape(-1)


def main():
    lines = ["# make_positions.py: torch " + torch.__version__,
             "how\tfrom\tto\tsum\tl2\tf32\tvalues"]
    for how in ("plain", "antialias"):
        for a, b in PAIRS:
            grid = uniform("pe", np.arange(a * a * WIDTH)).reshape(a, a, WIDTH)
            y = resize(torch.from_numpy(grid), b, how == "antialias")
            f = resize(torch.from_numpy(grid.astype(np.float32)), b, how == "antialias")
            at = [(y.size - 1) * k // (VALUES - 1) for k in range(VALUES)]
            lines.append("\t".join([how, str(a), str(b), f"{y.sum():.12g}", f"{np.linalg.norm(y):.12g}",
                                    f"{np.abs(f - y).max():.1e}", " ".join(f"{y[i]:.10g}" for i in at)]))
    Path(__file__).with_name("positions.tsv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
