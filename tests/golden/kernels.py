"""Makes tests/golden/kernels.h: small inputs and what PyTorch gives for them, as float32 bits.

    /usr/bin/python3 tests/golden/kernels.py > tests/golden/kernels.h

Made with PyTorch 1.13.1 on the CPU; torch's NCHW results are stored as NHWC.
"""
import numpy as np
import torch
import torch.nn.functional as F

rng = np.random.default_rng(20240607)
inf, nan = float("inf"), float("nan")


def out(name, v, comment):
    v = np.ascontiguousarray(np.asarray(v))
    shape = ",".join(map(str, v.shape))
    if v.dtype == np.uint8:
        words, kind = ["%d" % i for i in v.ravel()], "unsigned char"
    else:
        assert v.dtype == np.float32, v.dtype
        words, kind = ["0x%08x" % i for i in v.view(np.uint32).ravel()], "uint32_t"
    print("/* [%s] %s */\nstatic const %s golden_%s[%d] = {" % (shape, comment, kind, name, v.size))
    for i in range(0, len(words), 8):
        print("    " + ", ".join(words[i:i + 8]) + ",")
    print("};")


def nhwc(t):
    return t.permute(0, 2, 3, 1).contiguous().numpy()


print("/* Made by tests/golden/kernels.py with PyTorch %s; not edited by hand. */" % torch.__version__)
print("#include <stdint.h>")

x = torch.from_numpy(rng.standard_normal((2, 3, 7, 5)).astype(np.float32) * 4)
odd = x.clone()
for at, v in zip(range(3, 210, 13), [nan, inf, -inf, -0.0, 0.0, 6.0, 1e-42, -1e-42, 3e38, -3e38, nan]):
    odd.view(-1)[at] = v
out("x", nhwc(x), "input")
out("odd", nhwc(odd), "input with NaN, infinities, zeros, denormals")

u = rng.integers(0, 256, (2, 4, 3, 3), dtype=np.uint8)
m, s = torch.tensor([.485, .456, .406]), torch.tensor([.229, .224, .225])
t = torch.from_numpy(u).permute(0, 3, 1, 2).float().div(255)
y = (t - m[:, None, None]).div_(s[:, None, None])
out("bytes", u, "image bytes")
out("normalise", nhwc(y), "ToTensor, Normalize with ImageNet statistics")
out("normalise_nchw", y.contiguous().numpy(), "the same, NCHW")

out("relu", nhwc(torch.relu(odd)), "relu(odd)")
out("relu6", nhwc(F.relu6(odd)), "relu6(odd)")

g, b, mean = (torch.from_numpy(rng.standard_normal(3).astype(np.float32)) for _ in range(3))
var = torch.from_numpy(rng.random(3).astype(np.float32) + np.float32(.1))
out("bn", torch.stack([g, b, mean, var]).numpy(), "gamma, beta, mean, var")
y = F.batch_norm(x, mean, var, g, b, False, 0., 1e-5)
out("batch_norm", nhwc(y), "batch_norm(x), eps 1e-5")
out("batch_norm_relu", nhwc(torch.relu(y)), "relu of it")
z = torch.from_numpy(rng.standard_normal((2, 3, 7, 5)).astype(np.float32))
out("z", nhwc(z), "second operand")
out("add", nhwc(odd + z), "odd + z")
out("add_relu", nhwc(torch.relu(odd + z)), "relu(odd + z)")

for k, st, p, c in ((3, 2, 1, 0), (2, 2, 0, 0), (3, 2, 0, 1), (2, 2, 1, 1), (3, 1, 1, 0)):
    out("maxpool_%d%d%d%d" % (k, st, p, c), nhwc(F.max_pool2d(odd, k, st, p, ceil_mode=bool(c))),
        "max_pool2d(odd), kernel %d stride %d padding %d ceil %d" % (k, st, p, c))
for k, st, p, c, n in ((2, 2, 0, 0, 0), (3, 2, 1, 0, 1), (3, 2, 1, 0, 0), (2, 2, 0, 1, 0), (3, 2, 1, 1, 1),
                       (2, 2, 1, 1, 1)):
    out("avgpool_%d%d%d%d%d" % (k, st, p, c, n),
        nhwc(F.avg_pool2d(x, k, st, p, ceil_mode=bool(c), count_include_pad=bool(n))),
        "avg_pool2d(x), kernel %d stride %d padding %d ceil %d count_include_pad %d" % (k, st, p, c, n))
out("gap", x.mean((2, 3)).numpy(), "adaptive_avg_pool2d(x, 1)")

