#!/usr/bin/python3
"""The cases of tests/unit/adjoint_cases.h in float64 PyTorch autograd and numpy -> tests/golden/adjoints.tsv.

  make_adjoints.py > adjoints.tsv      (torch >= 1.13, torchvision, numpy)

One row per case: elements, sum, L2, sum of v[i] U("check", i), and the values at 0, n/3, n/2, n-1, of the
gradient of logsumexp(tail(op(x))) with respect to x, or of what the op gives (VALUE).  Weights and inputs by
hash: nets.py."""
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.models.swin_transformer import ShiftedWindowAttention

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from nets import hash_tensor, uniform  # noqa: E402

CASES = {}


def case(name, c, h, w, scale=1.0, offset=0.0, kind=""):
    """kind: "" (a gradient), "ties" (a gradient, on few values), "value" (the result itself)."""
    def add(fn):
        CASES[name] = (fn, (1, c, h, w), scale, offset, kind)
        return fn
    return add


def weight(key, *shape):
    return hash_tensor(key, shape, 1).double()


def case_input(name, shape, scale, offset, kind):
    u = uniform(name, np.arange(np.prod(shape)))
    u = np.floor(u * 2) if kind == "ties" else (np.floor(u * 2048) + 0.5) / 2048
    return torch.from_numpy((offset + scale * u).astype(np.float32).astype(np.float64).reshape(shape))


def tail(y):
    y = F.gelu(y)
    if y.shape[2] * y.shape[3] > 1:
        y = F.conv2d(y, weight("tail.conv.weight", 4, y.shape[1], 3, 3), weight("tail.conv.bias", 4), padding=1)
        y = y.mean((2, 3), keepdim=True)
    y = y.flatten(1)
    return F.linear(y, weight("tail.fc.weight", 5, y.shape[1]), weight("tail.fc.bias", 5))


# --- products ------------------------------------------------------------------------------------

