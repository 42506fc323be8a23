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