rows = torch.from_numpy(rng.standard_normal((6, 11)).astype(np.float32) * 10)
rows[1, 4], rows[2, 3], rows[3, 2], rows[4, :] = nan, inf, -inf, -inf
rows[5, 0], rows[5, 1] = 3e38, -3e38
out("rows", rows.numpy(), "softmax input")
out("softmax", torch.softmax(rows, 1).numpy(), "softmax(rows, 1)")

w = torch.from_numpy(rng.standard_normal((2, 4, 5, 6)).astype(np.float32))
out("w", nhwc(w), "shortcut input")
out("shortcut_a", nhwc(F.pad(w[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))), "option A, 4 to 8 channels")
out("concat", nhwc(torch.cat([x, z[:, 1:3], odd], 1)), "cat of x, z[:, 1:3], odd")

# ---- curves, norms ---------------------------------------------------------------------------------
for name, f in (("gelu", F.gelu), ("silu", F.silu), ("sigmoid", torch.sigmoid)):
    out(name, nhwc(f(odd)), name + "(odd)")
out("bias_gelu", nhwc(F.gelu(x + g[:, None, None])), "gelu(x + gamma of bn)")

t = torch.from_numpy(rng.standard_normal((5, 24)).astype(np.float32) * 3 + 7)
g2, b2 = (torch.from_numpy(rng.standard_normal(24).astype(np.float32)) for _ in range(2))
out("tokens", t.numpy(), "layer norm input")
out("affine", torch.stack([g2, b2]).numpy(), "gamma, beta")
out("layernorm", F.layer_norm(t, (24,), g2, b2, 1e-5).numpy(), "layer_norm(tokens), eps 1e-5")
t = torch.from_numpy(rng.standard_normal((2, 8, 3, 5)).astype(np.float32) + 40)
out("map8", nhwc(t), "group norm input")
y = F.group_norm(t, 4, g2[:8], b2[:8], 1e-5)
out("groupnorm", nhwc(y), "group_norm(map8), 4 groups, eps 1e-5")
out("groupnorm_relu", nhwc(torch.relu(y)), "relu of it")

