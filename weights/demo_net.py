"""The network of `make demo` in PyTorch, its preprocessing, and safetensors by hand.

Used by train_demo.py and by tests/golden/make_demo_golden.py.  The graph (input [N,3,32,32]):
    conv1 3x3 3->16, bn1, relu
    layer1, layer2, layer3: two basic blocks each, 16, 32, 64 channels; the first block of layer2 and
    layer3 has stride 2 (on its first convolution) and a 1x1 stride 2 convolution + bn beside it
    global average pool -> features [N,64]; fc -> logits [N,10]
Convolutions have no bias; names are torchvision's.
"""
import json
import struct
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

SIDE = 32
MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)


class Block(nn.Module):
    def __init__(self, cin, c, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, c, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c)
        self.conv2 = nn.Conv2d(c, c, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c)
        self.downsample = None
        if stride != 1 or cin != c:
            self.downsample = nn.Sequential(
                nn.Conv2d(cin, c, 1, stride, bias=False), nn.BatchNorm2d(c))

    def forward(self, x):
        skip = x if self.downsample is None else self.downsample(x)
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + skip)


class DemoNet(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(Block(16, 16, 1), Block(16, 16, 1))
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1))
        self.fc = nn.Linear(64, classes)

    def features(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x))).mean((2, 3))

    def forward(self, x):
        return self.fc(self.features(x))


def read_list(folder, name):
    """[(path, label or -1)], paths relative to folder/images."""
    rows = []
    for line in (Path(folder) / "lists" / f"{name}.txt").read_text().splitlines():
        path, _, label = line.partition(" ")
        rows.append((path, int(label) if label else -1))
    return rows


def load(folder, paths):
    """uint8 [N,3,32,32]: decoded to RGB and resized to exactly 32x32, bilinear with Pillow, as
    preset `cifar` does it."""
    resize = transforms.Resize((SIDE, SIDE), transforms.InterpolationMode.BILINEAR)
    out = torch.empty(len(paths), 3, SIDE, SIDE, dtype=torch.uint8)
    for i, p in enumerate(paths):
        with Image.open(Path(folder) / "images" / p) as im:
            out[i] = torch.from_numpy(np.array(resize(im.convert("RGB")))).permute(2, 0, 1)
    return out


def normalise(u8):
    x = u8.float() / 255.0
    return (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


DTYPES = {"F32": np.dtype("<f4"), "U8": np.dtype("u1"), "I64": np.dtype("<i8")}


def save_safetensors(path, arrays, metadata):
    """The format is an 8-byte length, a JSON header and the bytes in header order."""
    header, blobs, at = {"__metadata__": {k: str(v) for k, v in metadata.items()}}, [], 0
    for name, a in arrays.items():
        code = next(c for c, d in DTYPES.items() if d == a.dtype)
        raw = np.ascontiguousarray(a).tobytes()
        header[name] = {"dtype": code, "shape": list(a.shape), "data_offsets": [at, at + len(raw)]}
        blobs.append(raw)
        at += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def load_safetensors(path):
    raw = Path(path).read_bytes()
    n = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + n])
    meta = header.pop("__metadata__", {})
    arrays = {}
    for name, t in header.items():
        lo, hi = (8 + n + o for o in t["data_offsets"])
        arrays[name] = np.frombuffer(raw[lo:hi], DTYPES[t["dtype"]]).reshape(t["shape"]).copy()
    return arrays, meta


def load_net(path):
    """In eval mode.  num_batches_tracked is not stored, as inference has no use for it."""
    net = DemoNet()
    state = {k: torch.from_numpy(v) for k, v in load_safetensors(path)[0].items()}
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert not unexpected and all(k.endswith("num_batches_tracked") for k in missing)
    return net.eval()


@torch.no_grad()
def run(net, u8, batch=250):
    """features [N,64], logits [N,10] as float32 arrays."""
    feats = torch.cat([net.features(normalise(b)) for b in u8.split(batch)])
    return feats.numpy(), net.fc(feats).numpy()
