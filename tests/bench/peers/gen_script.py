#!/usr/bin/env python3
"""Peer for score: the fifteen rows of GEN's benchmark script in the script's own formulation.

  gen_script.py -d DIR [-t N] [--limit-test ROWS] [-o RESULTS.json] [--rows a,b,..]

DIR as from make_synthetic.py.  As there: everything in memory, numpy f32, the general eigensolver
once per row that needs the subspace, GradNorm by one backward pass per sample, Mahalanobis by a
[C,D] x [D,D] product per sample, KL matching by scikit-learn with a Python metric.

--limit-test R runs the three slow rows (gradnorm, mahalanobis scores, kl-matching) on the first R
samples of each set; the printed cpu and wall then hold those parts scaled to all samples
(linearly: their work is per sample), said on standard output, and these rows report no AUROC."""
import argparse
import json
import os
import pickle
import time

from common import Meter, cpu_seconds, threads

p = argparse.ArgumentParser()
p.add_argument("-d", "--data", required=True)
p.add_argument("-t", "--threads", type=int, default=1)
p.add_argument("--limit-test", type=int, default=0)
p.add_argument("-o", "--out")
p.add_argument("--rows")
a = p.parse_args()
threads(a.threads)

import numpy as np  # noqa: E402
import torch  # noqa: E402
from numpy.linalg import norm, pinv  # noqa: E402
from scipy.special import logsumexp, softmax  # noqa: E402
from sklearn import metrics  # noqa: E402
from sklearn.covariance import EmpiricalCovariance  # noqa: E402
from sklearn.metrics import pairwise_distances_argmin_min  # noqa: E402

torch.set_num_threads(a.threads)
ROWS = []


def row(name):
    return lambda fn: ROWS.append((name, fn)) or fn


def load(name):
    with open(os.path.join(a.data, name), "rb") as f:
        return pickle.load(f)


def subspace(s):
    """u and the minor eigenvectors of the uncentred covariance about u."""
    u = -np.matmul(pinv(s.w), s.b)
    dim = 1000 if s.train.shape[-1] >= 2048 else 512
    ec = EmpiricalCovariance(assume_centered=True)
    ec.fit(s.train - u)
    values, vectors = np.linalg.eig(ec.covariance_)
    return u, np.ascontiguousarray((vectors.T[np.argsort(values * -1)[dim:]]).T)


def generalized_entropy(prob, gamma=0.1, m=100):
    kept = np.sort(prob, axis=1)[:, -m:]
    return -np.sum(kept ** gamma * (1 - kept) ** gamma, axis=1)


def clipped_logits(s, x, clip):
    return np.clip(x, a_min=None, a_max=clip) @ s.w.T + s.b


def first(x):
    return x[:a.limit_test] if a.limit_test else x


class Slow:
    """Adds to the meter what the samples left out would have cost."""

    def __init__(self, s):
        self.s, self.n = s, sum(len(x) for x in s.sets.values())
        self.done = sum(len(first(x)) for x in s.sets.values())

    def __enter__(self):
        self.cpu, self.wall = cpu_seconds(), time.perf_counter()

    def __exit__(self, *_):
        cpu, wall = cpu_seconds() - self.cpu, time.perf_counter() - self.wall
        self.s.meter.extra_cpu += cpu * (self.n / self.done - 1)
        self.s.meter.extra_wall += wall * (self.n / self.done - 1)
        if self.done < self.n:
            print(f"{self.s.row}: {self.done} of {self.n} samples took {cpu:.1f} cpu s; "
                  f"extrapolated linearly to {cpu * self.n / self.done:.1f}", flush=True)


@row("msp")
def msp(s):
    return {k: v.max(axis=-1) for k, v in s.prob.items()}


@row("maxlogit")
def maxlogit(s):
    return {k: z.max(axis=-1) for k, z in s.logit.items()}


@row("energy")
def energy(s):
    return {k: logsumexp(z, axis=-1) for k, z in s.logit.items()}


@row("energy-react")
def energy_react(s):
    clip = np.quantile(s.train, 0.99)
    return {k: logsumexp(clipped_logits(s, x, clip), axis=-1) for k, x in s.sets.items()}


@row("vim")
def vim(s):
    u, ns = subspace(s)
    train = norm(np.matmul(s.train - u, ns), axis=-1)
    alpha = s.train_logit.max(axis=-1).mean() / train.mean()
    return {k: logsumexp(s.logit[k], axis=-1) - norm(np.matmul(x - u, ns), axis=-1) * alpha
            for k, x in s.sets.items()}


@row("residual")
def residual(s):
    u, ns = subspace(s)
    return {k: -norm(np.matmul(x - u, ns), axis=-1) for k, x in s.sets.items()}


@row("entropy")
def entropy(s):
    return {k: np.sum(v * np.log(v), axis=1) for k, v in s.prob.items()}


@row("gen")
def gen(s):
    return {k: generalized_entropy(v) for k, v in s.prob.items()}


