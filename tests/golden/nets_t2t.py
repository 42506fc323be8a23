"""T2T-ViT in PyTorch, from models.md section 6 (Yuan et al., arXiv:2101.11986).

Two token stages, each after an overlapping unfold: transformer attention (t2t_vit_t_*) or the
performer's random features (t2t_vit_*); then a plain transformer with qkv without bias.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn


class Mlp(nn.Module):
    def __init__(self, d, hidden):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(d, hidden), nn.Linear(hidden, d)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Attention(nn.Module):
    """heads of width out/heads over tokens [B,N,cin]; with skip_v the values are added to the result.

    The scale is scale_width^-1/2, applied to q."""

    def __init__(self, cin, out, heads, scale_width, skip_v=False):
        super().__init__()
        self.heads, self.scale, self.skip_v = heads, scale_width ** -0.5, skip_v
        self.qkv, self.proj = nn.Linear(cin, 3 * out, bias=False), nn.Linear(out, out)

    def forward(self, x):
        b, n, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        a = ((q * self.scale) @ k.transpose(-2, -1)).softmax(-1)
        y = self.proj((a @ v).transpose(1, 2).reshape(b, n, -1))
        return y + v.squeeze(1) if self.skip_v else y


class TokenTransformer(nn.Module):
    """[B,N,cin] -> [B,N,64]: no residual from x (its width differs), the skip is v."""

    def __init__(self, cin, out=64):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(cin), Attention(cin, out, 1, cin, skip_v=True)
        self.norm2, self.mlp = nn.LayerNorm(out), Mlp(out, out)

    def forward(self, x):
        x = self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TokenPerformer(nn.Module):
    """Linear attention: phi(z) = exp(w z - |z|^2 / 2) / sqrt(m), m random features of width 64."""

    def __init__(self, cin, out=64, m=32):
        super().__init__()
        self.m = m
        self.kqv, self.proj = nn.Linear(cin, 3 * out), nn.Linear(out, out)
        self.norm1, self.norm2 = nn.LayerNorm(cin), nn.LayerNorm(out)
        self.mlp = nn.Sequential(nn.Linear(out, out), nn.GELU(), nn.Linear(out, out))
        self.w = nn.Parameter(torch.randn(m, out), requires_grad=False)

    def phi(self, z):
        return torch.exp(z @ self.w.T - (z * z).sum(-1, keepdim=True) / 2) / math.sqrt(self.m)

    def forward(self, x):
        k, q, v = self.kqv(self.norm1(x)).chunk(3, -1)
        k, q = self.phi(k), self.phi(q)
        weight = (q * k.sum(1, keepdim=True)).sum(-1, keepdim=True)
        y = q @ (k.transpose(1, 2) @ v) / (weight + 1e-8)
        y = v + self.proj(y)
        return y + self.mlp(self.norm2(y))


class TokensToToken(nn.Module):
    def __init__(self, stage, d):
        super().__init__()
        self.attention1, self.attention2 = stage(3 * 49), stage(64 * 9)
        self.project = nn.Linear(64 * 9, d)

    def forward(self, x):
        x = F.unfold(x, 7, stride=4, padding=2).transpose(1, 2)
        for attention in (self.attention1, self.attention2):
            x = attention(x)
            side = math.isqrt(x.shape[1])
            x = x.transpose(1, 2).reshape(x.shape[0], 64, side, side)
            x = F.unfold(x, 3, stride=2, padding=1).transpose(1, 2)
        return self.project(x)


class Block(nn.Module):
    def __init__(self, d, heads, hidden):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(d), Attention(d, d, heads, d // heads)
        self.norm2, self.mlp = nn.LayerNorm(d), Mlp(d, hidden)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def sinusoid(n, d):
    """[1,n,d]: sin on even, cos on odd columns."""
    t = torch.arange(n, dtype=torch.float64)[:, None]
    j = torch.arange(d) // 2
    angle = t / 10000.0 ** (2.0 * j / d)
    return torch.where(torch.arange(d) % 2 == 0, angle.sin(), angle.cos()).float()[None]


class T2TViT(nn.Module):
    def __init__(self, stage, depth, d, heads, classes=1000):
        super().__init__()
        self.tokens_to_token = TokensToToken(stage, d)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, d))
        self.pos_embed = nn.Parameter(sinusoid(14 * 14 + 1, d), requires_grad=False)
        self.blocks = nn.ModuleList([Block(d, heads, 3 * d) for _ in range(depth)])
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, classes)

    def forward(self, x):
        x = self.tokens_to_token(x)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.pos_embed
        for b in self.blocks:
            x = b(x)
        return self.head(self.norm(x)[:, 0])


SIZES = {14: (14, 384, 6), 19: (19, 448, 7), 24: (24, 512, 8)}  # depth, width, heads


def t2t_vit(size, performer, classes):
    return T2TViT(TokenPerformer if performer else TokenTransformer, *SIZES[size], classes)
