"""CIFAR networks in PyTorch, from their papers: DenseNet-BC, ResNets, wide ResNets."""
import torch
import torch.nn.functional as F
from torch import nn


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


class WideBlock(nn.Module):
    """Norm and ReLU before each convolution.

    The projection takes the rectified tensor, the identity the raw one."""

    def __init__(self, c, out, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(c), nn.Conv2d(c, out, 3, stride, 1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(out), nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.convShortcut = None if c == out else nn.Conv2d(c, out, 1, stride, bias=False)

    def forward(self, x):
        a = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(a))))
        return y + (x if self.convShortcut is None else self.convShortcut(a))


class WideStage(nn.Module):
    def __init__(self, c, out, stride, blocks):
        super().__init__()
        self.layer = nn.Sequential(*[WideBlock(c if i == 0 else out, out, stride if i == 0 else 1)
                                     for i in range(blocks)])

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    """Zagoruyko and Komodakis, arXiv:1605.07146, with the key names of the outlier-exposure checkpoints."""

    def __init__(self, classes=10, depth=40, widen=2):
        super().__init__()
        blocks, c = (depth - 4) // 6, 16
        self.conv1 = nn.Conv2d(3, c, 3, 1, 1, bias=False)
        for i in (1, 2, 3):
            out = 16 * widen << (i - 1)
            setattr(self, f"block{i}", WideStage(c, out, 1 if i == 1 else 2, blocks))
            c = out
        self.bn1, self.relu, self.avgpool = nn.BatchNorm2d(c), nn.ReLU(), nn.AvgPool2d(8)
        self.fc = nn.Linear(c, classes)

    def forward(self, x):
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(self.avgpool(self.relu(self.bn1(x))).flatten(1))
