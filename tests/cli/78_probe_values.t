#!/bin/sh
# What probes and gradients store, beside PyTorch in float64 on the same images: tests/golden/probe_oracle.py.
#   OUTPOST_PROBE_DEVICE   cpu, ref      OUTPOST_LONG=1   every real checkpoint, transformers, four images of each
. "$(dirname "$0")/e2e.sh"
[ -z "$sanitized" ] || skip_all "a sanitizer makes whole networks too slow; the demo's runs are in 77"
[ -n "$python" ] || skip_all "no Python with h5py and numpy"
"$python" -c 'import torch, torchvision, PIL' 2> "$err" || skip_all "$(tail -n 1 "$err")"
device=${OUTPOST_PROBE_DEVICE:-cpu}
nets="hash:resnet20 cifar10_resnet20.legacy.th"
images=2
if [ -n "$long" ]; then
    nets="$nets cifar100_densenet_bc100_k12.pth imagenet_squeezenet1_0_dc.pth imagenet_resnet18_small_blocks.pth
        imagenet_mobilenet_v2_tfquant.pth imagenet_resnet50_large_blocks.safetensors hash:t2t_vit_t_14 hash:swin_t hash:vit_b_16"
    images=4
fi
# shellcheck disable=SC2086
TMPDIR=$tmp "$python" "$root/tests/golden/probe_oracle.py" "$extract" "$data" "$device" --images $images $nets
exit $?
