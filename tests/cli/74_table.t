#!/bin/sh
# GEN's table of a real network on real sets against numpy.
#   OUTPOST_LONG=1   4,000 train images, else 1,500
. "$(dirname "$0")/e2e.sh"
[ -z "$sanitized" ] || skip_all "a sanitizer makes whole networks too slow; the demo's runs are in 70 to 72"
[ -e "$data/weights/cifar100_densenet_bc100_k12.pth" ] || skip_all "no CIFAR checkpoint in $data/weights"
for p in "${PYTHON:-}" /usr/bin/python3 python3; do
    [ -n "$p" ] && "$p" -c 'import h5py, numpy, scipy, sklearn' 2>/dev/null && break
    p=
done
[ -n "$p" ] || skip_all "no Python with h5py, numpy, scipy, sklearn"
TMPDIR=$tmp "$p" "$root/tests/score/real_table.py" "$build" "$data" ${long:+--long}
exit $?
