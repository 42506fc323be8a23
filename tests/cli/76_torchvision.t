#!/bin/sh
# Image files through torchvision's networks and their own transforms, beside torchvision itself.
#   OUTPOST_LONG=1   every network of torchvision; else one of each family
. "$(dirname "$0")/e2e.sh"
[ -z "$sanitized" ] || skip_all "a sanitizer makes whole networks too slow; the demo's runs are in 70 to 72"
[ -n "$python" ] || skip_all "no Python with h5py and numpy"
"$python" -c 'import torch, torchvision, PIL' 2> "$err" || skip_all "$(tail -n 1 "$err")"
TMPDIR=$tmp "$python" "$root/tests/golden/torchvision_networks.py" "$extract" ${long:+--long}
exit $?
