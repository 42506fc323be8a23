#!/usr/bin/python3
"""docs/published/*.csv: every field known, no number twice, every mean that of its sets to 0.01, but for
those that the sources themselves print wrong.  check_published.py DIR"""
import csv
import glob
import re
import sys

METRICS = ["auroc", "fpr95_vim", "fpr95_mos", "fpr95_react", "fpr95_openood", "aupr_in", "aupr_out",
           "ap_in", "ap_out", "accuracy", "auroc_std"]
# as printed in the sources, off by more than rounding
WRONG = {("rankfeat", "BiT", "msp", "fpr95_mos"), ("rankfeat", "BiT", "gradnorm", "auroc"),
         ("rankfeat", "BiT", "rankweight", "fpr95_mos"),
         ("rankfeat", "other scores with RankWeight", "gradnorm+rankweight", "auroc"),
         ("rankfeat", "other scores with RankWeight", "vra", "auroc"),
         ("rankfeat", "SqueezeNet", "msp", "fpr95_mos"), ("rankfeat", "SqueezeNet", "odin", "auroc"),
         ("rankfeat", "SqueezeNet", "rankfeat:block=3", "auroc"),
         ("rankfeat", "Species", "rankfeat:block=3+4", "auroc")}
NEAR, FAR = {"ssb_hard", "ninco"}, {"inaturalist", "textures", "openimage_o"}
files = sorted(glob.glob(sys.argv[1] + "/*.csv"))
assert len(files) >= 8, files
bad = []
wrong_seen = set()
for path in files:
    name = path.rsplit("/", 1)[1][:-4]
    rows = list(csv.DictReader(open(path, encoding="utf-8")))
    assert rows and list(rows[0]) == ["table", "model", "method", "set", "metric", "value", "source"], path
    seen = set()
    groups = {}
    for r in rows:
        key = (r["table"], r["model"], r["method"], r["set"], r["metric"])
        assert key not in seen, (path, key)
        seen.add(key)
        assert r["metric"] in METRICS and r["source"] and r["table"], (path, r)
        assert re.fullmatch(r"[a-z0-9_.+-]+(:[a-z]+=[0-9+]+)*", r["method"]), (path, r)
        assert re.fullmatch(r"(full )?((near |far )?mean|[a-z0-9_]+)", r["set"]), (path, r)
        assert 0 <= float(r["value"]) <= 100, (path, r)
        groups.setdefault((r["table"], r["model"], r["method"], r["metric"]), {})[r["set"]] = float(r["value"])
    for (table, model, method, metric), v in groups.items():
        for prefix in ("", "full "):
            own = {k[len(prefix):]: x for k, x in v.items() if k.startswith(prefix) and
                   k.startswith("full ") == (prefix != "")}
            sets = {k: x for k, x in own.items() if "mean" not in k and k != "id"}
            for mean, of in (("mean", sets), ("near mean", NEAR & set(sets)), ("far mean", FAR & set(sets))):
                if mean not in own or not of:
                    continue
                off = abs(sum(sets[k] for k in of) / len(of) - own[mean])
                if off > 0.0101:
                    which = (name, table, method, metric)
                    if which in WRONG:
                        wrong_seen.add(which)
                    else:
                        bad.append((which, mean, round(off, 3)))
print(len(files), "files;", len(wrong_seen), "known misprints")
if wrong_seen != WRONG:
    bad.append(("no longer wrong:", WRONG - wrong_seen))
if bad:
    sys.exit("\n".join(map(str, bad)))
