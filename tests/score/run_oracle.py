#!/usr/bin/python3
"""`score run` from end to end against numpy, scipy and scikit-learn on tests/cli/data/score.

  run_oracle.py [PATH/TO/score]

The scores are computed here in f64 from the formulas; the AUROC by scikit-learn.  Per-image scores may
differ by 2e-5 of the largest, which is f32; the AUROC then by one pair, 1 / (n_id n_ood).  GEN takes the
tenth root of 1 - p: one step of f32 at p = 1 is 0.19 there, so its scores may differ by 5e-2."""
import json
import os
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
program = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../../build/score"))
data = os.path.join(here, "../cli/data/score")
try:
    import h5py
    import numpy as np
    from scipy.linalg import pinvh
    from scipy.special import logsumexp, softmax
    from sklearn.metrics import roc_auc_score
except ImportError as e:
    print(f"1..0 # SKIP {e}")
    sys.exit(0)
if not os.access(program, os.X_OK):
    print(f"1..0 # SKIP no {program}")
    sys.exit(0)


def load(name):
    with np.load(os.path.join(data, name + ".npz")) as f:
        return f["feat_list"].astype(np.float64), f["label_list"]


with h5py.File(os.path.join(data, "id.h5")) as f:
    w, b = f["head/weight"][:].astype(np.float64), f["head/bias"][:].astype(np.float64)
train, y = load("train")
tests = {n: load(n)[0] for n in ("id", "texture", "far")}
labels = load("id")[1]


def logits(h):
    return h @ w.T + b


u = -np.linalg.pinv(w) @ b
c, d = w.shape
dim = d // 2  # ViM's rule for D < 768; given to `score` explicitly
values, vectors = np.linalg.eigh((train - u).T @ (train - u) / len(train))
null = vectors[:, : d - dim]
residual = {n: np.linalg.norm((h - u) @ null, axis=1) for n, h in tests.items()}
alpha = logits(train).max(1).mean() / np.linalg.norm((train - u) @ null, axis=1).mean()
means = np.stack([train[y == k].mean(0) for k in range(c)])
precision = pinvh((train - means[y]).T @ (train - means[y]) / len(train))


def gen(p, gamma=0.1):
    top = np.sort(p, axis=1)[:, -100:]
    return -(top ** gamma * (1 - top) ** gamma).sum(1)


def mahalanobis(h):
    t = h[:, None, :] - means
    return -np.einsum("nkd,de,nke->nk", t, precision, t).min(1)


def gradnorm(h):
    p = softmax(logits(h), axis=1)
    return np.abs(c * p - 1).sum(1) * np.abs(h).sum(1)


formulas = {
    "msp": lambda h, n: softmax(logits(h), axis=1).max(1),
    "maxlogit": lambda h, n: logits(h).max(1),
    "energy": lambda h, n: logsumexp(logits(h), axis=1),
    "gen": lambda h, n: gen(softmax(logits(h), axis=1)),
    "residual": lambda h, n: -residual[n],
    "vim": lambda h, n: logsumexp(logits(h), axis=1) - alpha * residual[n],
    "mahalanobis": lambda h, n: mahalanobis(h),
}
count, failed = 0, False


def ok(good, words):
    global count, failed
    count += 1
    failed |= not good
    print("ok" if good else "not ok", count, "-", words)


with tempfile.TemporaryDirectory() as tmp:
    subprocess.run([program, "run", "-q", "--train", f"{data}/train.h5", "--id", f"{data}/id_bad.h5",
                    "--ood", f"{data}/texture.h5", f"{data}/far.h5", "--methods", ",".join(formulas),
                    "--set", f"vim.dim={dim}", "--set", f"residual.dim={dim}",
                    "--json", f"{tmp}/r.json", "--scores", f"{tmp}/s.h5"],
                   check=True, stdout=subprocess.DEVNULL)
    result = json.load(open(f"{tmp}/r.json"))
    with h5py.File(f"{tmp}/s.h5") as f:
        sets = f["set"].asstr()[:]
        ours = {m: f["scores"][m][:] for m in formulas}
        predicted, known = f["prediction"][:], f["label"][:]
        paths = list(f["path"].asstr()[:])

ok(list(sets) == ["id"] * 80 + ["texture"] * 50 + ["far"] * 40, "the rows of --scores are the sets in order")
ok(paths == [f"id/{i:04d}.jpg" for i in range(80)] + [""] * 90, "and carry the paths, where known")
want = np.concatenate([logits(tests[n]).argmax(1) for n in tests])
ok(np.array_equal(predicted, want), "predictions are the largest logits")
ok(np.array_equal(known, np.r_[labels, np.full(90, -1)]), "labels are those of the files")
ok(result["id_accuracy"] == float(np.mean(predicted[:80] == labels)), "ID accuracy")
for m, formula in formulas.items():
    truth = {n: formula(h, n) for n, h in tests.items()}
    whole = np.concatenate(list(truth.values()))
    off = np.abs(ours[m] - whole).max() / np.abs(whole).max()
    limit = 5e-2 if m == "gen" else 2e-5
    ok(off <= limit, f"{m}: scores off by {off:.1e} of {limit:.0e} of the largest")
    for n in ("texture", "far"):
        auroc = roc_auc_score(np.r_[np.ones(80), np.zeros(len(tests[n]))],
                              np.r_[truth["id"], truth[n]])
        got = [r["auroc"] for r in result["rows"] if r["method"] == m and r["ood"] == n][0]
        limit = 1.0 / (80 * len(tests[n]))
        ok(abs(got - auroc) <= limit, f"{m} on {n}: AUROC off by {abs(got - auroc):.1e} of {limit:.1e}")
print(f"1..{count}")
sys.exit(failed)
