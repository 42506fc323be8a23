#!/usr/bin/env python3
"""Golden values of the networks, from PyTorch.

  make_net_golden.py hash -o DIR [--table nets.tsv] [NET...]    weights and input by hash, float64
  make_net_golden.py verify SPEC.md [NET...]                    compares with printed values
  make_net_golden.py real -o DIR [--data D] [NAME...]           real checkpoints, real images, float32

hash writes DIR/NET.npz (logits, features, tap:NAME, grad:NAME, input_grad) for batch 2 and, with
--table, the network's rows of that table: one per tensor with sum, L2, values at 0, n/3, n/2, n-1,
L2 and values at 0, n/2 of dL/dtap with L = -sum_b mean_c log softmax (for the input: dF/dx,
F = sum_b logsumexp, in the first columns), and the relative L2 deviations of a float32 run of the
same network, forward and of the gradient.  Rows of other networks stay.  real writes DIR/NAME.npz (paths, labels, logits,
features, and the taps of the first --tap-images images).  DIR is outside the repository; nets.tsv is
committed.
Needs torch >= 1.13, torchvision, numpy, Pillow; safetensors are read by hand.  timm's networks need
timm 0.6.13 (the last release line with the published key names of Swin; runs with torch 1.13);
repvgg_a0 and repvgg_a1 are only in timm >= 0.9.
"""
import argparse
import json
import os
import pickle
import re
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from nets import NETS, Taps, hash_input, hash_state  # noqa: E402


def hash_net(name):
    """The network with its hash-made weights, and the input."""
    spec = NETS[name]
    spec.check_libraries()
    net = spec.build(spec.classes).eval().requires_grad_(False)
    net.load_state_dict(hash_state(net, spec.g))
    return net, hash_input(2, spec.side)


def run_hash(name, kind=torch.float64):
    """dict of arrays: everything the network says about the hash input, forward and backward."""
    net, x = hash_net(name)
    net.to(kind)
    x = x.to(kind).requires_grad_(True)
    taps = Taps(net, NETS[name], keep_grad=True)
    z = net(x)
    (-F.log_softmax(z, 1).mean(1).sum()).backward(retain_graph=True)
    out = {"logits": z.detach(), "features": taps.features}
    for tap, (live, copy) in taps.out.items():
        out["tap:" + tap] = copy
        if live.grad is not None:
            out["grad:" + tap] = live.grad.clone()
    x.grad = None
    torch.logsumexp(z, 1).sum().backward()
    out["input_grad"] = x.grad
    return {k: v.numpy() for k, v in out.items()}


