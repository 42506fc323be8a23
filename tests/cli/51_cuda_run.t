#!/bin/sh
# extract run -d cuda, whole, over the mock device: the features of the CPU, a device that is lost in the
# middle, too little memory, batches that overlap.  Everything but NVIDIA's libraries is the real thing.
build=${OUTPOST_BUILD:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
[ -x "$build/extract" ] || { echo "1..0 # SKIP no $build/extract"; exit 0; }
[ -e "$build/mock/outpost-cuda.so" ] || { echo "1..0 # SKIP no $build/mock/outpost-cuda.so"; exit 0; }
[ -x "$build/demo-images" ] || { echo "1..0 # SKIP no $build/demo-images"; exit 0; }
python3=/usr/bin/python3
$python3 -c 'import h5py' 2> /dev/null || { echo '1..0 # SKIP no h5py'; exit 0; }
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
n=0
check() { # check NAME CONDITION...
    name=$1; shift; n=$((n + 1))
    if "$@"; then echo "ok $n - $name"
    else echo "not ok $n - $name"; sed 's/^/# /' "$tmp/err"; failed=1; fi
}
said() { grep -qF -- "$1" "$tmp/err"; }
"$build/demo-images" "$tmp/images" > /dev/null || exit 1
unset OUTPOST_MOCK_FAIL OUTPOST_MOCK_DEVICES OUTPOST_MOCK_WRONG OUTPOST_MOCK_MEMORY
OUTPOST_PLUGIN_DIR=$build/mock; export OUTPOST_PLUGIN_DIR
# run OUT [OPTION...]
run() {
    out=$1; shift
    "$build/extract" run -m demo -w weights/demo.safetensors -r "$tmp/images" -o "$tmp/$out" --limit 60 -b 8 \
        --progress none "$@" > "$tmp/out" 2> "$tmp/err"
    status=$?
}
# The largest difference of two files, relative to the size of what they hold: below LIMIT.
close_to() { # close_to A B LIMIT
    $python3 - "$tmp/$1" "$tmp/$2" "$3" <<'PY' >> "$tmp/err" 2>&1
import sys, h5py, numpy as np
a, b = (h5py.File(p, "r") for p in sys.argv[1:3])
for name in ("features", "logits"):
    x, y = a[name][:], b[name][:]
    off = np.linalg.norm(x - y) / np.linalg.norm(y)
    print(name, x.shape, off)
    assert x.shape == y.shape and np.isfinite(x).all() and off <= float(sys.argv[3])
assert (a["status"][:] == b["status"][:]).all() and (a["paths"][:] == b["paths"][:]).all()
PY
}
same() { close_to "$1" "$2" 0; }

run cpu.h5 -d cpu
check 'cpu: exit status 0' [ $status -eq 0 ]
run cuda.h5 -d cuda
check 'cuda: exit status 0' [ $status -eq 0 ]
check 'cuda: the features of the cpu' close_to cuda.h5 cpu.h5 1e-5
OUTPOST_MOCK_FAIL=blas_create:2:3; export OUTPOST_MOCK_FAIL # a second device would fail
run once.h5 -d cuda
check 'the device is opened once' [ $status -eq 0 ]
unset OUTPOST_MOCK_FAIL
run half.h5 -d cuda -p fp16
check 'cuda fp16: exit status 0' [ $status -eq 0 ]
check 'cuda fp16: near the features of the cpu' close_to half.h5 cpu.h5 1e-2

# The device is lost while the fourth batch is waited for; what was committed before stays.
OUTPOST_MOCK_FAIL=event_sync:4:719:lost; export OUTPOST_MOCK_FAIL
run lost.h5 -d cuda
check 'device lost: exit status 5' [ $status -eq 5 ]
check 'device lost: said' said 'waiting for the network: a kernel failed on the GPU (cudaErrorLaunchFailure, 719)'
check 'device lost: the unfinished file is kept' [ -e "$tmp/lost.h5.part" ]
unset OUTPOST_MOCK_FAIL
run lost.h5 -d cuda
check 'again: exit status 0' [ $status -eq 0 ]
check 'again: goes on behind the three batches that were done' said 'continuing after 24 of 60 images'
check 'again: the file of a run that nothing happened to' same lost.h5 cuda.h5

# Memory for half of the batch only.
whole=$("$build/extract" bench net -m demo -w weights/demo.safetensors -d cuda -b 64 -n 64 2> "$tmp/err" |
    sed -n 's/.*, \([0-9]*\) MiB of activations$/\1/p')
check 'bench says how much memory the network takes' [ "${whole:-0}" -gt 0 ]
OUTPOST_MOCK_MEMORY=$((whole * 1048576 - 1048576)); export OUTPOST_MOCK_MEMORY
run small.h5 -d cuda -b 64 --decode cpu
check 'too little memory: exit status 0' [ $status -eq 0 ]
check 'too little memory: half the batch, said once' said 'going on with batches of 32'
check 'too little memory: the same features' close_to small.h5 cpu.h5 1e-5
# Records of a batch go through in two parts then; their memory is 98 MB for the whole, 49 MB for half.
OUTPOST_MOCK_MEMORY=$((whole * 1048576 + 90000000))
run parts.h5 -d cuda -b 64 --decode gpu
check 'too little memory for records: exit status 0' [ $status -eq 0 ]
check 'too little memory for records: half the batch, said once' said 'going on with batches of 32'
check 'too little memory for records: the bytes of the CPU'"'"'s decode' cmp -s "$tmp/small.h5" "$tmp/parts.h5"
# No pinned memory at all.
OUTPOST_MOCK_FAIL=host_alloc:3:2; export OUTPOST_MOCK_FAIL
unset OUTPOST_MOCK_MEMORY
run pageable.h5 -d cuda
check 'no pinned memory: exit status 0' [ $status -eq 0 ]
check 'no pinned memory: said' said 'going on with memory that is not pinned'
check 'no pinned memory: the same file' same pageable.h5 cuda.h5
unset OUTPOST_MOCK_FAIL
OUTPOST_MOCK_MEMORY=20000000; export OUTPOST_MOCK_MEMORY
run none.h5 -d cuda -b 64
check 'far too little memory: exit status 5' [ $status -eq 5 ]
check 'far too little memory: says what was asked for' said 'out of GPU memory: '
unset OUTPOST_MOCK_MEMORY
echo "1..$n"
exit ${failed:-0}