def conv(x, cout, k, s, p, bias=False, groups=1, name="op"):
    return F.conv2d(x, weight(name + ".weight", cout, x.shape[1] // groups, k, k),
                    weight(name + ".bias", cout) if bias else None, s, p, groups=groups)


def standardised(x, cout, k, s, p):
    w = weight("op.weight", cout, x.shape[1], k, k)
    v, m = torch.var_mean(w, (1, 2, 3), keepdim=True, unbiased=False)
    return F.conv2d(x, (w - m) / torch.sqrt(v + 1e-10), None, s, p)


def batchnorm(x, name="op"):
    c = x.shape[1]
    return F.batch_norm(x, *(weight(f"{name}.{k}", c) for k in ("running_mean", "running_var", "weight", "bias")),
                        eps=1e-5)


def linear(x, out, bias=True, name="op"):
    y = F.linear(x.permute(0, 2, 3, 1), weight(name + ".weight", out, x.shape[1]),
                 weight(name + ".bias", out) if bias else None)
    return y.permute(0, 3, 1, 2)


case("conv_1x1", 4, 5, 6)(lambda x: conv(x, 5, 1, 1, 0))
case("conv_1x1_s2", 4, 6, 5)(lambda x: conv(x, 5, 1, 2, 0))
case("conv_3x3", 4, 5, 6)(lambda x: conv(x, 5, 3, 1, 1, True))
case("conv_3x3_s2 even", 4, 6, 6)(lambda x: conv(x, 5, 3, 2, 1))
case("conv_3x3_s2 odd", 4, 7, 5)(lambda x: conv(x, 5, 3, 2, 1))
case("conv_3x3_s2_p0", 3, 7, 8)(lambda x: conv(x, 5, 3, 2, 0, True))
case("conv_7x7_s2", 3, 8, 9)(lambda x: conv(x, 5, 7, 2, 3))
case("conv_7x7_s2_p0", 3, 9, 10)(lambda x: conv(x, 5, 7, 2, 0))
case("conv_2x2_s2", 4, 6, 5)(lambda x: conv(x, 5, 2, 2, 0, True))
case("conv_4x4_s4", 3, 8, 10)(lambda x: conv(x, 5, 4, 4, 0, True))
case("depthwise_3x3", 5, 5, 4)(lambda x: conv(x, 5, 3, 1, 1, groups=5))
case("depthwise_3x3_s2", 5, 6, 5)(lambda x: conv(x, 5, 3, 2, 1, groups=5))
case("depthwise_5x5_s2", 4, 6, 7)(lambda x: conv(x, 4, 5, 2, 2, groups=4))
case("depthwise_7x7", 4, 6, 7)(lambda x: conv(x, 4, 7, 1, 3, True, groups=4))
case("groups_3x3", 4, 5, 6)(lambda x: conv(x, 6, 3, 1, 1, groups=2))
case("groups_3x3_s2", 6, 6, 5)(lambda x: conv(x, 9, 3, 2, 1, groups=3))
case("standardised_1x1", 4, 5, 6)(lambda x: standardised(x, 5, 1, 1, 0))
case("standardised_3x3_s2", 4, 6, 5)(lambda x: standardised(x, 5, 3, 2, 1))
case("linear map", 4, 3, 5)(lambda x: linear(x, 6))
case("linear vector", 8, 1, 1)(lambda x: linear(x, 6))
case("linear_plain", 4, 5, 1)(lambda x: linear(x, 6, False))
case("conv_norm", 3, 5, 4)(lambda x: batchnorm(conv(x, 4, 3, 1, 1, name="conv")))
case("shared", 4, 3, 2)(lambda x: linear(F.gelu(linear(x, 4)), 4))


@case("parallel", 3, 5, 4)
def parallel(x):
    return F.relu(batchnorm(conv(x, 3, 3, 1, 1, name="three"), "bn3")
                  + batchnorm(conv(x, 3, 1, 1, 0, name="one"), "bn1") + batchnorm(x, "bn0"))


# --- norms and curves ------------------------------------------------------------------------------

def layernorm(x, eps):
    c = x.shape[1]
    y = F.layer_norm(x.permute(0, 2, 3, 1), (c,), weight("op.weight", c), weight("op.bias", c), eps)
    return y.permute(0, 3, 1, 2)


case("batchnorm", 4, 3, 5, 2, 0.5)(batchnorm)
case("groupnorm", 6, 3, 4, 1, 0.5)(lambda x: F.group_norm(x, 2, weight("op.weight", 6), weight("op.bias", 6), 1e-5))
case("layernorm map", 6, 3, 4, 1, 0.5)(lambda x: layernorm(x, 1e-6))
case("layernorm vector", 9, 1, 1, 1, 0.5)(lambda x: layernorm(x, 1e-6))
case("relu", 4, 5, 4)(F.relu)
case("relu ties", 4, 5, 4, kind="ties")(F.relu)
case("relu6", 4, 5, 4, 4, 3)(F.relu6)
case("relu6 ties", 4, 5, 4, 3, 3, "ties")(F.relu6)
case("gelu", 4, 5, 4, 4)(F.gelu)
case("silu", 4, 5, 4, 4)(F.silu)
case("sigmoid", 4, 5, 4, 4)(torch.sigmoid)
case("scale", 4, 5, 4)(lambda x: x * weight("op.gamma", 4).view(1, 4, 1, 1))
case("gate", 4, 5, 4, 1, 0.25)(lambda x: x * torch.sigmoid(linear(x.mean((2, 3), keepdim=True), 4)))


# --- pools and places ------------------------------------------------------------------------------

def zero_padded(x):
    return F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 2)


for label, more in (("", {}), (" ties", {"kind": "ties"})):
    case("maxpool" + label, 3, 7, 6, **more)(lambda x: F.max_pool2d(x, 3, 2, 1))
    case("maxpool_ceil" + label, 3, 8, 6, **more)(lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True))
case("maxpool_zero_pad", 3, 6, 8, 1, -0.5)(zero_padded)
case("maxpool_zero_pad ties", 3, 6, 8, 1, -1, "ties")(zero_padded)
case("avgpool", 3, 6, 5)(lambda x: F.avg_pool2d(x, 2, 2))
case("avgpool_ceil", 3, 7, 5)(lambda x: F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False))
case("gap", 5, 3, 4)(lambda x: x.mean((2, 3), keepdim=True))
case("slice", 6, 3, 4)(lambda x: x[:, 1:4])
case("pad", 3, 4, 5)(lambda x: F.pad(x, (0, 2, 0, 2)))
case("crop", 3, 5, 5)(lambda x: x[:, :, :3, :4])
for label, h, w in (("even", 6, 4), ("odd", 5, 7)):
    case("shortcut_a " + label, 4, h, w)(lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1)))
case("twice", 3, 4, 4)(lambda x: x + x)
case("residual", 4, 5, 4)(lambda x: conv(x, 4, 3, 1, 1) + x)


@case("concat", 4, 4, 5)
def concat(x):
    a = conv(x, 3, 3, 1, 1, name="one")
    b = torch.cat([x, a], 1)
    return torch.cat([b, conv(F.gelu(b), 2, 1, 1, 0, name="two"), a], 1)


