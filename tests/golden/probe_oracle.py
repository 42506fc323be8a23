#!/usr/bin/env python3
"""The probes of `extract run` beside PyTorch in float64, image by image.  Prints TAP.

  probe_oracle.py EXTRACT DATA DEVICE [--images N] [NETWORK...]

hash:NAME is a network of nets.py with weights made by hash over images drawn here; other names are the real checkpoints
of DATA/weights over DATA/images (real_networks.py).  Everything is computed here from the definitions, by autograd, hooks
and numpy's SVD, with nothing of ours but the file that is checked: gradients, perturbed images, second passes, weights.
Every line states how much of its tolerance was used.
"""
import copy
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from torchvision import transforms as T

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import make_net_golden as golden  # noqa: E402
from nets import NETS, hash_state  # noqa: E402
from real_networks import DENSE, TABLE, Tap  # noqa: E402
from torchvision_networks import draw  # noqa: E402

# Layers by probe, where the defaults of the program are what is checked: outpost's names, and the module here.
LAYERS = {
    "resnet": dict(nac="avgpool layer3 layer2 layer1", gap="maxpool layer1 layer2 layer3 layer4",
                   gram="maxpool layer1 layer2 layer3 avgpool", last="layer4", earlier="layer3", stem="maxpool"),
    "mobilenet_v2": dict(nac="avgpool", gap="features.1 features.3 features.6 features.13 features.18",
                         gram="features.1 features.3 features.6 features.13 avgpool", last="features.18",
                         earlier="features.13", stem="features.0"),
    "squeezenet1_0": dict(nac="features.12", gap="features.2 features.6 features.11 features.12",
                          gram="features.2 features.6 features.11 features.12.mean", last="features.12",
                          earlier="features.10", stem="features.2", weights="classifier.1"),
    "densenet_bc_100_12": dict(nac="avgpool block2 block1", gap="block1 block2 block3",
                               gram="block1 trans1 block2 trans2 avgpool", last="block3", earlier="block2", stem="block1"),
    "cifar_resnet": dict(nac="avgpool layer2 layer1", gap="layer1 layer2 layer3", gram="layer1 layer2 avgpool",
                         last="layer3", earlier="layer2", stem="layer1"),
    "vit_b_16": dict(nac="encoder.ln " + " ".join(f"encoder.layers.encoder_layer_{i}.ln_2" for i in (11, 10, 9)),
                     gap=" ".join(f"encoder.layers.encoder_layer_{i}" for i in (2, 5, 8, 11)), gram=None,
                     last="encoder.layers.encoder_layer_10", earlier=None, stem="encoder.layers.encoder_layer_0",
                     weights="encoder.layers.encoder_layer_10.mlp.3"),
    "vit": dict(nac="norm blocks.11.norm2 blocks.10.norm2 blocks.9.norm2", gap="blocks.2 blocks.5 blocks.8 blocks.11",
                gram=None, last="blocks.10", earlier=None, stem="blocks.0", weights="blocks.10.mlp.fc2"),
    "bit_s_r101x1": dict(nac="before_head", gap="root body.block1 body.block2 body.block3 body.block4", gram=None,
                         last="body.block4", earlier="body.block3", stem="root",
                         weights="body.block4.unit03.conv3 body.block4.unit03.conv2"),
    "t2t": dict(nac="norm blocks.13.norm2 blocks.12.norm2 blocks.11.norm2",
                gap="blocks.3 blocks.6 blocks.10 blocks.13", gram=None, last="blocks.13", earlier=None,
                stem="tokens_to_token.attention1", weights="blocks.13.mlp.fc2"),
    "swin_t": dict(nac="avgpool features.7.1.mlp.0 features.5.5.mlp.0", gap="features.1 features.3 features.5 features.7",
                   gram=None, last="features.5", earlier=None, stem="features.0", weights="features.5.5.mlp.3"),
}
KIND = {**{f"resnet{n}": "resnet" for n in (18, 34, 50, 101, 152)}, "resnet20": "cifar_resnet", "resnet56": "cifar_resnet",
        "t2t_vit_t_14": "t2t", "vit_tiny_patch16_224": "vit"}
