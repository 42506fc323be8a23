#!/usr/bin/env python3
"""Peer for the k nearest neighbours of score: faiss IndexFlatL2, as the KNN repository and OpenOOD call it.

  faiss_knn.py TRAIN TEST D K [THREADS]   (pip install faiss-cpu; tests/tools/knn_bench.c takes the same)
The measured section adds the rows to the index and searches it; drawing and normalising them is outside."""
import sys

from common import Meter, threads

n_train, n_test, d, k = (int(v) for v in sys.argv[1:5])
t = int(sys.argv[5]) if len(sys.argv) > 5 else 1
threads(t)

import faiss  # noqa: E402
import numpy as np  # noqa: E402

faiss.omp_set_num_threads(t)
rng = np.random.default_rng(1)
centre = 0.5 * rng.random((100, d), dtype=np.float32)


def draw(n):
    x = np.maximum(centre[rng.integers(0, 100, n)] + rng.random((n, d), dtype=np.float32) - 0.6, 0)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


x, y = draw(n_train), draw(n_test)
with Meter() as m:
    index = faiss.IndexFlatL2(d)
    index.add(x)
    distance, _ = index.search(y, k)
    m.items = n_test
print(f"faiss {faiss.__version__}: mean distance {distance[:, -1].mean():.9g}")
