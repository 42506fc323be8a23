"""Reference networks in PyTorch, and the hash-made weights and input that need no checkpoint.

NETS lists, per network: how to build it, the gain g of its rank-4 weights, the input side, and the
taps (module names; their output is dumped).  NET@SIDE is NET with another input side.  Networks of
torchvision and timm are those libraries' own; the rest is written from the papers in nets_cifar.py,
nets_bit.py and nets_t2t.py.
"""
import numpy as np
import torch
from torch import nn
import torchvision.models as tv

from nets_bit import BiT
from nets_cifar import CifarResNet, DenseNetBC, WideResNet
from nets_t2t import t2t_vit


# --- weights that any program can make: FNV-1a of the key, SplitMix64 of the index --------------

def fnv1a(text):
    h = 14695981039346656037
    for byte in text.encode("ascii"):
        h = ((h ^ byte) * 1099511628211) & 0xFFFFFFFFFFFFFFFF
    return h


def uniform(key, index):
    """U(key, i) in [-1, 1), exact in float32; index is an array of integers >= 0."""
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a(key)) + (index.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z ^= z >> np.uint64(30)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> np.uint64(27)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) * 2.0 ** -23 - 1.0


BUFFERS = ("num_batches_tracked", "relative_position_index", "attn_mask")  # keep their true values
EMBEDDINGS = ("cls_token", "class_token", "pos_embed", "pos_embedding")


def hash_tensor(key, shape, g):
    """One parameter, rounded to float32 as a checkpoint would hold it (models.md 14.1).

    Not in models.md: layer scales (ConvNeXt) are 0.5 + 0.3 U, of either rank."""
    u = uniform(key, np.arange(int(np.prod(shape))))
    last = key.rsplit(".", 1)[-1]
    fan_in = np.prod(shape[1:])
    if last == "running_mean":
        v = 0.1 * u
    elif last == "running_var":
        v = 1 + 0.5 * u
    elif last in EMBEDDINGS:
        v = 0.5 * u
    elif last == "relative_position_bias_table":
        v = u
    elif last in ("layer_scale", "gamma"):
        v = 0.5 + 0.3 * u
    elif len(shape) == 1:
        v = 1 + 0.3 * u if last == "weight" else 0.2 * u
    elif len(shape) == 4:
        v = u * np.sqrt(3.0 * g / fan_in)
    elif key.endswith("kqv.weight"):
        v = 0.25 * u * np.sqrt(3.0 / fan_in)
    elif last == "w":
        v = np.sqrt(3.0) * u
    else:
        v = u * np.sqrt(3.0 / fan_in)
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


def hash_state(net, g):
    state = net.state_dict()
    for key, old in state.items():
        if key.rsplit(".", 1)[-1] not in BUFFERS:
            state[key] = hash_tensor(key, tuple(old.shape), g)
    return state


def hash_input(batch, side):
    x = uniform("input", np.arange(batch * 3 * side * side)).reshape(batch, 3, side, side)
    dc = uniform("inputdc", np.arange(batch * 3)).reshape(batch, 3, 1, 1)
    return torch.from_numpy((x + 2 * dc).astype(np.float32))


# --- the table -----------------------------------------------------------------------------------

class DenseNet(tv.DenseNet):
    """torchvision's, with the last ReLU as a module of its own, so that it can be tapped."""

    def __init__(self, classes, growth, layers, stem):
        super().__init__(growth, layers, stem, num_classes=classes)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.classifier(self.relu(self.features(x)).mean((2, 3)))


class Net:
    """head: module whose input is the feature vector (for SqueezeNet: the map, averaged); of several
    names the first that is a layer with weights.  old_timm: keys and taps are those of timm < 0.9."""

    def __init__(self, build, g, side, classes, taps, head, title, old_timm=False):
        self.build, self.g, self.side, self.classes = build, g, side, classes
        self.taps, self.head, self.title, self.old_timm = taps, head, title, old_timm

    def check_libraries(self):
        if self.old_timm:
            import timm
            if int(timm.__version__.split(".")[1]) >= 9 or timm.__version__[0] != "0":
                raise SystemExit(f"{self.title}: needs timm <= 0.8, this is {timm.__version__}")


