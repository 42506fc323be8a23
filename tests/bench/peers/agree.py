#!/usr/bin/env python3
"""Do two result files give the same AUROC?  A speed counts only then.

  agree.py OURS.json PEER.json      ours: outpost results; peer: gen_script.py or fast_numpy.py -o"""
import json
import sys

ours, peer = (json.load(open(path))["rows"] for path in sys.argv[1:3])
table = {}
for r in ours:
    table.setdefault(r["method"], {})[r["ood"]] = r["auroc"]
worst, compared = {}, 0
for method, sets in peer.items():
    for name, want in sets.items():
        got = table.get(method, {}).get(name)
        if got is not None:
            compared += 1
            worst[method] = max(worst.get(method, 0), abs(got - want["auroc"]))
missing = [m for m in peer if m not in worst]
order = sorted(worst, key=worst.get, reverse=True)
print(f"same AUROC: {compared} compared, largest differences "
      + ", ".join(f"{m} {worst[m]:.1e}" for m in order[:3])
      + (f"; not in ours: {' '.join(missing)}" if missing else ""))
