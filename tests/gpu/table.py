#!/usr/bin/env python3
"""table.py RATES RESULTS.json: lines `WHO NET MODE PRECISION images/s` as a table and as JSON.

WHO is outpost-gpu, torch-gpu (network only) or outpost-files, torch-files (from files to features).  Rows are
networks and precisions, those from files behind the others; columns ours and the peer's modes; ratios to each."""
import json
import sys

rows, modes = {}, []
for line in open(sys.argv[1]):
    word = line.split()
    if len(word) != 5 or word[0] not in ("outpost-gpu", "torch-gpu", "outpost-files", "torch-files"):
        continue
    who, net, mode, precision, rate = word
    name = "ours" if who.startswith("outpost") else mode
    files = who.endswith("files")
    if name not in modes:
        modes.append(name)
    rows.setdefault((files, net, precision), {})[name] = float(rate)  # the last one counts
modes.sort(key=lambda m: (m != "ours", m))
print(f"{'images/s':<40}" + "".join(f"{m:>12}" for m in modes) + "".join(f"{'/ ' + m:>12}" for m in modes if m != "ours"))
for (files, net, precision), r in sorted(rows.items(), key=lambda kv: kv[0][0]):
    cells = [f"{r[m]:12.0f}" if m in r else f"{'-':>12}" for m in modes]
    ratios = [f"{r['ours'] / r[m]:12.2f}" if "ours" in r and m in r else f"{'-':>12}" for m in modes if m != "ours"]
    print(f"{net + ' ' + precision + (', from files' if files else ''):<40}" + "".join(cells) + "".join(ratios))
with open(sys.argv[2], "w") as f:
    json.dump([{"net": n, "precision": p, "from_files": files, "images_per_second": r}
               for (files, n, p), r in rows.items()], f, indent=1)
