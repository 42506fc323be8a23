#!/usr/bin/env python3
"""Keys and shapes of layouts that models_keys.tsv does not have: writes tests/golden/layout_keys.tsv.

    python3 tests/golden/make_layout_keys.py      timm 1.0, transformers 4 (names changed in 5), torch

The same columns as models_keys.tsv: network, index, key, shape, dtype.
"""
from pathlib import Path

import timm
import transformers
from timm.utils import reparameterize_model
from transformers import SwinConfig, SwinForImageClassification, ViTConfig, ViTForImageClassification


def networks():
    yield "timm/swin_tiny_patch4_window7_224", timm.create_model("swin_tiny_patch4_window7_224")
    yield "timm/convnext_tiny", timm.create_model("convnext_tiny")
    yield "timm/repvgg_a0-deploy", reparameterize_model(timm.create_model("repvgg_a0"))
    yield "transformers/vit_tiny_patch16_224", ViTForImageClassification(
        ViTConfig(hidden_size=192, num_attention_heads=3, intermediate_size=768, num_labels=1000))
    yield "transformers/swin_tiny_patch4_window7_224", SwinForImageClassification(SwinConfig(num_labels=1000))


def main():
    lines = [f"# make_layout_keys.py: timm {timm.__version__}, transformers {transformers.__version__}",
             "network\tindex\tkey\tshape\tdtype"]
    for name, net in networks():
        for i, (key, v) in enumerate(net.state_dict().items()):
            shape = "x".join(map(str, v.shape)) or "scalar"
            lines.append("\t".join([name, str(i), key, shape, str(v.dtype).split(".")[1]]))
    Path(__file__).with_name("layout_keys.tsv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
