#!/usr/bin/python3
"""score/metrics.c against exact rational arithmetic and against scikit-learn.

  metrics_oracle.py [PATH/TO/score_metrics] [RANDOM_CASES=10000]

1. Every tie pattern of up to 8 scores (each way to split them into groups of equal scores, each
   group with any number of ID and OOD members), in fractions.
2. Random small cases with ties at n_id = 1, 19, 20, 21 and others, in fractions.
3. Larger random f32 scores against scikit-learn and against the rules of the four FPR95 written
   with numpy as the papers' repositories do.
Values are rationals of small integers: the C result may differ by its final rounding; the areas,
which are sums, by 1e-14.  FPR95 "mos" picks its threshold in f64, so the oracle does too."""
import os
import random
import subprocess
import sys
from fractions import Fraction as F

FIELDS = ["auroc", "fpr95_vim", "fpr95_mos", "fpr95_react", "fpr95_openood",
          "aupr_in", "aupr_out", "ap_in", "ap_out"]
EXACT = FIELDS[:5]
here = os.path.dirname(os.path.abspath(__file__))
tool = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../../build/tools/score_metrics")
CASES = int(sys.argv[2]) if len(sys.argv) > 2 else 10000
count = 0
failed = False


def ok(good, text):
    global count, failed
    count += 1
    failed |= not good
    print(("ok" if good else "not ok"), count, "-", text, flush=True)


def run(cases):
    """The C program's answers for [(id, ood)]."""
    text = "".join(" ".join(map(repr, a)) + " | " + " ".join(map(repr, b)) + "\n" for a, b in cases)
    out = subprocess.run([tool], input=text, capture_output=True, text=True, check=True).stdout
    rows = [list(map(float, line.split())) for line in out.splitlines()]
    assert len(rows) == len(cases), (len(rows), len(cases))
    return [dict(zip(FIELDS, r)) for r in rows]


def pr_areas(pos, neg):
    """(trapezoid, average precision) of precision over recall, `pos` positive, larger first."""
    trapezoid = steps = F(0)
    before = F(1)
    tp = fp = 0
    for t in sorted(set(pos) | set(neg), reverse=True):
        gain = pos.count(t)
        tp += gain
        fp += neg.count(t)
        precision = F(tp, tp + fp)
        width = F(gain, len(pos))
        trapezoid += width * (precision + before) / 2
        steps += width * precision
        before = precision
    return trapezoid, steps


def round_half_even(q):
    low = q.numerator // q.denominator
    rest = q - low
    return low + (rest > F(1, 2) or (rest == F(1, 2) and low % 2 == 1))