def _tv(name, g, taps, head, side=224):
    title = f"torchvision {name}" + ("" if side == 224 else f" at {side}")
    return Net(lambda c: getattr(tv, name)(weights=None, num_classes=c), g, side, 1000, taps, head, title)


def _timm(name, g, taps, head, **kw):
    def build(classes):
        import timm
        return timm.create_model(name, num_classes=classes)
    side = int(name[-3:]) if name[-4:] in ("_224", "_384") else 224
    return Net(build, g, side, 1000, taps, head, f"timm {name}", **kw)


def _tv_swin(name, deepest, side=224):
    last = {1: 1, 3: 1, 5: deepest, 7: 1}
    return _tv(name, 2, [f"features.{i}" for i in range(1, 8)]
               + [f"features.{i}.{b}.mlp.0" for i, b in last.items()] + ["norm", "avgpool"], "head", side)


def _aka(depth):
    n = (depth - 2) // 6
    return Net(lambda c: CifarResNet((16, 32, 64), n, "A", "linear", c), 1, 32, 10,
               ["layer1", "layer2", "layer3", "avgpool"], "linear", f"CIFAR ResNet-{depth}")


def _t2t(size, performer):
    kind = f"T2T-ViT-{size} (performer)" if performer else f"T2T-ViT_t-{size}"
    return Net(lambda c: t2t_vit(size, performer, c), 2, 224, 1000,
               ["tokens_to_token.attention1", "tokens_to_token.attention2", "tokens_to_token.project"]
               + [f"blocks.{i}" for i in (5, 11, 17, 23) if i < size] + ["norm"], "head", kind)


def _stages(name, first, last):
    return [f"{name}{i}" for i in range(first, last + 1)]


def _densenet(depth, growth, layers, stem):
    return Net(lambda c: DenseNet(c, growth, layers, stem), 2, 224, 1000,
               [*_stages("features.denseblock", 1, 4), *_stages("features.transition", 1, 3),
                "features.norm5", "relu"], "classifier", f"torchvision densenet{depth}")


RESNET = ["relu", "maxpool", *_stages("layer", 1, 4), "avgpool"]
RESNET_D = ["maxpool", *_stages("layer", 1, 4), "global_pool"]
VIT = ["blocks.0", "blocks.5", "blocks.11", "norm"]
LAYER = "encoder.layers.encoder_layer_"

