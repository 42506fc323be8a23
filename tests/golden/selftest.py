"""The digests of extract/cuda/selftest.c, from numpy's float32: run, and compare or paste.

numpy rounds every float32 +, -, * and / as IEEE 754 says, which is what the kernels promise.
"""
import numpy as np

f = np.float32
mean, std = np.array([.485, .456, .406], f), np.array([.229, .224, .225], f)
scale, shift = np.array([1.7, -.3, .01], f), np.array([-.1, .2, 1e-3], f)

p = np.arange(256)
u = np.stack([((2 * c + 1) * p + 7 * c) % 256 for c in range(3)], -1).reshape(16, 16, 3)
assert all(len(set(u[..., c].ravel())) == 256 for c in range(3))

a = ((u.astype(f) / f(255)) - mean) / std
b = np.maximum(a * scale + shift, f(0))
c = a + b
padded = np.pad(c, ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
d = np.stack([padded[i:i + 16:2, j:j + 16:2] for i in range(3) for j in range(3)]).max(0)
e = (d.astype(np.float64).reshape(4, 2, 4, 2, 3).sum((1, 3)) / 4).astype(f)
g = (e.astype(np.float64).reshape(16, 3).sum(0) / 16).astype(f)


def fnv1a(v):
    assert v.dtype == f
    h = 0xcbf29ce484222325
    for byte in np.ascontiguousarray(v).astype('<f4').tobytes():
        h = (h ^ byte) * 0x100000001b3 % 2**64
    return h


for name, v in zip(("normalise", "scale and shift", "add", "max pool", "average pool",
                    "global average pool"), (a, b, c, d, e, g)):
    print("%-20s %4d floats  0x%016x" % (name, v.size, fnv1a(v)))
