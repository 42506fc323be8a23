"""other_layouts.py FILE.safetensors KIND OUT: one checkpoint as others publish it (models.md 2.3, 2.4, 3.2).

augreg: ViT in JAX's names and axes, .npz     bit-npz: BiT of big_transfer, .npz, deflated
mos: BiT as MOS and GradNorm saved it, a DataParallel's state beside an optimiser (needs torch)
"""
import json
import sys

import numpy as np


def read(path):
    with open(path, "rb") as f:
        blob = f.read()
    n = int.from_bytes(blob[:8], "little")
    return {k: np.frombuffer(blob, np.float32, (t["data_offsets"][1] - t["data_offsets"][0]) // 4,
                             8 + n + t["data_offsets"][0]).reshape(t["shape"])
            for k, t in json.loads(blob[8:8 + n]).items() if k != "__metadata__"}


def augreg(w):
    d = w["cls_token"].shape[-1]
    out = {"cls": w["cls_token"], "Transformer/posembed_input/pos_embedding": w["pos_embed"],
           "embedding/kernel": w["patch_embed.proj.weight"].transpose(2, 3, 1, 0),
           "embedding/bias": w["patch_embed.proj.bias"],
           "Transformer/encoder_norm/scale": w["norm.weight"], "Transformer/encoder_norm/bias": w["norm.bias"],
           "head/kernel": w["head.weight"].T, "head/bias": w["head.bias"]}
    for i in range(12):
        ours, theirs = f"blocks.{i}.", f"Transformer/encoderblock_{i}/"
        for norm, number in (("norm1", 0), ("norm2", 2)):
            out[f"{theirs}LayerNorm_{number}/scale"] = w[f"{ours}{norm}.weight"]
            out[f"{theirs}LayerNorm_{number}/bias"] = w[f"{ours}{norm}.bias"]
        attention = theirs + "MultiHeadDotProductAttention_1/"
        for part, name in enumerate(("query", "key", "value")):
            rows = slice(part * d, (part + 1) * d)
            out[f"{attention}{name}/kernel"] = w[ours + "attn.qkv.weight"][rows].T.reshape(d, d // 64, 64)
            out[f"{attention}{name}/bias"] = w[ours + "attn.qkv.bias"][rows].reshape(d // 64, 64)
        out[attention + "out/kernel"] = w[ours + "attn.proj.weight"].T.reshape(d // 64, 64, d)
        out[attention + "out/bias"] = w[ours + "attn.proj.bias"]
        for layer in (1, 2):
            out[f"{theirs}MlpBlock_3/Dense_{layer - 1}/kernel"] = w[f"{ours}mlp.fc{layer}.weight"].T
            out[f"{theirs}MlpBlock_3/Dense_{layer - 1}/bias"] = w[f"{ours}mlp.fc{layer}.bias"]
    return out


def big_transfer(w):
    def name(key):
        at = key.split(".")
        if at[0] == "root":
            return "root_block/standardized_conv2d/kernel"
        if at[0] == "head":
            return "head/conv2d/" + {"weight": "kernel", "bias": "bias"}[at[2]]
        norm = {"weight": "gamma", "bias": "beta"}
        if at[0] == "before_head":
            return "group_norm/" + norm[at[2]]
        unit = f"{at[1]}/{at[2]}/"
        if at[3] == "downsample":
            return unit + "a/proj/standardized_conv2d/kernel"
        unit += "abc"[int(at[3][-1]) - 1]
        return unit + ("/standardized_conv2d/kernel" if at[3].startswith("conv") else "/group_norm/" + norm[at[4]])
    return {"resnet/" + name(k): v.transpose(2, 3, 1, 0) if v.ndim == 4 else v for k, v in w.items()}


def main():
    w, kind, path = read(sys.argv[1]), sys.argv[2], sys.argv[3]
    if kind == "mos":
        import torch
        state = {"module." + k: torch.from_numpy(v.copy()) for k, v in w.items()}
        optim = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.003, "params": [0]}]}
        torch.save({"step": 20000, "model": state, "optim": optim}, path, _use_new_zipfile_serialization=False)
        return
    with open(path, "wb") as f:
        (np.savez if kind == "augreg" else np.savez_compressed)(
            f, **(augreg(w) if kind == "augreg" else big_transfer(w)))


main()
