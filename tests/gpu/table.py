#!/usr/bin/env python3
"""table.py RATES RESULTS.json: lines `WHO NET MODE PRECISION images/s` as a table and as JSON.

Rows are networks and precisions; columns ours and the peer's modes; ratios to each peer."""
import json
import sys

rows, modes = {}, []
for line in open(sys.argv[1]):
    word = line.split()
    if len(word) != 5 or word[0] not in ("outpost-gpu", "torch-gpu"):
        continue
    who, net, mode, precision, rate = word
    name = "ours" if who == "outpost-gpu" else mode
    if name not in modes:
        modes.append(name)
    rows.setdefault((net, precision), {})[name] = float(rate)  # the last one counts
modes.sort(key=lambda m: (m != "ours", m))
print(f"{'images/s':<32}" + "".join(f"{m:>12}" for m in modes) + "".join(f"{'/ ' + m:>12}" for m in modes if m != "ours"))
for (net, precision), r in rows.items():
    cells = [f"{r[m]:12.0f}" if m in r else f"{'-':>12}" for m in modes]
    ratios = [f"{r['ours'] / r[m]:12.2f}" if "ours" in r and m in r else f"{'-':>12}" for m in modes if m != "ours"]
    print(f"{net + ' ' + precision:<32}" + "".join(cells) + "".join(ratios))
with open(sys.argv[2], "w") as f:
    json.dump([{"net": n, "precision": p, "images_per_second": r} for (n, p), r in rows.items()], f, indent=1)