def exact(a, b):
    """All metrics of integer scores, as fractions."""
    n, m = len(a), len(b)
    r = {}
    r["auroc"] = F(sum(2 * (x > y) + (x == y) for x in a for y in b), 2 * n * m)
    down, up = sorted(a, reverse=True), sorted(a)
    k = max(19 * n // 20, 1)
    r["fpr95_vim"] = F(sum(y >= down[k - 1] for y in b), m)
    best = None
    for t in sorted(set(a) | set(b), reverse=True):
        recall = sum(x >= t for x in a) / n
        d = abs(recall - 0.95)
        if best is None or d <= best[0]:
            best = (d, t)
        if recall == 1:
            break
    r["fpr95_mos"] = F(sum(y >= best[1] for y in b), m)
    r["fpr95_react"] = F(sum(y > up[round_half_even(F(n, 20))] for y in b), m)
    t = sorted(b)[-(-19 * m // 20) - 1]
    r["fpr95_openood"] = F(sum(x <= t for x in a), n)
    r["aupr_in"], r["ap_in"] = pr_areas(a, b)
    r["aupr_out"], r["ap_out"] = pr_areas([-y for y in b], [-x for x in a])
    return r


def compare(cases, title):
    worst = {f: 0.0 for f in FIELDS}
    first = None
    for (a, b), got in zip(cases, run(cases)):
        want = exact(a, b)
        for f in FIELDS:
            off = 0.0 if got[f] == float(want[f]) else abs(float(F(got[f]) - want[f]))
            worst[f] = max(worst[f], off)
            if off > (0 if f in EXACT else 1e-14) and first is None:
                first = (f, a, b, got[f], want[f])
    ok(first is None, f"{title}: {len(cases)} cases, areas off by at most "
       f"{max(worst.values()):.1e} of 1e-14, the rest to the last bit")
    if first:
        print("#", first)


def tie_patterns(n):
    """Lists of (ID members, OOD members) of each group of equal scores, n scores in all."""
    if n == 0:
        yield []
    for size in range(1, n + 1):
        for i in range(size + 1):
            for rest in tie_patterns(n - size):
                yield [(i, size - i)] + rest


def exhaustive():
    cases = []
    for n in range(2, 9):
        for p in tie_patterns(n):
            a = [s for s, (i, o) in enumerate(p) for _ in range(i)]
            b = [s for s, (i, o) in enumerate(p) for _ in range(o)]
            if a and b:
                cases.append((a, b))
    compare(cases, "every tie pattern of up to 8 scores")


def random_small():
    rng = random.Random(1)
    cases = []
    for k in range(CASES):
        n = rng.choice([1, 19, 20, 21]) if k % 2 else rng.randint(1, 12)
        m = rng.choice([1, 19, 20, 21]) if k % 4 == 3 else rng.randint(1, 12)
        levels = rng.choice([1, 2, 3, 8, 1000])
        shift = rng.randint(0, levels)
        a = [rng.randint(0, levels) + shift for _ in range(n)]
        b = [rng.randint(0, levels) for _ in range(m)]
        cases.append((a, b))
    compare(cases, "random small cases")


def against_sklearn():
    try:
        import numpy as np
        from sklearn.metrics import (auc, average_precision_score, precision_recall_curve,
                                     roc_auc_score, roc_curve)
    except ImportError as e:
        print(f"ok {count + 1} - # SKIP {e}")
        return
    rng = np.random.default_rng(7)
    cases, wants = [], []
    for k in range(60):
        n, m = int(rng.integers(1, 4000)), int(rng.integers(1, 4000))
        a = rng.normal(1, 1, n).astype(np.float32)
        b = rng.normal(0, 1.5, m).astype(np.float32)
        if k % 3 == 1:
            a, b = np.round(a, 1), np.round(b, 1)
        if k % 3 == 2:  # large and close: 1 - s merges
            a = (a * np.float32(1e-7)).astype(np.float32)
            b = (b * np.float32(1e-7)).astype(np.float32)
        cases.append(([float(x) for x in a], [float(x) for x in b]))
        y = np.r_[np.ones(n), np.zeros(m)]
        s = np.r_[a, b]
        p, r, _ = precision_recall_curve(y, s)
        q, t, _ = precision_recall_curve(1 - y, np.float32(1) - s)
        order = np.sort(a)
        # roc_curve of scikit-learn thins the curve by default; all cuts are wanted here
        fpr, tpr, _ = roc_curve(1 - y, -s, drop_intermediate=False)
        wants.append({
            "auroc": roc_auc_score(y, s),
            "fpr95_vim": np.mean(b >= order[-max(int(np.floor(0.95 * n)), 1)]),
            "fpr95_react": np.mean(b > order[round(0.05 * n)]),
            "fpr95_openood": fpr[np.argmax(tpr >= 0.95)],
            "aupr_in": auc(r, p), "aupr_out": auc(t, q),
            "ap_in": average_precision_score(y, s), "ap_out": average_precision_score(1 - y, -s)})
    worst = {}
    for got, want in zip(run(cases), wants):
        for f, v in want.items():
            worst[f] = max(worst.get(f, 0), abs(got[f] - v))
    for f, v in worst.items():
        ok(v <= 1e-12, f"scikit-learn and numpy, {len(cases)} sets: {f} off by {v:.1e} of 1e-12")


if not os.access(tool, os.X_OK):
    print(f"1..0 # SKIP no {tool}")
    sys.exit(0)
exhaustive()
random_small()
against_sklearn()
print(f"1..{count}")
sys.exit(failed)
