#!/bin/sh
# Every network over real images with weights made by hash: it runs, every tap comes out finite, and the
# file's bytes do not depend on the batch.
#   OUTPOST_LONG=1   networks of any size, 32 images and, with a sanitizer, too
#   NETS="..."       these networks only
. "$(dirname "$0")/e2e.sh"
hash_weights=$build/tools/hash_weights
[ -x "$hash_weights" ] || skip_all "no $hash_weights"
[ -d "$data/images" ] || skip_all "no real images in $data/images"
[ -n "$python" ] || skip_all "no Python with h5py and numpy"
[ -z "$sanitized" ] || [ -n "$long" ] || skip_all "a sanitizer makes whole networks too slow; OUTPOST_LONG=1 runs them"
[ -n "$long" ] && images=32 most=1000 || images=3 most=5
for set in imagenet-sample cifar10-test; do
    head -n "$images" "$data/lists/$set.txt" > "$tmp/$set.txt"
    head -n 3 "$data/lists/$set.txt" > "$tmp/$set.few.txt"
done
# network WEIGHTS LIST OUT BATCH: all outputs, maps as their means
network() {
    taps=$("$extract" models "$net" | awk '/^taps:/ { in_taps = 1; next } /^[^ ]/ { in_taps = 0 } in_taps { print "--tap " $1 ":mean" }')
    # shellcheck disable=SC2086
    "$extract" run -q -m "$net" -w "$1" -r "$data/images" -l "$2" -o "$3" -b "$4" $taps > "$out" 2> "$err"
}
cat > "$tmp/values.py" <<'PYTHON'
import sys
import h5py, numpy as np
with h5py.File(sys.argv[1], "r") as f:
    assert (f["status"][:] == 1).all(), "images that could not be read"
    taps = []
    f["taps"].visititems(lambda name, v: taps.append(v) if isinstance(v, h5py.Dataset) else None)
    assert taps, "no taps"
    for v in [f["features"], f["logits"], *taps]:
        x = v[:].reshape(len(v), -1)
        assert np.isfinite(x).all(), f"{v.name}: not finite"
        assert (x[1:] != x[:-1]).any(axis=1).all(), f"{v.name}: two images are alike"
PYTHON
"$extract" models | awk -v most="$most" 'NR > 1 && $4 <= most { print $1, $2 }' > "$tmp/nets"
while read -r net side; do
    case " ${NETS:-$net} " in *" $net "*) ;; *) continue ;; esac
    [ "$side" -gt 32 ] && list=imagenet-sample || list=cifar10-test
    gain=$(awk -F'\t' -v net="$net" '$1 == net { print $2; exit }' "$root/tests/golden/nets.tsv")
    w=$tmp/w.safetensors
    rm -f "$tmp"/*.h5* "$w"
    "$hash_weights" "$net" "${gain:-1}" "$w" 2> "$err" || { ok 1 "$net: weights"; continue; }
    network "$w" "$tmp/$list.few.txt" "$tmp/one.h5" 1 && network "$w" "$tmp/$list.few.txt" "$tmp/x.h5" 3 &&
        cmp "$tmp/one.h5" "$tmp/x.h5" > "$err"
    ok $? "$net: one by one and in a batch, the same file"
    if [ "$images" -gt 3 ]; then
        rm -f "$tmp"/x.h5*
        network "$w" "$tmp/$list.txt" "$tmp/x.h5" 16
    fi && "$python" "$tmp/values.py" "$tmp/x.h5" 2> "$err"
    ok $? "$net: $images images, features, logits and all taps are finite and of each image its own"
done < "$tmp/nets"
finish
