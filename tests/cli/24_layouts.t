#!/bin/sh
# Checkpoints as others publish them, converted by numpy from hash-made ones: the file is recognised, and
# features and logits are those of the original to the bit.
. "$(dirname "$0")/e2e.sh"
hash_weights=$build/tools/hash_weights
[ -x "$hash_weights" ] || skip_all "no $hash_weights"
[ -d "$data/images" ] || skip_all "no real images in $data/images"
[ -n "$python" ] || skip_all "no Python with h5py and numpy"
[ -z "$sanitized" ] || skip_all "a sanitizer makes whole networks too slow"
head -n 2 "$data/lists/imagenet-sample.txt" > "$tmp/list"
cat > "$tmp/equal.py" <<'PYTHON'
import sys
import h5py, numpy as np
a, b = (h5py.File(p, "r") for p in sys.argv[1:3])
for name in ("features", "logits"):
    assert np.isfinite(a[name][:]).all() and (a["status"][:] == 1).all(), name
    assert a[name][:].tobytes() == b[name][:].tobytes(), f"{name}: other bits"
PYTHON
features() { # features NET WEIGHTS OUT
    "$extract" run -q -m "$1" -w "$2" -r "$data/images" -l "$tmp/list" -o "$3" > "$out" 2> "$err"
}
# layout NET GAIN KIND FILE 'LAYOUT'
layout() {
    if [ "$3" = mos ] && ! "$python" -c 'import torch' 2> /dev/null; then
        skip "$1: $5" "no torch in $python"
        return
    fi
    rm -f "$tmp"/*.h5*
    "$hash_weights" "$1" "$2" "$tmp/w.safetensors" 2> "$err" && features "$1" "$tmp/w.safetensors" "$tmp/a.h5" &&
        "$python" "$helpers/other_layouts.py" "$tmp/w.safetensors" "$3" "$tmp/$4" 2> "$err"
    ok $? "$1: a file in the layout $5"
    "$extract" inspect "$tmp/$4" > "$out" 2> "$err"
    grep -q "^network  *$1 (layout $5)" "$out"
    ok $? "$1: inspect names network and layout"
    features "$1" "$tmp/$4" "$tmp/b.h5" && "$python" "$tmp/equal.py" "$tmp/a.h5" "$tmp/b.h5" 2> "$err"
    ok $? "$1: features and logits of the same bits"
}
layout vit_tiny_patch16_224 2 augreg vit.npz "augreg npz"
layout bit_s_r101x1 2 bit-npz bit.npz "big_transfer npz"
layout bit_s_r101x1 2 mos bit.pth.tar gen
finish
