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
         "inputs", "seconds"], "the file")
need(o["format"] == "outpost-results" and o["version"] == 1, "format", o["format"], o["version"])
text(o["outpost"], "outpost")
text(o["model"], "model", null=True)
if o["id_accuracy"] is not None:
    rate(o["id_accuracy"], "id_accuracy")
for i, r in enumerate(o["rows"]):
    at = f"rows[{i}]"
    keys(r, ["method", "params", "ood", "group", "auroc_ci", "n_id", "n_ood", "seconds"] + RATES, at)
    text(r["method"], at + " method")
    text(r["ood"], at + " ood")
    need(r["group"] in (None, "near", "far"), at, "group", r["group"])
    need(r["auroc_ci"] is None or (len(r["auroc_ci"]) == 2 and
                                   r["auroc_ci"][0] <= r["auroc"] <= r["auroc_ci"][1]), at, "ci")
    need(isinstance(r["params"], dict), at, "params")
    for k in RATES:
        rate(r[k], f"{at} {k}")
    for k in ("n_id", "n_ood"):
        count(r[k], f"{at} {k}")
    need(r["seconds"] >= 0, at, "seconds")
for i, m in enumerate(o["mean"]):
    at = f"mean[{i}]"
    keys(m, ["method", "group"] + RATES, at)
    of = [r for r in o["rows"] if r["method"] == m["method"] and m["group"] in (None, r["group"])]
    need(of, at, "is of nothing")
    for k in RATES:
        need(math.isclose(m[k], sum(r[k] for r in of) / len(of), abs_tol=1e-15), at, k)
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