IMAGENET_STD = (0.229, 0.224, 0.225)


class Net:
    """A network whose layers can be read, differentiated and replaced."""

    def __init__(self, net, spec, channels_last):
        self.net, self.channels_last = net, channels_last
        self.modules = dict(self.net.named_modules())
        head = next(n for n in spec.head.split() if hasattr(self.modules[n], "weight"))
        self.modules[head].register_forward_pre_hook(self._head)
        self.seen, self.wanted, self.replace, self.feature = {}, [], {}, None
        for name, module in self.modules.items():
            module.register_forward_hook(self._hook(name))

    def _head(self, _module, args):
        self.feature = args[0]
        if args[0].requires_grad:
            args[0].retain_grad()

    def _hook(self, name):
        def hook(_module, _args, y):
            if name in self.replace:
                return self.replace[name](y)
            if name in self.wanted:
                self.seen[name] = y if y.requires_grad else y.clone()  # an in-place ReLU may follow
                if y.requires_grad:
                    y.retain_grad()
            return None
        return hook

    def run(self, x, wanted=(), replace=None):
        self.seen, self.wanted, self.replace = {}, list(wanted), replace or {}
        return self.net(x)

    def features(self):
        f = self.feature
        return f.mean((2, 3)) if f.dim() == 4 and not self.channels_last else f.flatten(1) if f.dim() == 4 else f

    def matrix(self, y):
        """[N, c, positions] of a map, tokens or a vector, as the published module hands it on."""
        if y.dim() == 2:
            return y[:, :, None]
        if y.dim() == 3:
            return y.transpose(1, 2)
        return y.flatten(1, 2).transpose(1, 2) if self.channels_last else y.flatten(2)

    def again(self, m, y):
        """The way back from matrix()."""
        if y.dim() == 3:
            return m.transpose(1, 2)
        return m.transpose(1, 2).reshape(y.shape) if self.channels_last else m.reshape(y.shape)

    def layer(self, name):
        """The value of a layer of ours; penultimate vectors that are no module are the head's input."""
        if name in self.seen:
            return self.seen[name]
        return self.feature

    def layer_matrix(self, name):
        y = self.layer(name)
        if name in ("norm", "encoder.ln"):  # the class token alone
            return self.matrix(y)[:, :, :1]
        if name not in self.seen and y.dim() == 4:  # features.12.mean
            return y.mean((2, 3))[:, :, None]
        return self.matrix(y)


def scalar(z, kind, t=1.0, c=0):
    if kind == "ce":
        return F.cross_entropy(z / t, z.argmax(1), reduction="sum")
    return {"uniform": lambda: -F.log_softmax(z, 1).mean(1).sum(), "logsumexp": lambda: torch.logsumexp(z, 1).sum(),
            "max": lambda: z.max(1).values.sum(), "logit": lambda: z[:, c].sum()}[kind]()


def image_gradient(net, x, kind, t=1.0, c=0):
    x = x.clone().requires_grad_(True)
    scalar(net.run(x), kind, t, c).backward()
    return x.grad


def signs(g, zero):
    return torch.where(g > 0, 1.0, torch.where(g < 0, -1.0, float(zero))).to(g.dtype)


def smallest(g, share):
    """The int(share) elements of smallest |g|; earlier ones first."""
    flat = g.flatten(1).abs().numpy()
    k = int(flat.shape[1] * share)
    keep = np.zeros(flat.shape)
    for i, at in enumerate(np.argsort(flat, axis=1, kind="stable")[:, :k]):
        keep[i, at] = 1
    return torch.from_numpy(keep).reshape(g.shape).to(g.dtype)


def largest(g):
    keep = torch.zeros_like(g).flatten(1)
    for i, v in enumerate(g.flatten(1).abs().numpy()):
        keep[i, int(np.argmax(v))] = 1
    return keep.reshape(g.shape)