@row("gen-residual")
def gen_residual(s):
    u, ns = subspace(s)
    return {k: norm(np.matmul(x - u, ns), axis=-1) * generalized_entropy(s.prob[k])
            for k, x in s.sets.items()}


@row("local-react")
def local_react(s):
    return {k: logsumexp(clipped_logits(s, x, np.quantile(x, 0.9995)), axis=-1)
            for k, x in s.sets.items()}


@row("gen-local-react")
def gen_local_react(s):
    return {k: generalized_entropy(softmax(clipped_logits(s, x, np.quantile(x, 0.9995)), axis=-1))
            for k, x in s.sets.items()}


@row("gen-react")
def gen_react(s):
    clip = np.quantile(s.train, 0.99)
    return {k: generalized_entropy(softmax(clipped_logits(s, x, clip), axis=-1))
            for k, x in s.sets.items()}


@row("gradnorm")
def gradnorm(s):
    fc = torch.nn.Linear(*s.w.shape[::-1])
    fc.weight.data[...] = torch.from_numpy(s.w)
    fc.bias.data[...] = torch.from_numpy(s.b)
    log_softmax = torch.nn.LogSoftmax(dim=-1)

    def scores(x):
        out = []
        for h in torch.from_numpy(x).float():
            targets = torch.ones((1, s.w.shape[0]))
            fc.zero_grad()
            torch.mean(torch.sum(-targets * log_softmax(fc(h[None])), dim=-1)).backward()
            out.append(torch.sum(torch.abs(fc.weight.grad.data)).numpy())
        return np.array(out)
    with Slow(s):
        return {k: scores(first(x)) for k, x in s.sets.items()}


@row("mahalanobis")
def mahalanobis(s):
    means, centred = [], []
    for c in range(s.w.shape[0]):
        of_class = s.train[s.labels == c]
        means.append(of_class.mean(axis=0))
        centred.append(of_class - means[-1])
    ec = EmpiricalCovariance(assume_centered=True)
    ec.fit(np.concatenate(centred).astype(np.float64))
    mean = torch.from_numpy(np.array(means)).float()
    prec = torch.from_numpy(ec.precision_).float()
    with Slow(s):
        return {k: np.array([-((((f - mean) @ prec) * (f - mean)).sum(axis=-1)).min().item()
                             for f in torch.from_numpy(first(x)).float()])
                for k, x in s.sets.items()}


@row("kl-matching")
def kl_matching(s):
    predicted = np.argmax(s.train_prob, axis=-1)
    mean = np.array([s.train_prob[predicted == c].mean(axis=0) for c in range(s.w.shape[0])])

    def kl(p_, q):
        return np.sum(np.where(p_ != 0, p_ * np.log(p_ / q), 0))
    # The script's slip is kept: its ID probabilities are by now those of the clipped features.
    prob = {**s.prob, "id": softmax(clipped_logits(s, s.sets["id"], np.quantile(s.train, 0.99)), axis=-1)}
    with Slow(s):
        return {k: -pairwise_distances_argmin_min(first(v), mean, metric=kl)[1]
                for k, v in prob.items()}


def fpr95(ind, ood):
    """ViM's: threshold at the floor(0.95 n)-th largest ID score, >= counts."""
    threshold = np.sort(ind)[::-1][int(0.95 * len(ind)) - 1]
    return float(np.mean(ood >= threshold))


def main():
    s = type("State", (), {})()
    results, spent = {}, {}
    with Meter() as s.meter:
        s.w, s.b = load("fc.pkl")
        s.train = load("train.pkl")
        with open(os.path.join(a.data, "train.txt")) as f:
            s.labels = np.array([int(line.rsplit(" ", 1)[-1]) for line in f])
        names = sorted(n[:-4] for n in os.listdir(a.data) if n.startswith("ood") and n.endswith(".pkl"))
        s.sets = {n: load(n + ".pkl") for n in ["id"] + names}
        s.train_logit = s.train @ s.w.T + s.b
        s.logit = {k: x @ s.w.T + s.b for k, x in s.sets.items()}
        s.train_prob = softmax(s.train_logit, axis=-1)
        s.prob = {k: softmax(z, axis=-1) for k, z in s.logit.items()}
        for s.row, fn in ROWS:
            if a.rows and s.row not in a.rows.split(","):
                continue
            before = cpu_seconds() + s.meter.extra_cpu
            got = fn(s)
            spent[s.row] = round(cpu_seconds() + s.meter.extra_cpu - before, 3)
            if len(got["id"]) < len(s.sets["id"]):
                continue
            results[s.row] = {n: {"auroc": metrics.roc_auc_score(
                np.r_[np.ones(len(got["id"])), np.zeros(len(got[n]))], np.r_[got["id"], got[n]]),
                "fpr95": fpr95(got["id"], got[n])} for n in names}
        s.meter.items = sum(len(x) for x in s.sets.values())
    print("cpu seconds by row: " + ", ".join(f"{k} {v:.2f}" for k, v in spent.items()))
    if a.out:
        with open(a.out, "w") as f:
            json.dump({"rows": results, "cpu_seconds": spent, "limit_test": a.limit_test}, f, indent=1)


main()
