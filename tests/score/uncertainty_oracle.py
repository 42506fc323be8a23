#!/usr/bin/python3
"""score/uncertainty.c against the definitions, written out with numpy, scipy and scikit-learn.

  uncertainty_oracle.py PATH/TO/score_uncertainty

DeLong: the matrix of all pairs, its row and column means, numpy's var(ddof=1).  Bootstrap: the same
draws (splitmix64 in Python integers), every replicate made as arrays of scores, metrics by
scikit-learn and by the published rules, numpy.percentile.  Tolerance 1e-12."""
import subprocess
import sys
import warnings

import numpy as np
from scipy.stats import norm
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

FIELDS = ["auroc", "fpr95_vim", "fpr95_mos", "fpr95_react", "fpr95_openood",
          "aupr_in", "aupr_out", "ap_in", "ap_out"]
MASK = (1 << 64) - 1
GOLDEN = 0x9e3779b97f4a7c15
TOLERANCE = 1e-12
tool = sys.argv[1]
count = 0
failed = False
warnings.simplefilter("ignore")


def ok(good, text):
    global count, failed
    count += 1
    failed |= not good
    print(("ok" if good else "not ok"), count, "-", text, flush=True)


def mix(z):
    z = ((z ^ (z >> 30)) * 0xbf58476d1ce4e5b9) & MASK
    z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & MASK
    return z ^ (z >> 31)


def draws(state, n):
    out = []
    for _ in range(n):
        state = (state + GOLDEN) & MASK
        out.append((mix(state) * n) >> 64)
    return state, np.array(out)


def metrics(a, b):
    n, m = len(a), len(b)
    y = np.r_[np.ones(n), np.zeros(m)]
    s = np.r_[a, b]
    order, r = np.sort(a), {}
    r["auroc"] = roc_auc_score(y, s)
    r["fpr95_vim"] = np.mean(b >= order[-max(19 * n // 20, 1)])
    best = None
    for t in sorted(set(s), reverse=True):
        recall = np.count_nonzero(a >= t) / n
        if best is None or abs(recall - 0.95) <= best[0]:
            best = (abs(recall - 0.95), t)
        if recall == 1:
            break
    r["fpr95_mos"] = np.mean(b >= best[1])
    r["fpr95_react"] = np.mean(b > order[round(n / 20)])
    r["fpr95_openood"] = np.mean(a <= np.sort(b)[-(-19 * m // 20) - 1])
    p, q, _ = precision_recall_curve(y, s)
    u, v, _ = precision_recall_curve(1 - y, np.float32(1) - s)
    r["aupr_in"], r["aupr_out"] = auc(q, p), auc(v, u)
    r["ap_in"], r["ap_out"] = average_precision_score(y, s), average_precision_score(1 - y, -s)
    return r


def shares(a, b):
    wins = (a[:, None] > b[None, :]) + 0.5 * (a[:, None] == b[None, :])
    return wins.mean(1), wins.mean(0)


def variance(v, w):
    return np.var(v, ddof=1) / len(v) + np.var(w, ddof=1) / len(w)


def close(got, want):
    if np.isnan(got) or np.isnan(want):
        return 0.0 if np.isnan(got) == np.isnan(want) else np.inf
    return abs(got - want) / max(1.0, abs(want))


rng = np.random.default_rng(3)
cases = []
for k in range(60):
    n, m = [(1, 5), (5, 1), (2, 2), (19, 20), (20, 21), (21, 19)][k % 6] if k < 24 else \
        (int(rng.integers(2, 120)), int(rng.integers(2, 120)))
    a, b = rng.normal(1, 1, n).astype(np.float32), rng.normal(0, 1.5, m).astype(np.float32)
    c = (a + rng.normal(0, 0.7, n)).astype(np.float32)
    d = (b + rng.normal(0, 0.7, m)).astype(np.float32)
    if k % 3 == 1:
        a, b, c, d = (np.round(x) for x in (a, b, c, d))
    if k % 5 == 2:  # 1 - s merges
        a, b = (a * np.float32(1e-7)).astype(np.float32), (b * np.float32(1e-7)).astype(np.float32)
    cases.append((40, k * 1234567891011, a, b, c, d))
cases.append((40, 1, *(np.float32(x) for x in ([3, 4], [1, 2], [3, 4], [1, 2]))))
text = "".join(f"{r} {s} | " + " | ".join(" ".join(map(repr, map(float, x))) for x in v) + "\n"
               for r, s, *v in cases)
out = subprocess.run([tool], input=text, capture_output=True, text=True, check=True).stdout
worst = {}
for (replicates, seed, a, b, c, d), line in zip(cases, out.splitlines()):
    got = list(map(float, line.split()))
    v, w = shares(a, b)
    x, y = shares(c, d)
    var = variance(v, w)
    half = norm.ppf(0.975) * np.sqrt(var)
    want = [var, max(v.mean() - half, 0), min(v.mean() + half, 1)] if not np.isnan(var) else \
        [np.nan] * 3
    worst["DeLong"] = max([worst.get("DeLong", 0)] + [close(g, t) for g, t in zip(got, want)])
    values = []
    for r in range(replicates):
        state = mix((seed + mix((r + GOLDEN) & MASK)) & MASK)
        state, i = draws(state, len(a))
        state, j = draws(state, len(b))
        values.append(metrics(np.sort(a)[i], np.sort(b)[j]))
    for k, f in enumerate(FIELDS):
        q = np.percentile([z[f] for z in values], [2.5, 97.5])
        for g, t in zip(got[3 + 2 * k:5 + 2 * k], q):
            worst[f] = max(worst.get(f, 0), close(g, t))
    dv = np.var(v - x, ddof=1) / len(a) + np.var(w - y, ddof=1) / len(b)
    diff = v.mean() - x.mean()
    z = 0.0 if diff == 0 and dv == 0 else diff / np.sqrt(dv)
    for g, t in zip(got[21:], (dv, z, 2 * norm.sf(abs(z)))):
        worst["paired test"] = max(worst.get("paired test", 0), close(g, t))
for f, v in worst.items():
    ok(v <= TOLERANCE, f"{f}: {len(cases)} cases off by {v:.1e} of {TOLERANCE:.0e}")
bad = subprocess.run([tool], input="10 1 | nan 1 | 2 3\n10 1 | 1 | \n10 1 |  | 1\n", text=True,
                     capture_output=True).stdout.splitlines()
ok(len(bad) == 3 and all(x.startswith("error") for x in bad), "NaN and empty sets are refused")
print(f"1..{count}")
sys.exit(failed)