NETS = {
    # CIFAR
    "densenet_bc_100_12": Net(DenseNetBC, 2, 32, 100,
                              ["block1", "trans1", "block2", "trans2", "block3", "bn1", "relu", "avgpool"],
                              "fc", "DenseNet-BC-100-12"),
    "resnet18_32x32": Net(lambda c: CifarResNet((64, 128, 256, 512), 2, "B", "fc", c), 1, 32, 10,
                          ["layer1", "layer2", "layer3", "layer4", "avgpool"], "fc", "ResNet18_32x32"),
    "resnet20": _aka(20), "resnet32": _aka(32), "resnet44": _aka(44), "resnet56": _aka(56),
    "wrn_40_2": Net(WideResNet, 1, 32, 10, [*_stages("block", 1, 3), "bn1", "relu"], "fc", "WRN-40-2"),
    "wrn_28_10": Net(lambda c: WideResNet(c, 28, 10), 1, 32, 10, [*_stages("block", 1, 3), "bn1", "relu"], "fc",
                     "WRN-28-10"),
    # torchvision
    **{n: _tv(n, 1, RESNET, "fc") for n in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")},
    "mobilenet_v2": _tv("mobilenet_v2", 2, _stages("features.", 0, 18), "classifier.1"),
    "squeezenet1_0": _tv("squeezenet1_0", 2, [f"features.{i}" for i in (2, 6, 10, 11, 12)], "classifier.1"),
    "squeezenet1_1": _tv("squeezenet1_1", 2, [f"features.{i}" for i in (2, 5, 8, 12)], "classifier.1"),
    "densenet121": _densenet(121, 32, (6, 12, 24, 16), 64),
    "densenet161": _densenet(161, 48, (6, 12, 36, 24), 96),
    "densenet169": _densenet(169, 32, (6, 12, 32, 32), 64),
    "densenet201": _densenet(201, 32, (6, 12, 48, 32), 64),
    "efficientnet_b0": _tv("efficientnet_b0", 2, [*_stages("features.", 0, 8), "avgpool"], "classifier.1"),
    **{f"regnet_y_{n}": _tv(f"regnet_y_{n}", 1, [*_stages("trunk_output.block", 1, 4), "avgpool"], "fc")
       for n in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")},
    **{n: _tv(n, 2, [f"features.{i}" for i in (1, 3, 5, 7)] + ["avgpool"], "classifier.2")
       for n in ("convnext_tiny", "convnext_base")},
    "swin_t": _tv_swin("swin_t", 5),
    "swin_t@200": _tv_swin("swin_t", 5, 200),  # windows and merging of sides that need padding
    "swin_s": _tv_swin("swin_s", 17), "swin_b": _tv_swin("swin_b", 17),
    "vit_b_16": _tv("vit_b_16", 2, [f"{LAYER}{i}" for i in (0, 5, 11)]
                    + [f"{LAYER}{i}.ln_2" for i in (0, 5)] + ["encoder.ln"], "heads.head"),
    # timm
    **{n: _timm(n, 2, VIT, "head")
       for n in ("vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224",
                 "vit_base_patch16_384", "deit_tiny_patch16_224", "deit_small_patch16_224",
                 "deit_base_patch16_224")},
    **{n: _timm(n, 0.25, ["stem", *_stages("stages.", 0, 3)], "head.fc")
       for n in ("repvgg_a0", "repvgg_a1", "repvgg_a2", "repvgg_b0", "repvgg_b1", "repvgg_b2", "repvgg_b3")},
    **{n: _timm(n, 1, RESNET_D, "fc") for n in ("resnet26d", "resnet34d", "resnet50d", "resnet101d")},
    **{n: _timm(n, 2, ["patch_embed", *_stages("layers.", 0, 3), "norm"], "head head.fc", old_timm=True)
       for n in ("swin_tiny_patch4_window7_224", "swin_small_patch4_window7_224",
                 "swin_base_patch4_window7_224")},
    # from their papers
    "bit_s_r101x1": Net(BiT, 2, 480, 1000, ["root", *_stages("body.block", 1, 4), "before_head"],
                        "head.conv", "BiT-S R101x1"),
    **{f"t2t_vit_t_{n}": _t2t(n, False) for n in (14, 19, 24)},
    **{f"t2t_vit_{n}": _t2t(n, True) for n in (14, 19, 24)},
}


class Taps:
    """Forward hooks: tap outputs by module name, and the feature (the input of the head)."""

    def __init__(self, net, spec, keep_grad=False):
        self.out, self.features, self.keep_grad = {}, None, keep_grad
        modules = dict(net.named_modules())
        for name in spec.taps:
            modules[name].register_forward_hook(self._save(name))
        head = next(n for n in spec.head.split() if hasattr(modules[n], "weight"))
        modules[head].register_forward_pre_hook(self._feature)

    def _save(self, name):
        def hook(_module, _args, y):
            if name not in self.out:
                if self.keep_grad:
                    y.retain_grad()
                # A copy: an in-place ReLU may follow and change the stored tensor.
                self.out[name] = (y, y.detach().clone())
        return hook

    def _feature(self, _module, args):
        x = args[0].detach()
        self.features = (x.mean((2, 3)) if x.dim() == 4 else x).clone()

    def clear(self):
        self.out, self.features = {}, None
