"""Reference networks in PyTorch, and the hash-made weights and input that need no checkpoint.

NETS lists, per network: how to build it, the gain g of its rank-4 weights, the input side, and the
taps (module names; their output is dumped).  CIFAR networks are written here from their papers;
the ImageNet ones are torchvision's own.
"""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
import torchvision.models as tv


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


def hash_tensor(key, shape, g):
    """One parameter, rounded to float32 as a checkpoint would hold it."""
    n = int(np.prod(shape)) if len(shape) else 1
    u = uniform(key, np.arange(n))
    last = key.rsplit(".", 1)[-1]
    if last == "running_mean":
        v = 0.1 * u
    elif last == "running_var":
        v = 1 + 0.5 * u
    elif len(shape) == 1:
        v = 1 + 0.3 * u if last == "weight" else 0.2 * u
    else:
        gain = g if len(shape) == 4 else 1.0
        v = u * np.sqrt(3.0 * gain / np.prod(shape[1:]))
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


def hash_state(net, g):
    state = net.state_dict()
    for key, old in state.items():
        if not key.endswith("num_batches_tracked"):
            state[key] = hash_tensor(key, tuple(old.shape), g)
    return state


def hash_input(batch, side):
    x = uniform("input", np.arange(batch * 3 * side * side)).reshape(batch, 3, side, side)
    dc = uniform("inputdc", np.arange(batch * 3)).reshape(batch, 3, 1, 1)
    return torch.from_numpy((x + 2 * dc).astype(np.float32))


# --- CIFAR networks ------------------------------------------------------------------------------

class DenseLayer(nn.Module):
    def __init__(self, c, growth):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(c), nn.Conv2d(c, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.conv1(F.relu(self.bn1(x)))
        return torch.cat([x, self.conv2(F.relu(self.bn2(y)))], 1)


class DenseBlock(nn.Module):
    def __init__(self, c, layers, growth):
        super().__init__()
        self.layer = nn.Sequential(*[DenseLayer(c + i * growth, growth) for i in range(layers)])

    def forward(self, x):
        return self.layer(x)


class Transition(nn.Module):
    def __init__(self, c, out):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(c), nn.Conv2d(c, out, 1, bias=False)

    def forward(self, x):
        return F.avg_pool2d(self.conv1(F.relu(self.bn1(x))), 2)


class DenseNetBC(nn.Module):
    """Huang et al., arXiv:1608.06993: depth 100, growth 12, compression 0.5, bottleneck layers."""

    def __init__(self, classes=100, growth=12, layers=16):
        super().__init__()
        c = 2 * growth
        self.conv1 = nn.Conv2d(3, c, 3, padding=1, bias=False)
        for i in (1, 2, 3):
            setattr(self, f"block{i}", DenseBlock(c, layers, growth))
            c += layers * growth
            if i < 3:
                setattr(self, f"trans{i}", Transition(c, c // 2))
                c //= 2
        self.bn1 = nn.BatchNorm2d(c)
        self.relu = nn.ReLU()
        self.avgpool = nn.AvgPool2d(8)
        self.fc = nn.Linear(c, classes)

    def forward(self, x):
        x = self.trans1(self.block1(self.conv1(x)))
        x = self.block3(self.trans2(self.block2(x)))
        return self.fc(self.avgpool(self.relu(self.bn1(x))).flatten(1))


class ConvBlock(nn.Module):
    """Two 3x3 convolutions; shortcut by 1x1 convolution ("B") or by striding and zero channels ("A")."""

    def __init__(self, c, out, stride, option):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.pad = out // 4 if option == "A" and (stride != 1 or c != out) else 0
        self.shortcut = nn.Sequential()
        if option == "B" and (stride != 1 or c != out):
            self.shortcut = nn.Sequential(nn.Conv2d(c, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        skip = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad)) if self.pad else self.shortcut(x)
        return F.relu(y + skip)


class CifarResNet(nn.Module):
    """widths (16,32,64), option A, head "linear": He et al. section 4.2; (64..512), B, "fc": OpenOOD's."""

    def __init__(self, widths, blocks, option, head, classes):
        super().__init__()
        c = widths[0]
        self.conv1, self.bn1 = nn.Conv2d(3, c, 3, 1, 1, bias=False), nn.BatchNorm2d(c)
        self.stages = len(widths)
        for i, out in enumerate(widths, 1):
            layer = [ConvBlock(c if b == 0 else out, out, 2 if b == 0 and i > 1 else 1, option)
                     for b in range(blocks)]
            setattr(self, f"layer{i}", nn.Sequential(*layer))
            c = out
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.head = head
        setattr(self, head, nn.Linear(c, classes))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return getattr(self, self.head)(self.avgpool(x).flatten(1))


# --- the table -----------------------------------------------------------------------------------

RESNET = ["relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool"]
CIFAR3 = ["layer1", "layer2", "layer3", "avgpool"]


class Net:
    """head: module whose input is the feature vector (for SqueezeNet: the map, averaged)."""

    def __init__(self, build, g, side, classes, taps, head, title):
        self.build, self.g, self.side, self.classes = build, g, side, classes
        self.taps, self.head, self.title = taps, head, title


def _tv(name, g, taps, head):
    return Net(lambda c: getattr(tv, name)(weights=None, num_classes=c), g, 224, 1000, taps, head,
               f"torchvision {name}")


def _aka(depth):
    n = (depth - 2) // 6
    return Net(lambda c: CifarResNet((16, 32, 64), n, "A", "linear", c), 1, 32, 10, CIFAR3, "linear",
               f"CIFAR ResNet-{depth}")


NETS = {
    **{n: _tv(n, 1, RESNET, "fc") for n in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")},
    "mobilenet_v2": _tv("mobilenet_v2", 2, [f"features.{i}" for i in range(19)], "classifier.1"),
    "squeezenet1_0": _tv("squeezenet1_0", 2, [f"features.{i}" for i in (2, 6, 10, 11, 12)], "classifier.1"),
    "squeezenet1_1": _tv("squeezenet1_1", 2, [f"features.{i}" for i in (2, 5, 8, 12)], "classifier.1"),
    "densenet_bc_100_12": Net(DenseNetBC, 2, 32, 100,
                              ["block1", "trans1", "block2", "trans2", "block3", "bn1", "relu", "avgpool"],
                              "fc", "DenseNet-BC-100-12"),
    "resnet18_32x32": Net(lambda c: CifarResNet((64, 128, 256, 512), 2, "B", "fc", c), 1, 32, 10,
                          ["layer1", "layer2", "layer3", "layer4", "avgpool"], "fc", "ResNet18_32x32"),
    "resnet20": _aka(20), "resnet32": _aka(32), "resnet44": _aka(44), "resnet56": _aka(56),
}


class Taps:
    """Forward hooks: tap outputs by module name, and the feature (the input of the head)."""

    def __init__(self, net, spec, keep_grad=False):
        self.out, self.features, self.keep_grad = {}, None, keep_grad
        modules = dict(net.named_modules())
        for name in spec.taps:
            modules[name].register_forward_hook(self._save(name))
        modules[spec.head].register_forward_pre_hook(self._feature)

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