# --- transformers ----------------------------------------------------------------------------------

def embed(x):
    n, c, h, w = x.shape
    t = torch.cat([weight("op.cls_token", 1, 1, c), x.flatten(2).transpose(1, 2)], 1)
    t = t + weight("op.pos_embed", 1, 1 + h * w, c)
    return t.transpose(1, 2).unsqueeze(3)


def attention(x, heads, scale):
    n, c, h, w = x.shape
    q, k, v = x.view(3, heads, c // 3 // heads, h * w).transpose(2, 3)
    y = torch.softmax(q @ k.transpose(1, 2) * scale, 2) @ v
    return y.transpose(1, 2).reshape(1, c // 3, h, w)


def windows(x, shift):
    m = ShiftedWindowAttention(8, [3, 3], [shift, shift], 2).double().eval()
    state = {k: weight("op." + k, *v.shape) if v.is_floating_point() else v for k, v in m.state_dict().items()}
    m.load_state_dict(state)
    return m(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def performer(x):
    n, c, h, w = x.shape
    random = weight("op.w", 6, c // 3)
    k, q, v = x.view(3, c // 3, h * w).transpose(1, 2)

    def phi(z):
        return torch.exp(z @ random.T - (z * z).sum(-1, keepdim=True) / 2) / math.sqrt(6)
    k, q = phi(k), phi(q)
    y = q @ (k.T @ v) / ((q * k.sum(0)).sum(-1, keepdim=True) + 1e-8)
    return y.T.reshape(1, c // 3, h, w)


def unfold(x, k, s, p):
    h, w = ((side + 2 * p - k) // s + 1 for side in x.shape[2:])
    return F.unfold(x, k, stride=s, padding=p).view(1, -1, h, w)


def merge(x):
    x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
    return torch.cat([x[:, :, i::2, j::2] for j in (0, 1) for i in (0, 1)], 1)


case("embed", 4, 3, 2)(embed)
case("token", 5, 3, 2)(lambda x: x.flatten(2)[:, :, 2].view(1, 5, 1, 1))
case("attention", 12, 3, 3)(lambda x: attention(x, 2, 0.5))
case("windows_still", 8, 3, 6)(lambda x: windows(x, 0))
case("windows_shifted", 8, 6, 6)(lambda x: windows(x, 1))
case("performer", 9, 4, 3)(performer)
case("unfold", 3, 5, 6)(lambda x: unfold(x, 3, 2, 1))
case("unfold_7", 3, 9, 8)(lambda x: unfold(x, 7, 4, 2))
case("merge even", 3, 4, 6)(merge)
case("merge odd", 3, 5, 3)(merge)


@case("tokens", 4, 3, 2)
def tokens(x):
    t = attention(linear(embed(x), 12), 2, float(np.float32(0.7)))
    return t[:, :, :1] + t.mean((2, 3), keepdim=True)


# --- what probes add -------------------------------------------------------------------------------

def gradient(scalar):
    def of(x):
        z = x.flatten().clone().requires_grad_(True)
        scalar(z).backward()
        return z.grad
    return of


def cross_entropy(t):
    return gradient(lambda z: F.cross_entropy((z / t)[None], z.argmax()[None]))


def value(name, c, h, w, scale=1.0, offset=0.0):
    return case(name, c, h, w, scale, offset, "value")


value("sum", 5, 3, 4)(lambda x: x.sum((2, 3)))
value("ce", 9, 1, 1, 8)(cross_entropy(4))
value("ce_1000", 9, 1, 1, 8)(cross_entropy(1000))
value("uniform_kl", 9, 1, 1, 8)(gradient(lambda z: -torch.log_softmax(z, 0).mean()))
value("logsumexp", 9, 1, 1, 8)(gradient(lambda z: torch.logsumexp(z, 0)))
value("max_logit", 9, 1, 1, 8)(gradient(lambda z: z.max()))
value("logit_3", 9, 1, 1, 8)(gradient(lambda z: z[3]))


def constant(name, rows, cols, symmetric=False):
    v = uniform(name, np.arange(rows * cols)).reshape(rows, cols)
    if symmetric:
        v = np.triu(v) + np.triu(v, 1).T + 3 * np.eye(rows)
    return torch.from_numpy(v.astype(np.float32).astype(np.float64))


def gaussian(x):
    d = x - constant("means", 5, 6)
    return -((-0.5 * (d @ constant("precision", 6, 6, True)) * d).sum(1).max())


value("gaussian", 6, 1, 1, 2)(gradient(gaussian))
value("gaussian_back", 3, 5, 4)(gradient(lambda z: gaussian(
    F.gelu(conv(z.view(1, 3, 5, 4), 6, 3, 1, 1, True)).mean((2, 3)))))


def f32(v):
    return float(np.float32(v))


def sign(g, of_zero):
    return torch.where(g < 0, -1.0, torch.where(g > 0, 1.0, of_zero)).double()


def odin(x, g, e, of_zero=1.0, divisor=(1, 1, 1)):
    d = torch.tensor([f32(v) for v in divisor], dtype=torch.float64).view(1, 3, 1, 1)
    return x - f32(e) / d * sign(g, of_zero)


def only(x, g, e, order, take):
    y, at = x.flatten().clone(), np.argsort(order(g.flatten().abs().numpy()), kind="stable")[:take]
    y[at] += e * sign(g.flatten()[at], 1.0 if take == 1 else 0.0)
    return y


IMAGE = (3, 6, 5)
value("odin", *IMAGE)(lambda x: odin(x, conv(x, 3, 3, 1, 1), 0.0014, 1.0, (0.229, 0.224, 0.225)))
value("odin_zeros", *IMAGE)(lambda x: odin(x, F.relu(conv(x, 3, 3, 1, 1)), 0.004))
value("sign0_zeros", *IMAGE)(lambda x: odin(x, F.relu(conv(x, 3, 3, 1, 1)), 0.004, 0.0))
value("largest", *IMAGE)(lambda x: only(x, conv(x, 3, 3, 1, 1), -0.5, np.negative, 1))
value("smallest", *IMAGE)(lambda x: only(x, conv(x, 3, 3, 1, 1), 0.5, np.positive, int(90 * 0.1)))
value("smallest_zeros", *IMAGE)(lambda x: only(x, F.relu(conv(x, 3, 3, 1, 1)), 0.5, np.positive, int(90 * 0.7)))
value("fgsm", *IMAGE, 2)(lambda x: (x + f32(0.05) * sign(F.relu(conv(x, 3, 3, 1, 1)), 0.0)).clamp(0, 1))


def without_largest(a, removals=1):
    u, s, v = np.linalg.svd(a.numpy(), full_matrices=False)
    s[:removals] = 0
    return torch.from_numpy(u * s @ v)


def deflated(x):
    return without_largest(x[0].flatten(1))


value("deflated wide", 6, 4, 5, 1, 0.25)(deflated)
value("deflated tall", 40, 4, 8, 1, 0.25)(deflated)


@value("power", 6, 4, 5, 1, 0.25)
def power(x):
    a, u = x[0].flatten(1), constant("start", 6, 1)[:, 0]
    for _ in range(20):
        v = a.T @ u
        v = v / (v.norm() + 1e-10)
        u = a @ v
        u = u / (u.norm() + 1e-10)
    return a - (u @ a @ v) * torch.outer(u, v)


@value("grams", 5, 4, 3)
def grams(x):
    out = []
    for q in range(1, 6):
        f = x[0].flatten(1) ** q
        r = (f @ f.T).sum(1)
        out.append(r.sign() * r.abs() ** (1 / q))
    return torch.cat(out)


def lighter(x, removals):
    w = weight("op.weight", 6, 4, 3, 3)
    w = without_largest(w.flatten(1), removals).float().double().view_as(w)
    return F.conv2d(x, w, weight("op.bias", 6), padding=1)


value("lighter_1", 4, 5, 4)(lambda x: lighter(x, 1))
value("lighter_2", 4, 5, 4)(lambda x: lighter(x, 2))


def run(name):
    fn, shape, scale, offset, kind = CASES[name]
    x = case_input(name, shape, scale, offset, kind)
    if kind == "value":
        return fn(x).detach().numpy().reshape(-1)
    x.requires_grad_(True)
    torch.logsumexp(tail(fn(x)), 1).sum().backward()
    return x.grad.numpy().reshape(-1)


def main():
    print("# make_adjoints.py: float64; weights and inputs by hash")
    print("case\tn\tsum\tl2\tprojection\tv0\tv_n3\tv_n2\tv_last")
    for name in CASES:
        v = run(name)
        n = v.size
        row = [v.sum(), np.sqrt((v * v).sum()), (v * uniform("check", np.arange(n))).sum(),
               v[0], v[n // 3], v[n // 2], v[n - 1]]
        print("\t".join([name, str(n)] + [f"{r:.16g}" for r in row]))


if __name__ == "__main__":
    main()
