"""BiT ResNet-v2 in PyTorch, from models.md section 2 (Kolesnikov et al., arXiv:1912.11370).

Weight standardisation in every convolution but the head's, GroupNorm of 32 groups before each ReLU,
the stem's max pool over an explicit border of zeros, the projection fed with the rectified tensor.
"""
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn


class StdConv(nn.Conv2d):
    """Every output channel's weights are brought to mean 0 and variance 1 (biased, + 1e-10)."""

    def __init__(self, cin, cout, kernel, stride=1, padding=0):
        super().__init__(cin, cout, kernel, stride, padding, bias=False)

    def forward(self, x):
        var, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, unbiased=False)
        return F.conv2d(x, (self.weight - mean) / torch.sqrt(var + 1e-10), None, self.stride, self.padding)


class Unit(nn.Module):
    def __init__(self, cin, cmid, cout, stride):
        super().__init__()
        self.gn1, self.conv1 = nn.GroupNorm(32, cin), StdConv(cin, cmid, 1)
        self.gn2, self.conv2 = nn.GroupNorm(32, cmid), StdConv(cmid, cmid, 3, stride, 1)
        self.gn3, self.conv3 = nn.GroupNorm(32, cmid), StdConv(cmid, cout, 1)
        self.downsample = StdConv(cin, cout, 1, stride) if stride != 1 or cin != cout else None

    def forward(self, x):
        a = F.relu(self.gn1(x))
        y = self.conv1(a)
        y = self.conv2(F.relu(self.gn2(y)))
        y = self.conv3(F.relu(self.gn3(y)))
        return y + (x if self.downsample is None else self.downsample(a))


def block(units, cin, cmid, stride):
    made = [Unit(cin if i == 0 else 4 * cmid, cmid, 4 * cmid, stride if i == 0 else 1) for i in range(units)]
    return nn.Sequential(OrderedDict((f"unit{i:02d}", u) for i, u in enumerate(made, 1)))


class BiT(nn.Module):
    def __init__(self, classes=1000, units=(3, 4, 23, 3)):
        super().__init__()
        self.root = nn.Sequential(OrderedDict(
            conv=StdConv(3, 64, 7, 2, 3), pad=nn.ConstantPad2d(1, 0.0), pool=nn.MaxPool2d(3, 2)))
        body, cin = OrderedDict(), 64
        for i, n in enumerate(units):
            cmid = 64 << i
            body[f"block{i + 1}"] = block(n, cin, cmid, 1 if i == 0 else 2)
            cin = 4 * cmid
        self.body = nn.Sequential(body)
        self.before_head = nn.Sequential(OrderedDict(
            gn=nn.GroupNorm(32, cin), relu=nn.ReLU(), avg=nn.AdaptiveAvgPool2d(1)))
        self.head = nn.Sequential(OrderedDict(conv=nn.Conv2d(cin, classes, 1)))

    def forward(self, x):
        return self.head(self.before_head(self.body(self.root(x)))).flatten(1)