def deflate(m):
    """m [N,c,p] without its largest singular component, by numpy's SVD."""
    out = m.detach().numpy().copy()
    for i, a in enumerate(out):
        u, s, v = np.linalg.svd(a, full_matrices=False)
        out[i] = a - s[0] * np.outer(u[:, 0], v[0])
    return torch.from_numpy(out)


def gram_rows(m, powers):
    out = []
    for q in range(1, powers + 1):
        f = m ** q
        v = (f @ f.transpose(1, 2)).sum(2)
        out.append(torch.sign(v) * v.abs() ** (1 / q))
    return torch.stack(out, 1)


def gaussian_gradient(net, x, layer, means, precision):
    x = x.clone().requires_grad_(True)
    net.run(x, [layer])
    a = net.layer_matrix(layer).mean(2)
    d = a[:, None, :] - means[None]
    q = -0.5 * torch.einsum("nkd,de,nke->nk", d, precision, d)
    (-q.max(1).values).sum().backward()
    return x.grad


def relative(have, want):
    """Relative L2 of each image."""
    have, want = (np.asarray(v.detach() if isinstance(v, torch.Tensor) else v, np.float64) for v in (have, want))
    have, want = have.reshape(len(want), -1), want.reshape(len(want), -1)
    return np.linalg.norm(have - want, axis=1) / np.linalg.norm(want, axis=1)


