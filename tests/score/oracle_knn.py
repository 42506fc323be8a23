#!/usr/bin/env python3
"""KNN, twice, against our engine.

`exact`   distances in float64 from differences of the f32 rows f(h), sorted by distance and index: every score must
          be that one, rounded to f32.
`script`  as the published code: f(h) in float64 cast to float32 and an exact search, scikit-learn's for faiss's; in
          float32, where the expansion of the square loses the digits that near rows need.

usage: oracle_knn.py PATH/TO/score_arrays
Prints TAP; every check states its tolerance and how much of it was used."""
import subprocess
import sys
import tempfile

import numpy as np
from sklearn.neighbors import NearestNeighbors

from oracle_methods import Tap, make_data, write_data


def normalised(x):
    x = x.astype(np.float64)
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return (x / np.where(norm > 0, norm, 1) + 1e-10).astype(np.float32)


def exact(train, test, ks):
    t, out = train.astype(np.float64), []
    for row in test.astype(np.float64):
        d = np.sort(((t - row) ** 2).sum(1))
        out.append([-d[k - 1] for k in ks])
    return np.array(out)


def script(train, test, ks):
    search = NearestNeighbors(n_neighbors=max(ks), algorithm="brute", metric="sqeuclidean").fit(train)
    distance, _ = search.kneighbors(test)
    return -np.array([distance[:, k - 1] for k in ks]).T


def engine(tool, folder, spec, n_uses, sets, *extra):
    done = subprocess.run([tool, folder, spec, *extra], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit("Bail out! " + done.stderr.strip())
    names = ["id"] + ["ood%d" % i for i in range(len(sets) - 1)]
    return [[np.fromfile(f"{folder}/out_{i}_{s}.f32", np.float32) for s in names] for i in range(n_uses)]


def duplicates(train, sets):
    """Half of the ID rows are train rows, some of them three times there; the others almost."""
    train[100:200] = train[:100]
    train[200:300] = train[:100]
    half = len(sets[0]) // 2
    sets[0][:half] = train[:half]
    sets[0][half:2 * half] = train[half:2 * half] * np.float32(1 + 1e-6)


def zeros(train, sets):
    train[7] = train[19] = sets[0][3] = sets[1][0] = 0


def offset(train, sets):
    for x in (train, *sets):
        x += 100


CASES = {  # train rows, test rows, width, what is done to the data
    "tall": (3000, 700, 96, None),
    "wide": (1500, 120, 900, None),
    "few rows": (60, 40, 12, None),
    "train rows again among the test rows": (900, 200, 64, duplicates),
    "rows of zeros": (400, 60, 20, zeros),
    "far from the origin": (900, 100, 64, offset),
}


def main():
    tool, tap = sys.argv[1], Tap()
    print("1..%d" % (len(CASES) * 8))
    for seed, (case, (n_train, n_test, d, change)) in enumerate(CASES.items()):
        train, y, sets, w, b = make_data(np.random.default_rng(seed), n_train, n_test, d, 10)
        if change:
            change(train, sets)
        ks = [1, 5, 50, n_train]
        spec = "knn:k=" + "+".join(map(str, ks))
        with tempfile.TemporaryDirectory() as folder:
            write_data(folder, train, y, sets, w, b)
            for how, f in (("l2", normalised), ("none", lambda x: x)):
                ours = engine(tool, folder, f"{spec}:normalise={how}", len(ks), sets)
                worst = {"exact": 0.0, "script": 0.0}
                for s, x in enumerate(sets):
                    got = np.stack([o[s] for o in ours], axis=1).astype(np.float64)
                    want = exact(f(train), f(x), ks)
                    # beside the rounding to f32: f(h) itself may round the other way where numpy's norm sums in
                    # another order, 6e-8 of the rows' length, twice the distance times that in its square
                    size = np.square(f(x).astype(np.float64)).sum(1)[:, None] * (how == "l2")
                    room = 1.2e-7 * np.abs(want) + 4e-7 * np.sqrt(np.abs(want) * size) + 1e-13 * size
                    worst["exact"] = max(worst["exact"], (np.abs(got - want) / np.maximum(room, 1e-300)).max())
                    off = np.abs(got - script(f(train), f(x), ks))
                    most = np.square(f(train).astype(np.float64)).sum(1).max() + np.square(f(x).astype(np.float64)).sum(1).max()
                    worst["script"] = max(worst["script"], (off / (2e-6 * most)).max())
                tap.check(worst["exact"] <= 1, f"{case}, {how}: exact, {100 * worst['exact']:.0f} % of the rounding of f32")
                tap.check(worst["script"] <= 1, f"{case}, {how}: as the script, {100 * worst['script']:.0f} % of 2e-6 of the squares")
            same = lambda a, b: all(np.array_equal(p, q) for i, j in zip(a, b) for p, q in zip(i, j))
            first = engine(tool, folder, spec, len(ks), sets, "threads=1")
            tap.check(same(first, engine(tool, folder, spec, len(ks), sets, "threads=7")), f"{case}: same bytes with 1 and 7 threads")
            tap.check(same(first, engine(tool, folder, spec, len(ks), sets, "memory=40000000")), f"{case}: same bytes in 40 MB")
            tap.check(same(first, engine(tool, folder, spec, len(ks), sets, "copied=1")), f"{case}: same bytes from copied blocks")
            alone = [engine(tool, folder, f"knn:k={k}", 1, sets)[0] for k in ks]
            tap.check(same(first, alone), f"{case}: one search for all k gives what each alone does")
    sys.exit(1 if tap.bad else 0)


if __name__ == "__main__":
    main()
