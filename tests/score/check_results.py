#!/usr/bin/python3
"""Is FILE a JSON of `score run --json`?  Checks every key, type and range of outpost-results version 1,
and that the means are the means.  Prints the first thing that is wrong."""
import json
import math
import sys

RATES = ["auroc", "fpr95_vim", "fpr95_mos", "fpr95_react", "fpr95_openood",
         "aupr_in", "aupr_out", "ap_in", "ap_out"]


def need(ok, *words):
    if not ok:
        sys.exit(" ".join(map(str, words)))


def keys(o, names, where):
    need(isinstance(o, dict) and sorted(o) == sorted(names), where, "has the keys", sorted(o))


def rate(v, where):
    need(isinstance(v, (int, float)) and 0 <= v <= 1, where, "is", v)


def count(v, where):
    need(isinstance(v, int) and v >= 0, where, "is", v)


def text(v, where, null=False):
    need((v is None and null) or (isinstance(v, str) and v), where, "is", v)


o = json.load(open(sys.argv[1], encoding="utf-8"))
keys(o, ["format", "version", "outpost", "model", "device", "rows", "mean", "skipped", "id_accuracy",
         "full_spectrum", "bootstrap", "benchmark", "inputs", "seconds"], "the file")
need(o["format"] == "outpost-results" and o["version"] == 1, "format", o["format"], o["version"])
text(o["outpost"], "outpost")
text(o["model"], "model", null=True)
if o["id_accuracy"] is not None:
    rate(o["id_accuracy"], "id_accuracy")
text(o["benchmark"], "benchmark", null=True)
CIS = ["auroc"]
if o["bootstrap"] is not None:
    keys(o["bootstrap"], ["replicates", "seed"], "bootstrap")
    need(o["bootstrap"]["replicates"] > 0 and o["bootstrap"]["seed"] >= 0, "bootstrap")
    CIS = RATES


def interval(v, value, where, holds=True):
    need(v is None or (len(v) == 2 and 0 <= v[0] <= v[1] <= 1), where, "is", v)
    need(v is None or not holds or v[0] <= value <= v[1], where, v, "does not hold", value)


def check_rows(rows, where):
    for i, r in enumerate(rows):
        at = f"{where}[{i}]"
        keys(r, ["method", "params", "ood", "group", "n_id", "n_ood", "seconds", "peak_bytes"] + RATES +
             [k + "_ci" for k in CIS], at)
        text(r["method"], at + " method")
        text(r["ood"], at + " ood")
        need(r["group"] in (None, "near", "far"), at, "group", r["group"])
        for k in CIS:
            interval(r[k + "_ci"], r[k], f"{at} {k}_ci", holds=k == "auroc")
        need(isinstance(r["params"], dict), at, "params")
        for k in RATES:
            rate(r[k], f"{at} {k}")
        for k in ("n_id", "n_ood", "peak_bytes"):
            count(r[k], f"{at} {k}")
        need(r["seconds"] >= 0, at, "seconds")


def check_means(means, rows, where):
    for i, m in enumerate(means):
        at = f"{where}[{i}]"
        keys(m, ["method", "group", "auroc_ci"] + RATES, at)
        of = [r for r in rows if r["method"] == m["method"] and m["group"] in (None, r["group"])]
        need(of, at, "is of nothing")
        interval(m["auroc_ci"], m["auroc"], at + " auroc_ci")
        for k in RATES:
            need(math.isclose(m[k], sum(r[k] for r in of) / len(of), abs_tol=1e-15), at, k)


check_rows(o["rows"], "rows")
check_means(o["mean"], o["rows"], "mean")
if o["full_spectrum"] is not None:
    full = o["full_spectrum"]
    keys(full, ["csid", "rows", "mean", "id_accuracy"], "full_spectrum")
    need(full["csid"], "full_spectrum without csid")
    check_rows(full["rows"], "full rows")
    check_means(full["mean"], full["rows"], "full mean")
    need([(r["method"], r["ood"]) for r in full["rows"]] == [(r["method"], r["ood"]) for r in o["rows"]],
         "full_spectrum has other rows")
    need(all(a["n_id"] > b["n_id"] for a, b in zip(full["rows"], o["rows"])), "no csID joined")
for i, s in enumerate(o["skipped"]):
    keys(s, ["method", "reason"], f"skipped[{i}]")
    text(s["reason"], f"skipped[{i}] reason")
need([x["role"] for x in o["inputs"]].count("id") == 1, "inputs: not one id")
for i, x in enumerate(o["inputs"]):
    at = f"inputs[{i}]"
    keys(x, ["role", "name", "path", "sha256", "rows", "left_out"], at)
    need(len(x["sha256"]) == 64 and set(x["sha256"]) <= set("0123456789abcdef"), at, "sha256")
    count(x["rows"], at + " rows")
    count(x["left_out"], at + " left_out")
