#!/usr/bin/env python3
"""Arrays as JAX and TensorFlow store them and as PyTorch wants them: writes tests/golden/layouts.npz.

    python3 tests/golden/make_layouts.py      numpy

"in/NAME" is what a file holds, "out/NAME" what becomes of it, by the expressions of the published
loaders: timm's vision_transformer._load_weights (checkpoint.npz of augreg) and big_transfer's tf2th.
The archive is stored, not deflated, with the time of its members fixed: the same bytes every time.
"""
import io
import zipfile
from pathlib import Path

import numpy as np

rng = np.random.default_rng(3)
D, HEADS, WIDTH, OUT = 6, 2, 3, 5


def values(*shape):
    return rng.integers(-999, 1000, shape).astype(np.float32) / 8


def main():
    a = {"in/kernel4": values(2, 3, 4, OUT), "in/matrix": values(4, OUT), "in/out": values(HEADS, WIDTH, D),
         "in/gamma": values(1, 1, 1, 7), "in/vector": values(7), "in/scale": values(7, 1, 1)}
    for k in ("query", "key", "value"):
        a[f"in/{k}/kernel"] = values(D, HEADS, WIDTH)
        a[f"in/{k}/bias"] = values(HEADS, WIDTH)
        a[f"in/{k}/rows"] = values(OUT, 4)
    a["out/kernel4"] = a["in/kernel4"].transpose([3, 2, 0, 1])
    a["out/matrix"] = a["in/matrix"].T
    a["out/out"] = a["in/out"].transpose([2, 0, 1]).reshape(D, -1)
    for k in ("gamma", "vector", "scale"):
        a[f"out/{k}"] = a[f"in/{k}"].reshape(-1)
    # timm: torch.cat([n2p(w[k + 'kernel'], t=False).flatten(1).T for k in ('query', 'key', 'value')])
    a["out/qkv/kernel"] = np.concatenate([a[f"in/{k}/kernel"].reshape(D, -1).T for k in ("query", "key", "value")])
    a["out/qkv/bias"] = np.concatenate([a[f"in/{k}/bias"].reshape(-1) for k in ("query", "key", "value")])
    a["out/stack"] = np.concatenate([a[f"in/{k}/rows"] for k in ("query", "key", "value")])
    a["out/stack/bias"] = np.concatenate([a[f"in/{k}/bias"] for k in ("query", "key", "value")])
    path = Path(__file__).with_name("layouts.npz")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as z:
        for name, v in a.items():
            f = io.BytesIO()
            np.save(f, np.ascontiguousarray(v))
            z.writestr(zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0)), f.getvalue())


if __name__ == "__main__":
    main()
