#!/bin/sh
# Real checkpoints over real images: known counts, twins of containers, PyTorch, bf16.
#   OUTPOST_LONG=1   PyTorch sees all images
. "$(dirname "$0")/e2e.sh"
[ -z "$sanitized" ] || skip_all "a sanitizer makes whole networks too slow; the demo's runs are in 70 to 72"
[ -d "$data/weights" ] || skip_all "no real checkpoints in $data/weights"
[ -n "$python" ] || skip_all "no Python with h5py and numpy"
TMPDIR=$tmp "$python" "$root/tests/golden/real_networks.py" "$extract" "$data" ${long:+--long}
exit $?