class Case:
    """One network: images, our file, and what PyTorch says."""

    def __init__(self, tap, extract, device, tmp):
        self.tap, self.extract, self.device, self.tmp = tap, extract, device, tmp

    def real(self, file, data, images):
        name, reference, classes, listed, stats, *_ = TABLE[file]
        stats = golden.DENSE if stats == DENSE else golden.IMAGENET
        self.prep(reference, name, golden.load_net(reference, classes, os.path.join(data, "weights", file)), stats)
        self.args = ["-m", name, "-w", os.path.join(data, "weights", file), "-r", os.path.join(data, "images")]
        rows = golden.read_list(data, listed, 0)
        rows = [rows[i * (len(rows) // images)] for i in range(images)]
        self.finish(os.path.join(data, "images"), [p for p, _ in rows], stats)

    def hashed(self, name, images):
        spec = NETS[name]
        net = spec.build(spec.classes).eval()
        net.load_state_dict(hash_state(net, spec.g))
        self.prep(name, name, net, golden.IMAGENET)
        weights = os.path.join(self.tmp, "hash.pth")
        torch.save(net.state_dict(), weights)
        self.args = ["-m", name, "-w", weights, "-r", self.tmp]
        # plain statistics, whatever the network's own
        mean, std = ("/".join(map(str, v)) for v in golden.IMAGENET)
        preset = "cifar" if spec.side == 32 else "torchvision"
        short = 256 if spec.side == 224 else spec.side
        geometry = f":resize={short},crop={spec.side},filter=bilinear,"
        self.args += ["--prep", f"{preset}{geometry}mean={mean},std={std}"]
        self.finish(self.tmp, draw(self.tmp)[:images], golden.IMAGENET)

    def prep(self, reference, name, net, stats):
        self.name, self.spec = name, NETS[reference]
        self.layers = LAYERS[KIND.get(name, name)]
        self.plain = net.eval()
        self.net64 = Net(copy.deepcopy(net).double(), self.spec, name.startswith("swin"))
        self.single = None

    def finish(self, folder, paths, stats):
        from PIL import Image
        tf = golden.transform(self.spec.side, stats)
        if self.spec.side not in (32, 224):
            side = self.spec.side
            tf = T.Compose([T.Resize(side), T.CenterCrop(side), T.ToTensor(), T.Normalize(*stats)])
        self.x = torch.stack([tf(Image.open(os.path.join(folder, p)).convert("RGB")) for p in paths]).double()
        listing = os.path.join(self.tmp, "list")
        with open(listing, "w") as f:
            f.writelines(f"{p} 0\n" for p in paths)
        self.args += ["-l", listing, "-d", self.device]

    def extract_run(self, *more):
        out = os.path.join(self.tmp, "out.h5")
        done = subprocess.run([self.extract, "run", "-q", "--force", "-o", out, *self.args, *more],
                              capture_output=True, text=True)
        self.tap.check(done.returncode == 0, f"{self.name}: {' '.join(more)} {done.stderr.strip()}")
        if done.returncode != 0:
            return {}
        values = {}
        with h5py.File(out, "r") as f:
            f.visititems(lambda k, v: values.__setitem__(k, v[:]) if isinstance(v, h5py.Dataset) and v.shape else None)
        return values

    def compare(self, got, expected, tol, wider=()):
        """Relative L2 of each image, the median and the worst.  In float64 (-d ref) both are held to tol.  In float32 masks of
        ReLU and maxima flip where two values are equal up to rounding, which moves gradients of single images by far more
        than rounding; so the worst may be as far off as three times what PyTorch's own float32 is."""
        want, own = expected(self.net64, self.x, got), None
        for name, value in want.items():
            if name not in got:
                self.tap.check(False, f"{self.name}: no /{name}")
                continue
            off = relative(got[name], value)
            words = f"{self.name}: {name}: median {np.median(off):.1e}, worst {off.max():.1e} of {tol:.0e}"
            ok = off.max() <= tol
            if not ok and self.device != "ref":
                own = own or expected(self.net32(), self.x.float(), got)
                allowed = max(tol, 3 * relative(own[name], value).max())
                ok = off.max() <= allowed
                words += f", {allowed:.1e} as PyTorch's float32 is {allowed / 3:.1e} off"
            self.tap.check(ok, words)

    def net32(self):
        if self.single is None:
            self.single = Net(copy.deepcopy(self.plain).float(), self.spec, self.net64.channels_last)
        return self.single

    # --- the probes ----------------------------------------------------------------------------------

    def perturbed(self, tol):
        """The images are moved by the gradients that the run itself stored, which are compared first: signs and ranks of
        values at rounding level are no property of the network."""
        std = torch.tensor(IMAGENET_STD).double()[None, :, None, None]
        for kind, probes in (("ce:1000", ["odin:T=1000,eps=0.0014/0.004", "odin:std=imagenet,eps=0.02,zero=none", "iodin:eps=1"]),
                             ("ce:1", ["odin:T=1,eps=0.0014/0.004"]), ("max", ["adascale"])):
            more = [word for p in probes for word in ("--probe", p)]
            got = self.extract_run(*more, "--dump", "features,logits,gradients:image", "--scalar", kind)
            if not got:
                continue
            self.compare(got, lambda net, x, _: {"logits": net.run(x)} if kind == "max" else {}, tol)
            word, _, t = kind.partition(":")
            self.compare(got, lambda net, x, _: {"gradients/image": image_gradient(net, x, word, float(t or 1))}, tol)
            self.agreement(got["gradients/image"], word, float(t or 1))

            def moved(net, x, values):
                g = torch.from_numpy(values["gradients/image"]).to(x.dtype)
                if self.device == "ref":
                    g = image_gradient(net, x, word, float(t or 1))
                out = {f"probes/odin/T={t},eps={eps}/logits": net.run(x - eps * signs(g, 1)) for eps in (0.0014, 0.004)}
                if word == "max":
                    net.run(x + 0.5 * signs(g, 0) * smallest(g, 0.05))
                    return {"probes/adascale/features": net.features()}
                if t == "1000":
                    out["probes/odin/T=1000,eps=0.02/logits"] = net.run(x - 0.02 * signs(g, 0) / std.to(x.dtype))
                    out["probes/iodin/T=1000,eps=1/logits"] = net.run(x - signs(g, 1) * largest(g))
                return out
            self.compare(got, moved, tol)

    def agreement(self, have, kind, t):
        """Signs where |g| is above the rounding floor: how far PyTorch's own float32 gradient is off in that image,
        at least 1e-3 of the
        largest: as much as one ReLU that rounding switches moves it."""
        want = image_gradient(self.net64, self.x, kind, t).numpy()
        own = image_gradient(self.net32(), self.x.float(), kind, t).double().numpy()
        floor = np.maximum(np.abs(own - want).max((1, 2, 3), keepdims=True), 1e-3 * np.abs(want).max((1, 2, 3), keepdims=True))
        above = np.abs(want) > floor
        agree = ((have < 0) == (want < 0))[above].mean()
        self.tap.check(agree >= 0.9999, f"{self.name}: signs of the image's gradient of {kind}:{t:g}: {100 * agree:.4f} % agree, "
                                        f"99.99 asked, {100 * above.mean():.1f} % are above the floor")

    def nac(self, tol):
        names, blocks = self.layers["nac"].split(), self.layers["gap"].split()
        got = self.extract_run("--probe", "nac:pieces=yes", "--probe", "gap")

        def expected(net, x, _):
            x, out = x.clone().requires_grad_(True), {}
            scalar(net.run(x, names), "uniform").backward()
            for name in names:
                live = net.layer(name)
                parts = (live.detach(), live.grad)
                o, g = ((net.matrix(v)[:, :, :1] if name in ("norm", "encoder.ln") else net.matrix(v)).sum(2) for v in parts)
                out.update({f"probes/nac/{name}": o * g, f"probes/nac/{name}:activation": o, f"probes/nac/{name}:gradient": g})
            net.run(x.detach(), blocks)
            out.update({f"probes/gap/{name}": net.matrix(net.layer(name)).mean(2) for name in blocks})
            return out
        if got:
            self.compare(got, expected, tol)

    def rank(self, tol):
        names = [n for n in ("last", "earlier") if self.layers[n]]
        probes = ["--probe", "rankfeat"]
        weights = self.layers.get("weights")
        if weights:
            probes += ["--probe", "rankweight"]
        if self.layers["gram"]:
            probes += ["--probe", "gram:powers=3"]
        got = self.extract_run(*probes)

        @torch.no_grad()
        def expected(net, x, _):
            out = {}

            def removed(y):
                return net.again(deflate(net.matrix(y)), y)
            for name in names:
                out[f"probes/rankfeat/{name}/logits"] = net.run(x, replace={self.layers[name]: removed})
                out[f"probes/rankfeat/{name}/features"] = net.features()
            if weights:
                matrices = [net.modules[name].weight for name in weights.split()]
                kept = [w.detach().clone() for w in matrices]
                for k in (1, 2):
                    for w in matrices:
                        w.copy_(deflate(w.flatten(1)[None])[0].reshape(w.shape))
                    out[f"probes/rankweight/removals={k}/logits"] = net.run(x)
                    out[f"probes/rankweight/removals={k},rankfeat/logits"] = net.run(x, replace={self.layers["last"]: removed})
                for w, old in zip(matrices, kept):
                    w.copy_(old)
            if self.layers["gram"]:
                rows = self.layers["gram"].split()
                net.run(x, rows)
                out.update({f"probes/gram/{name}": gram_rows(net.layer_matrix(name), 3) for name in rows})
            return out
        if got:
            self.compare(got, expected, tol)

    def modules(self, tol):
        """Gram row sums behind every convolution: those of the module of the same name."""
        convs = [name for name, module in self.net64.modules.items() if isinstance(module, torch.nn.Conv2d)]
        got = self.extract_run("--probe", "gram:powers=2,layers=convs")
        numbered = {k.rpartition(":")[2]: k for k in got if k.startswith("probes/gram/")}
        self.tap.check(sorted(numbered) == sorted(convs), f"{self.name}: layers=convs: {len(numbered)} of {len(convs)} convolutions")

        @torch.no_grad()
        def expected(net, x, _):
            net.run(x, convs)
            return {numbered[name]: gram_rows(net.matrix(net.seen[name]), 2) for name in convs if name in numbered}
        if got:
            self.compare(got, expected, tol)

    def gaussian(self, tol):
        """Statistics are drawn; the gradient and the two images are what is checked."""
        blocks, net, rng = self.layers["gap"].split(), self.net64, np.random.default_rng(3)
        stem, path = self.layers["stem"], os.path.join(self.tmp, "stats.h5")
        stats = {}
        net.run(self.x, [*blocks, stem])
        with h5py.File(path, "w") as f:
            f.attrs["format"], f.attrs["format_version"] = "outpost-stats", 1
            for name in dict.fromkeys([*blocks, stem]):
                a = net.layer_matrix(name).mean(2).detach().numpy()
                means = (a[0] + a.std() * rng.normal(size=(3, a.shape[1]))).astype(np.float32)
                half = rng.normal(size=(a.shape[1], a.shape[1])) / a.shape[1]
                precision = (half @ half.T + np.eye(a.shape[1])).astype(np.float32)
                f[f"layers/{name}/means"], f[f"layers/{name}/precision"] = means, precision.astype(np.float64)
                stats[name] = tuple(torch.from_numpy(v).double() for v in (means, precision))
        chosen = [blocks[0], blocks[-1]]
        listed = "/".join(chosen)
        got = self.extract_run("--stats", path, "--probe", f"mahalanobis:eps=0/0.005,layers={listed}", "--probe",
                               f"mahalanobis:eps=0/0.005,fgsm=0.05,layers={listed}", "--probe", "mdsens",
                               "--dump", "gradients:image", "--scalar", "ce")

        def expected(on, x, values):
            def mean_of(image, name):
                on.run(image, [name])
                return on.layer_matrix(name).mean(2)

            def step(image, name):
                return signs(gaussian_gradient(on, image, name, *(v.to(x.dtype) for v in stats[name])), 1).to(x.dtype)
            attack = image_gradient(on, x, "ce") if self.device == "ref" else torch.from_numpy(values["gradients/image"])
            out = {}
            for prefix, image in (("", x), ("fgsm,", (x + 0.05 * signs(attack, 0).to(x.dtype)).clamp(0, 1))):
                for name in chosen:
                    out[f"probes/mahalanobis/{prefix}eps=0/{name}"] = mean_of(image, name)
                    out[f"probes/mahalanobis/{prefix}eps=0.005/{name}"] = mean_of(image - 0.005 * step(image, name), name)
            out[f"probes/mdsens/eps=0.0014/{stem}"] = mean_of(x - 0.0014 * step(x, stem) / 0.5, stem)
            return out
        if got:
            self.compare(got, expected, tol)

    def scalars(self, tol):
        at = self.layers["gap"].split()[-2]
        for kind in ("uniform", "logsumexp", "max", "logit=7", "ce:2.5"):
            got = self.extract_run("--dump", f"gradients:{at},gradients:{at}:mean", "--scalar", kind)
            word, _, t = kind.partition(":")
            word, _, c = word.partition("=")

            def expected(net, x, _):
                x = x.clone().requires_grad_(True)
                scalar(net.run(x, [at]), word, float(t or 1), int(c or 0)).backward()
                g = net.layer(at).grad
                return {f"gradients/{at} of {kind}": g, f"gradients/{at}:mean of {kind}": net.matrix(g).mean(2)}
            if got:
                self.compare({f"{k} of {kind}": v for k, v in got.items()}, expected, tol)


def main():
    extract, data, device, *names = sys.argv[1:]
    images = 2
    if "--images" in names:
        at = names.index("--images")
        images = int(names[at + 1])
        del names[at:at + 2]
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    tap = Tap()
    for name in names:
        only = None
        if "+" in name:
            name, only = name.split("+")
        if not name.startswith("hash:") and not os.path.exists(os.path.join(data, "weights", name)):
            tap.skip(name, "not in " + data)
            continue
        with tempfile.TemporaryDirectory() as tmp:
            case = Case(tap, extract, device, tmp)
            if name.startswith("hash:"):
                case.hashed(name[5:], images)
            else:
                case.real(name, data, images)
            tol = 1e-6 if device == "ref" else 1e-3
            for step in (only.split(",") if only else ("perturbed", "nac", "rank", "modules", "gaussian", "scalars")):
                if step != "modules" or case.layers["gram"]:
                    getattr(case, step)(tol)
    print(f"1..{tap.n}")
    return 1 if tap.bad else 0


if __name__ == "__main__":
    sys.exit(main())