# ---- depthwise convolution -------------------------------------------------------------------------
t = torch.from_numpy(rng.standard_normal((1, 4, 9, 8)).astype(np.float32))
out("map4", nhwc(t), "depthwise input")
for k, st in ((3, 1), (3, 2), (5, 2), (7, 1)):
    w = torch.from_numpy(rng.standard_normal((4, 1, k, k)).astype(np.float32))
    b = torch.from_numpy(rng.standard_normal(4).astype(np.float32))
    out("taps_%d%d" % (k, st), w[:, 0].permute(1, 2, 0).contiguous().numpy(), "weights [ky,kx,c]")
    out("taps_bias_%d%d" % (k, st), b.numpy(), "bias")
    out("dwconv_%d%d" % (k, st), nhwc(F.relu6(F.conv2d(t, w, b, st, k // 2, 1, 4))),
        "relu6(conv2d(map4)), kernel %d stride %d" % (k, st))

# ---- shapes ----------------------------------------------------------------------------------------
t = F.pad(odd, (1, 1, 1, 1))
out("maxpool_zero", nhwc(F.max_pool2d(t, 3, 2)), "BiT: a border of zeros, then max_pool2d(odd), kernel 3 stride 2")
out("unfold", F.unfold(z, 3, padding=1, stride=2).transpose(1, 2).contiguous().numpy(),
    "unfold(z), kernel 3 stride 2 padding 1: tokens")
t = F.pad(z.permute(0, 2, 3, 1), (0, 0, 0, 1, 0, 1))
out("merge", torch.cat([t[:, 0::2, 0::2], t[:, 1::2, 0::2], t[:, 0::2, 1::2], t[:, 1::2, 1::2]], -1).numpy(),
    "patch merging of z, as timm's swin_transformer.py has it")
cls = torch.from_numpy(rng.standard_normal((1, 1, 3)).astype(np.float32))
pos = torch.from_numpy(rng.standard_normal((1, 36, 3)).astype(np.float32))
out("cls", cls.numpy(), "class token")
out("pos", pos.numpy(), "positions")
out("embed", (torch.cat([cls.expand(2, -1, -1), z.flatten(2).transpose(1, 2)], 1) + pos).numpy(), "of z's pixels")
out("reduce", torch.stack([x.sum((2, 3)), x.amax((2, 3))]).numpy(), "sum and largest of x over h and w")
gates = torch.sigmoid(x.mean((2, 3)))
out("gates", gates.numpy(), "sigmoid(mean(x))")
out("gate", nhwc(z * gates[:, :, None, None]), "z times gates")

# ---- window attention, as Swin's WindowAttention and SwinTransformerBlock have it -------------------
heads, d, side, shift, H, W, C = 2, 3, 2, 1, 4, 6, 6
qkv = torch.from_numpy(rng.standard_normal((2, H, W, 3 * C)).astype(np.float32) * 3)
table = torch.from_numpy(rng.standard_normal(((2 * side - 1) ** 2, heads)).astype(np.float32))


def windows_of(m):
    n, h, w, c = m.shape
    m = m.view(n, h // side, side, w // side, side, c).permute(0, 1, 3, 2, 4, 5)
    return m.reshape(-1, side * side, c)


parts = windows_of(torch.roll(qkv, (-shift, -shift), (1, 2)))
parts = parts.reshape(-1, side * side, 3, heads, d).permute(2, 0, 3, 1, 4).contiguous()
coords = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")).flatten(1)
rel = (coords[:, :, None] - coords[:, None, :]).permute(1, 2, 0) + side - 1
index = rel[..., 0] * (2 * side - 1) + rel[..., 1]
regions = torch.zeros((1, H, W, 1))
slices = (slice(0, -side), slice(-side, -shift), slice(-shift, None))
for i, a in enumerate(slices):
    for j, b in enumerate(slices):
        regions[:, a, b] = 3 * i + j
regions = windows_of(regions).squeeze(-1)
mask = (regions[:, None, :] != regions[:, :, None]).float() * -100.
scores = parts[0] @ parts[1].transpose(-2, -1)
s = scores * d ** -.5 + table[index.view(-1)].view(side * side, side * side, heads).permute(2, 0, 1)
s = (s.view(2, -1, heads, side * side, side * side) + mask[None, :, None]).view(scores.shape)
p = torch.softmax(s, -1)
o = p @ parts[2]
m = o.transpose(1, 2).reshape(2, H // side, W // side, side, side, C).permute(0, 1, 3, 2, 4, 5).reshape(2, H, W, C)
m = torch.roll(m, (shift, shift), (1, 2))
out("qkv", qkv.numpy(), "q, k, v of a 4x6 map, 2 heads of width 3")
out("qkv_split", parts.numpy(), "in windows of 2x2 after a shift by 1: [3, windows, heads, tokens, d]")
out("table", table.numpy(), "relative position bias")
out("scores", scores.contiguous().numpy(), "q k")
out("scores_softmax", p.numpy(), "softmax(q k / sqrt(3) + bias + mask)")
out("heads", o.contiguous().numpy(), "times v: [windows, heads, tokens, d]")
out("heads_joined", m.contiguous().numpy(), "as a map, shifted back")

# ---- performer (T2T-ViT, Token_performer) ----------------------------------------------------------
kqv = torch.from_numpy(rng.standard_normal((1, 12, 24)).astype(np.float32))
feats = torch.from_numpy(rng.standard_normal((4, 8)).astype(np.float32))


def prm_exp(v):
    v = v.double()
    return torch.exp(torch.einsum("bti,mi->btm", v, feats.double()) - (v * v).sum(-1, keepdim=True) / 2) / 4 ** .5


kp, qp = prm_exp(kqv[..., :8]), prm_exp(kqv[..., 8:16])
D = torch.einsum("bti,bi->bt", qp, kp.sum(1)).unsqueeze(-1)
y = torch.einsum("bti,bni->btn", qp, torch.einsum("bin,bim->bnm", kqv[..., 16:].double(), kp)) / (D + 1e-8)
out("kqv", kqv.numpy(), "k, q, v of 12 tokens of width 8")
out("performer_w", feats.numpy(), "4 random features")
out("performer", y.float().numpy(), "linear attention, in double")

# ---- types -----------------------------------------------------------------------------------------
v = torch.tensor([0., -0., 1., 1 + 2**-11, 1 + 3 * 2**-11, 65504., 65519.9, 65520., 2**-14, 2**-24, 2**-25, 3 * 2**-26,
                  1e-42, 3e38, 3.3953e38, 1 + 2**-8, 1 + 3 * 2**-8, -7.123, inf, -inf, 6.0975e-05, 1e-7])
out("values", v.numpy(), "to be rounded")
out("values_f16", v.half().float().numpy(), "to float16 and back")
out("values_bf16", v.bfloat16().float().numpy(), "to bfloat16 and back")