def points(v):
    n = v.size
    v = v.reshape(-1)
    return [v.sum(), np.sqrt((v * v).sum()), v[0], v[n // 3], v[n // 2], v[n - 1]]


def deviation(v, w):
    return f"{np.linalg.norm(v - w) / np.linalg.norm(v):.1e}"


def table_rows(name, out, f32):
    spec = NETS[name]
    head = [name, str(spec.g), str(spec.side), str(spec.classes)]
    order = ["logits", "features"] + ["tap:" + t for t in spec.taps] + ["input_grad"]
    for key in order:
        v, at = out[key], key.replace("tap:", "grad:")
        g = out.get(at) if key.startswith("tap:") else None
        grad = [] if g is None else [np.sqrt((g * g).sum()), g.reshape(-1)[0], g.reshape(-1)[g.size // 2]]
        cells = [f"{x:.10g}" for x in points(v)] + ([f"{x:.10g}" for x in grad] or ["-"] * 3)
        cells.append("-" if key == "input_grad" else deviation(v, f32[key]))
        cells.append("-" if at == key != "input_grad" or at not in out else deviation(out[at], f32[at]))
        yield "\t".join(head + [key.replace("tap:", ""), ",".join(map(str, v.shape))] + cells)


TABLE = ("# make_net_golden.py hash: float64, batch 2; weights and input by hash (nets.py)",
         "network\tg\tside\tclasses\ttensor\tshape\tsum\tl2\tv0\tv_n3\tv_n2\tv_last\tgrad_l2\tgrad_v0"
         "\tgrad_n2\tf32_dev\tgrad_f32_dev")


def write_table(path, head, new):
    """Puts the rows of `new` {network: rows} below the two lines of head, networks in the order of NETS."""
    rows = {}
    if os.path.exists(path):
        with open(path) as f:
            for line in f.read().splitlines()[len(head):]:
                rows.setdefault(line.split("\t")[0], []).append(line)
    rows.update(new)
    with open(path + ".part", "w") as f:
        f.write("\n".join([*head] + [r for n in NETS for r in rows.get(n, [])]) + "\n")
    os.replace(path + ".part", path)


def cmd_hash(args):
    for name in args.net or NETS:
        start = time.perf_counter()
        out = run_hash(name)
        if args.table:
            write_table(args.table, TABLE, {name: list(table_rows(name, out, run_hash(name, torch.float32)))})
        if args.out:
            os.makedirs(args.out, exist_ok=True)
            np.savez(os.path.join(args.out, name + ".npz"), **out)
        print(f"{name}: logits L2 {np.linalg.norm(out['logits']):.7g}, {time.perf_counter() - start:.0f} s",
              file=sys.stderr)


# --- against the printed values of a specification ------------------------------------------------

def names_of(title):
    """The networks that a title such as "timm deit_base_patch16_224 (also vit_base_patch16_224)" stands for."""
    plain = re.sub(r" \((?:train form|key names.*|torch keys.*|C = \d+|also mmcls.*)\)", "", title)
    also = re.search(r" \(also (\w+)\)", plain)
    titles = {net.title: name for name, net in NETS.items()}
    main = titles.get(re.sub(r" \(also .*\)", "", plain))
    return [n for n in (main, also and also[1]) if n in NETS]


# An in-place ReLU followed the printed network's bn1: the values are those after it.
RECTIFIED = {("densenet_bc_100_12", "bn1"), ("wrn_40_2", "bn1")}
NUMBER = r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?"


def printed(text):
    """{network: [(what, printed numbers as text, function of run_hash's dict)]} from the tables."""
    found = {}
    for part in re.split(r"\n(?=\*\*)", text):
        title = re.match(r"\*\*(.+?)\*\*, \d+×\d+, g =", part)
        names = names_of(title[1]) if title else []
        if title and not names:
            print(f"{title[1]}: no network of this name here")
        for name in names:
            found[name] = checks(name, part)
    return found


def checks(name, text):
    tests = []
    for i in (0, 1):
        m = re.search(rf"logits\[{i}\]\[0\.\.3\] = ([^;]*);", text)
        tests.append((f"logits[{i}]", m[1].split(", "), lambda o, i=i: o["logits"][i][:4]))
    m = re.search(r"L2 ([^;]*); argmax \[([^\]]*)\]; lse (.*)", text)
    tests.append(("logits L2", [m[1]], lambda o: [np.linalg.norm(o["logits"])]))
    tests.append(("argmax", m[2].split(", "), lambda o: o["logits"].argmax(1)))
    tests.append(("lse", m[3].split(", "), lambda o: np.logaddexp.reduce(o["logits"], axis=1)))
    for row in re.findall(r"^\| `([^`]+)` \|(.*)\|$", text, re.M):
        cells = [c.strip() for c in row[1].split("|")]
        tap = "relu" if (name, row[0]) in RECTIFIED else row[0]
        want = [cells[1], cells[2]] + cells[3].split(", ") + [cells[4]] + cells[5].split(", ")

        def got(o, tap=tap):
            g = o["grad:" + tap]
            return points(o["tap:" + tap]) + [np.linalg.norm(g), g.reshape(-1)[0], g.reshape(-1)[g.size // 2]]
        tests.append((tap, want, got))
    m = re.search(r"∂F/∂x: L2 ([^;]*); Σ\|·\| ([^;]*); at [^:]*: (.*)", text)
    tests.append(("dF/dx", [m[1], m[2]] + m[3].split(", "),
                  lambda o: [np.linalg.norm(o["input_grad"]), np.abs(o["input_grad"]).sum()]
                  + points(o["input_grad"])[2:]))
    return tests


def same_digits(want, got):
    """True when got, printed with want's number of significant digits, differs by <= 1 in the last."""
    digits = len(re.sub(r"e.*|[-.]", "", want).lstrip("0")) or 1
    scale = abs(float(want)) or 1e-300
    step = 10.0 ** (np.floor(np.log10(scale)) - (digits - 1))
    return abs(float(want) - got) <= step * 1.01 if float(want) else abs(got) < 1e-9


def cmd_verify(args):
    bad = count = 0
    with open(args.spec, encoding="utf-8") as f:
        found = printed(f.read())
    for name, tests in found.items():
        if args.net and name not in args.net:
            continue
        out, before = run_hash(name), bad
        for what, want, got in tests:
            values = got(out)
            assert len(values) == len(want), (name, what)
            for w, v in zip(want, values):
                count += 1
                if not same_digits(w, float(v)):
                    bad += 1
                    print(f"{name} {what}: printed {w}, computed {v:.10g}")
        print(f"{name}: {'all printed digits agree' if bad == before else 'DIFFERS'}")
    print(f"{count} values compared, {bad} differ")
    return 1 if bad or not count else 0


# --- real checkpoints -----------------------------------------------------------------------------

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
DENSE = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
REAL = {  # file: (network, classes, list, mean/std)
    "imagenet_resnet50_large_blocks.safetensors": ("resnet50", 1000, "imagenet-sample", IMAGENET),
    "imagenet_resnet18_small_blocks.pth": ("resnet18", 1000, "imagenet-sample", IMAGENET),
    "imagenet_mobilenet_v2_tfquant.pth": ("mobilenet_v2", 1000, "imagenet-sample", IMAGENET),
    "imagenet_squeezenet1_0_dc.pth": ("squeezenet1_0", 1000, "imagenet-sample", IMAGENET),
    "cifar100_densenet_bc100_k12.pth": ("densenet_bc_100_12", 100, "cifar100-test", DENSE),
    "cifar10_densenet_bc100_k12.legacy.pth.tar": ("densenet_bc_100_12", 10, "cifar10-test", DENSE),
    "cifar10_resnet20.legacy.th": ("resnet20", 10, "cifar10-test", IMAGENET),
    "cifar10_resnet56.legacy.th": ("resnet56", 10, "cifar10-test", IMAGENET),
}


class TensorPickle:
    """A pickle module that makes tensors and dicts, and refuses every other callable."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            tensor = module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2")
            storage = module == "torch" and name.endswith("Storage") and name.isalpha()
            if tensor or storage or (module, name) == ("collections", "OrderedDict"):
                return super().find_class(module, name)
            raise pickle.UnpicklingError(f"refused: {module}.{name}")

    @staticmethod
    def load(f, **kw):
        return TensorPickle.Unpickler(f, **kw).load()


def read_checkpoint(path):
    """state_dict of float tensors, without wrapper and `module.` prefix."""
    if path.endswith(".safetensors"):
        with open(path, "rb") as f:
            blob = f.read()
        n = int.from_bytes(blob[:8], "little")
        state = {}
        for key, t in json.loads(blob[8:8 + n]).items():
            if key == "__metadata__":
                continue
            kind = {"F32": np.float32, "F16": np.float16, "F64": np.float64, "I64": np.int64}[t["dtype"]]
            a, b = t["data_offsets"]
            state[key] = torch.from_numpy(np.frombuffer(blob[8 + n + a:8 + n + b], kind).reshape(t["shape"]).copy())
    else:
        # Not weights_only: torch 1.13's refuses the plain floats of older checkpoints.
        state = torch.load(path, map_location="cpu", pickle_module=TensorPickle,
                           **({"weights_only": False} if torch.__version__ >= "2" else {}))
        state = state.get("state_dict", state)
    return {k[7:] if k.startswith("module.") else k: v for k, v in state.items()}


def load_net(name, classes, path):
    net = NETS[name].build(classes).eval()
    missing, unexpected = net.load_state_dict(read_checkpoint(path), strict=False)
    missing = [k for k in missing if not k.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise SystemExit(f"{path}: missing {missing[:4]}, unexpected {unexpected[:4]}")
    return net


def transform(side, stats):
    from torchvision import transforms as T
    geometry = [T.Resize(256), T.CenterCrop(224)] if side == 224 else [T.Resize(32), T.CenterCrop(32)]
    return T.Compose(geometry + [T.ToTensor(), T.Normalize(*stats)])


def read_list(data, name, limit):
    with open(os.path.join(data, "lists", name + ".txt")) as f:
        rows = [line.rsplit(" ", 1) for line in f.read().splitlines() if line]
    return rows[:limit] if limit else rows


def cmd_real(args):
    from PIL import Image
    import PIL
    import torchvision
    os.makedirs(args.out, exist_ok=True)
    for file in args.net or REAL:
        name, classes, listed, stats = REAL[file]
        net = load_net(name, classes, os.path.join(args.data, "weights", file))
        rows, tf = read_list(args.data, listed, args.limit), transform(NETS[name].side, stats)
        taps, parts, kept = Taps(net, NETS[name]), {"logits": [], "features": []}, {}
        for at in range(0, len(rows), 20):
            images = [Image.open(os.path.join(args.data, "images", p)).convert("RGB") for p, _ in rows[at:at + 20]]
            taps.clear()
            with torch.no_grad():
                z = net(torch.stack([tf(im) for im in images]))
            parts["logits"].append(z.numpy())
            parts["features"].append(taps.features.numpy())
            for tap, (_, v) in taps.out.items():
                have = kept.setdefault("tap:" + tap, [])
                have.append(v[:max(0, args.tap_images - at)].numpy())
        out = {k: np.concatenate(v) for k, v in {**parts, **kept}.items()}
        labels = np.array([int(label) for _, label in rows])
        rank = (out["logits"] > out["logits"][np.arange(len(rows)), labels][:, None]).sum(1)
        made = f"torch {torch.__version__}, torchvision {torchvision.__version__}, Pillow {PIL.__version__}"
        np.savez(os.path.join(args.out, file + ".npz"), paths=np.array([p for p, _ in rows]), labels=labels,
                 made=np.array(made), **out)
        print(f"{file}: {name}, {len(rows)} images of {listed}, top-1 {(rank < 1).sum()}, top-5 {(rank < 5).sum()}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="cmd", required=True)
    a = sub.add_parser("hash")
    a.add_argument("-o", "--out")
    a.add_argument("--table")
    b = sub.add_parser("verify")
    b.add_argument("spec")
    c = sub.add_parser("real")
    c.add_argument("-o", "--out", required=True)
    c.add_argument("--data", default=os.environ.get("OUTPOST_DATA") or os.path.expanduser("~/.cache/outpost-data"))
    c.add_argument("--limit", type=int, default=0)
    c.add_argument("--tap-images", type=int, default=8)
    for s in (a, b, c):
        s.add_argument("net", nargs="*")
    args = p.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    return {"hash": cmd_hash, "verify": cmd_verify, "real": cmd_real}[args.cmd](args) or 0


if __name__ == "__main__":
    sys.exit(main())
