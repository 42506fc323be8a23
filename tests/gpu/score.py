#!/usr/bin/env python3
"""score run -d cpu against -d cuda on drawn features, with only numpy:

    python3 tests/gpu/score.py BUILD WORK [TRAIN ROWS [WIDTH [CLASSES]]]

20000 rows of 2048 features and 1000 classes unless said otherwise: class means of low rank, ReLU, noise.  GEN's methods, then KNN.  The tables must agree (FPR95 and AUROC to
1e-6 and two changes of order), the second run on the device must give the bytes of the first, and the time of each is printed.
200000 rows is the size of the GEN benchmark (2 GB of files)."""
import filecmp, json, os, subprocess, sys, time

import numpy as np

build, work = sys.argv[1:3]
rows = int(sys.argv[3]) if len(sys.argv) > 3 else 20000
width = int(sys.argv[4]) if len(sys.argv) > 4 else 2048
classes = int(sys.argv[5]) if len(sys.argv) > 5 else 1000
rng = np.random.default_rng(7)
basis = rng.standard_normal((64, width), dtype=np.float32)
means = rng.standard_normal((classes, 64), dtype=np.float32) @ basis * 0.06
weight = (means - means.mean(0)) * 0.05
bias = rng.standard_normal(classes).astype(np.float32) * 0.1
os.makedirs(work, exist_ok=True)


def draw(name, n, shift, known):
    label = rng.integers(0, classes, n)
    x = np.empty((n, width), np.float32)
    for i in range(0, n, 10000):
        y = label[i:i + 10000]
        noise = rng.standard_normal((len(y), width), dtype=np.float32) * 0.4
        mean = means[y] if known else 0.6 * means[y] + 0.6 * means[y[::-1]]
        x[i:i + 10000] = np.maximum(mean + noise + shift, 0)
    np.savez(f"{work}/{name}.npz", features=x, labels=label.astype(np.int64))


draw("train", rows, 0.3, True)
draw("id", max(rows // 4, 2000), 0.3, True)
draw("near", max(rows // 8, 1000), 0.3, False)
draw("far", max(rows // 8, 1000), 0.2, False)
np.savez(f"{work}/head.npz", **{"fc.weight": weight, "fc.bias": bias})


def run(device, name, methods):
    began = time.time()
    subprocess.run([f"{build}/score", "run", "-d", device, "--memory", "8G", "-m", methods, "--train", f"{work}/train.npz", "--head",
                    f"{work}/head.npz", "--id", f"{work}/id.npz", "--ood", f"{work}/near.npz", f"{work}/far.npz", "--json",
                    f"{work}/{name}.json", "--scores", f"{work}/{name}.h5"], check=True, stdout=subprocess.DEVNULL)
    seconds = time.time() - began
    result = json.load(open(f"{work}/{name}.json"))
    print(f"outpost-score {result['device']}: {methods}, {rows} train rows, {seconds:.2f} s with loading, {result['seconds']:.2f} s in all methods")
    return result


def both(methods):
    """Whether the devices agree, and the second run with the first."""
    a, b = run("cpu", "cpu", methods), run("cuda", "cuda", methods)
    run("cuda", "again", methods)
    worst, bad = 0, []
    for x, y in zip(a["rows"], b["rows"]):
        for key in ("auroc", "fpr95_vim"):
            off = abs(x[key] - y[key])
            room = 1e-6 + 2 / (x["n_ood"] if key != "auroc" else x["n_id"] * x["n_ood"])
            worst = max(worst, off)
            if off > room:
                bad.append((x["method"], x["ood"], key, x[key], y[key]))
    same = filecmp.cmp(f"{work}/cuda.h5", f"{work}/again.h5", shallow=False)
    print(f"{len(a['rows'])} rows, largest difference {worst:.1e}; a second run gives {'the same' if same else 'OTHER'} bytes")
    for row in bad:
        print("differs:", *row)
    return not bad and same and len(a["rows"]) == len(b["rows"]) > 0


fine = [both("gen"), both("knn:k=50+1000")]
sys.exit(not all(fine))
