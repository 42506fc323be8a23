#!/usr/bin/env python3
"""keys.tsv: what the checkpoint of every network holds, counted on the independent implementations.

  make_keys.py [-o keys.tsv] [--spec models_keys.tsv] [NET...]

A row: network; state tensors (all of them); parameters (learnable and frozen, without running
statistics and buffers); sha256 of the state's lines "key AxBxC\\n", sorted, without
num_batches_tracked, relative_position_index and attn_mask, and without trailing dimensions of 1
(they do not count: a 1x1 convolution's weight is a matrix); and the published number of parameters,
which has to agree in all its digits.  With --spec keys and shapes are also compared with that list
of another author.  Rows of other networks stay; Python and timm as for make_net_golden.py.
"""
import argparse
import hashlib
import re
import sys
import warnings

import torch

from make_net_golden import write_table
from nets import BUFFERS, NETS

# Counts as published: torchvision's weight documentation (exact), timm's results tables and model
# cards and the repositories' README files (millions), papers (BiT, WRN, DenseNet-BC).
PUBLISHED = {
    "densenet_bc_100_12": "0.8M", "resnet18_32x32": "11173962", "wrn_40_2": "2.2M", "wrn_28_10": "36.5M",
    "resnet20": "0.27M", "resnet32": "0.46M", "resnet44": "0.66M", "resnet56": "0.85M",
    "resnet18": "11689512", "resnet34": "21797672", "resnet50": "25557032", "resnet101": "44549160",
    "resnet152": "60192808", "mobilenet_v2": "3504872", "squeezenet1_0": "1248424",
    "squeezenet1_1": "1235496", "densenet121": "7978856", "efficientnet_b0": "5288548",
    "densenet161": "28681000", "densenet169": "14149480", "densenet201": "20013928",
    "regnet_y_400mf": "4344144", "regnet_y_800mf": "6432512", "regnet_y_1_6gf": "11202430",
    "regnet_y_3_2gf": "19436338", "regnet_y_8gf": "39381472", "regnet_y_32gf": "145046770",
    "regnet_y_16gf": "83590140", "convnext_tiny": "28589128", "convnext_base": "88591464",
    "swin_t": "28288354", "swin_s": "49606258", "swin_b": "87768224", "vit_b_16": "86567656",
    "vit_tiny_patch16_224": "5.72M", "vit_small_patch16_224": "22.05M", "vit_base_patch16_224": "86.57M",
    "vit_base_patch16_384": "86.86M", "deit_tiny_patch16_224": "5.72M", "deit_small_patch16_224": "22.05M",
    "deit_base_patch16_224": "86.57M",
    "repvgg_a0": "9.1M", "repvgg_a1": "14.1M", "repvgg_a2": "28.21M", "repvgg_b0": "15.82M",
    "repvgg_b1": "57.42M", "repvgg_b2": "89.02M", "repvgg_b3": "123.09M",
    "resnet26d": "16.01M", "resnet34d": "21.82M", "resnet50d": "25.58M", "resnet101d": "44.57M",
    "swin_tiny_patch4_window7_224": "28.29M", "swin_small_patch4_window7_224": "49.61M",
    "swin_base_patch4_window7_224": "87.77M",
    "bit_s_r101x1": "44.54M",
    "t2t_vit_t_14": "21.5M", "t2t_vit_t_19": "39.2M", "t2t_vit_t_24": "64.1M",
    "t2t_vit_14": "21.5M", "t2t_vit_19": "39.2M", "t2t_vit_24": "64.1M",
}
SPEC_NAMES = {"bit/R101x1-torch": "bit_s_r101x1", "cifar/densenet-bc-100-12 (C=100)": "densenet_bc_100_12",
              "cifar/wrn-40-2 (C=10)": "wrn_40_2", "cifar/resnet18_32x32 (C=10)": "resnet18_32x32",
              "t2t/t2t_vit_24-performer": "t2t_vit_24"}
HEAD = ("# make_keys.py: sha256 over the sorted lines \"key AxBxC\\n\" of the state, without trailing 1s, "
        + ", ".join(BUFFERS),
        "network\ttensors\tparameters\tsha256\tpublished")


def lines(shapes):
    """{key: shape as text} -> the sorted lines that are hashed."""
    return sorted(f"{k} {re.sub('(x1)+$', '', s)}\n" for k, s in shapes.items()
                  if k.rsplit(".", 1)[-1] not in BUFFERS)


def agrees(count, published):
    if not published.endswith("M"):
        return count == int(published)
    digits = len(published[:-1].partition(".")[2])
    return f"{count / 1e6:.{digits}f}M" == published


def read_spec(path):
    """{network: {key: shape}} of a list with the columns network, index, key, shape, dtype."""
    found = {}
    with open(path, encoding="utf-8") as f:
        for row in f.read().splitlines()[1:]:
            title, _, key, shape, _ = row.split("\t")
            found.setdefault(title, {})[key] = shape
    return {SPEC_NAMES.get(t) or t.split("/")[1]: keys for t, keys in found.items()}


def row(name):
    NETS[name].check_libraries()
    net = NETS[name].build(NETS[name].classes)
    shapes = {k: "x".join(map(str, v.shape)) or "scalar" for k, v in net.state_dict().items()}
    count = sum(p.numel() for p in net.parameters())
    digest = hashlib.sha256("".join(lines(shapes)).encode("ascii")).hexdigest()
    return shapes, count, f"{name}\t{len(shapes)}\t{count}\t{digest}\t{PUBLISHED[name]}"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("-o", "--out")
    p.add_argument("--spec")
    p.add_argument("net", nargs="*")
    args = p.parse_args()
    warnings.simplefilter("ignore")
    torch.set_grad_enabled(False)
    spec, rows, bad, compared = read_spec(args.spec) if args.spec else {}, {}, 0, 0
    for name in args.net or [n for n in NETS if "@" not in n]:
        shapes, count, text = row(name)
        rows[name] = [text]
        said = "published count agrees"
        if not agrees(count, PUBLISHED[name]):
            bad, said = bad + 1, f"{count} parameters, published {PUBLISHED[name]}"
        if name in spec:
            compared += 1
            differ = sorted(set(shapes.items()) ^ set(spec[name].items()))
            said += ", all keys and shapes agree" if not differ else f", keys DIFFER: {differ[:3]}"
            bad += bool(differ)
        print(f"{name}: {len(shapes)} tensors, {said}")
    for name in sorted(set(spec) - set(NETS)) if not args.net else ():
        print(f"{name}: in the list, no network of this name here")
    print(f"{len(rows)} networks, {compared} compared with the list, {bad} differences")
    if args.out:
        write_table(args.out, HEAD, rows)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
