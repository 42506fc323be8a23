#!/bin/sh
# extract run -d cuda:0,1,...: several GPUs in one process, over mock devices that are told apart as real ones
# are: the bytes of one GPU, a device that is absent, named twice, lost, short of memory, of another model.
build=${OUTPOST_BUILD:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
[ -x "$build/extract" ] || { echo "1..0 # SKIP no $build/extract"; exit 0; }
[ -e "$build/mock/outpost-cuda.so" ] || { echo "1..0 # SKIP no $build/mock/outpost-cuda.so"; exit 0; }
[ -x "$build/demo-images" ] || { echo "1..0 # SKIP no $build/demo-images"; exit 0; }
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
n=0
check() { # check NAME CONDITION...
    name=$1; shift; n=$((n + 1))
    if "$@"; then echo "ok $n - $name"
    else echo "not ok $n - $name"; sed 's/^/# /' "$tmp/err"; failed=1; fi
}
said() { grep -qF -- "$1" "$tmp/err"; }
unsaid() { ! said "$1"; }
"$build/demo-images" "$tmp/images" > /dev/null || exit 1
unset OUTPOST_MOCK_FAIL OUTPOST_MOCK_WRONG OUTPOST_MOCK_MEMORY OUTPOST_MOCK_MODELS
OUTPOST_PLUGIN_DIR=$build/mock OUTPOST_MOCK_DEVICES=3
export OUTPOST_PLUGIN_DIR OUTPOST_MOCK_DEVICES
# run OUT DEVICES [OPTION...]
run() {
    out=$1 devices=$2; shift 2
    "$build/extract" run -m demo -w weights/demo.safetensors -r "$tmp/images" -o "$tmp/$out" --limit 60 -b 8 \
        --progress none -d "$devices" "$@" > "$tmp/out" 2> "$tmp/err"
    status=$?
}
same() { cmp "$tmp/$1" "$tmp/$2" >> "$tmp/err" 2>&1; }
part_of() { "$build/extract" inspect --json "$tmp/$1" > "$tmp/json" 2>> "$tmp/err" && grep -qF -- "$2" "$tmp/json"; }

run one.h5 cuda
check 'one device: exit status 0' [ $status -eq 0 ]
check 'one device: nothing is said of several' unsaid 'in turn'
run two.h5 cuda:0,1
check 'two devices: exit status 0' [ $status -eq 0 ]
check 'two devices: named' said 'cuda:0,1: 2 GPUs take batches in turn (cuda mock device in host memory f32 b8 '
check 'two devices: the file of one, byte for byte' same two.h5 one.h5
run three.h5 cuda:2,0,1 -j 3
check 'three devices in another order: the file of one' same three.h5 one.h5
run listed.h5 cuda:1
check 'the second device alone: the file of the first' same listed.h5 one.h5
run bf16.h5 cuda:0,2 -p bf16
run bf16.one.h5 cuda -p bf16
check 'bf16: the file of one device' same bf16.h5 bf16.one.h5
run few.h5 cuda:0,1,2 --limit 5
check 'fewer batches than devices: exit status 0' [ $status -eq 0 ]

run progress.h5 cuda:0,1 --progress json
check 'progress: the slower side is named' grep -qE '"done":60,.*"bottleneck":"(decode|network|writer)"' "$tmp/err"

run absent.h5 cuda:0,5
check 'a device that is absent: exit status 5' [ $status -eq 5 ]
check 'a device that is absent: named' said 'cuda:5: no CUDA device: 5 asked for, this machine has 3, counted from 0'
check 'a device that is absent: no file' [ ! -e "$tmp/absent.h5.part" ]
run twice.h5 cuda:1,0,1
check 'a device named twice: exit status 2' [ $status -eq 2 ]
check 'a device named twice: said' said "'cuda:1,0,1' names device 1 twice"
run empty.h5 cuda:0,
check 'a list that ends in a comma: exit status 2' [ $status -eq 2 ]
OUTPOST_MOCK_FAIL=blas_create@1:1:3; export OUTPOST_MOCK_FAIL
run broken.h5 cuda:0,1
check 'a device that does not open: exit status 5' [ $status -eq 5 ]
check 'a device that does not open: named' said 'cuda:1: starting cuBLAS: out of GPU memory'

# The second batch of device 1 is the fourth of the run: three are whole.
OUTPOST_MOCK_FAIL=event_sync@1:2:719:lost
run lost.h5 cuda:0,1
check 'one of two lost: exit status 5' [ $status -eq 5 ]
check 'one of two lost: named' said 'cuda:1: waiting for the network: a kernel failed on the GPU (cudaErrorLaunchFailure, 719)'
check 'one of two lost: the unfinished file is kept' [ -e "$tmp/lost.h5.part" ]
unset OUTPOST_MOCK_FAIL
run lost.h5 cuda:0
check 'again, on the other alone: exit status 0' [ $status -eq 0 ]
check 'again: goes on behind the three batches that were done' said 'continuing after 24 of 60 images'
check 'again: the file of a run that nothing happened to' same lost.h5 one.h5
OUTPOST_MOCK_FAIL=graph_launch@0:3:700:lost; export OUTPOST_MOCK_FAIL
run start.h5 cuda:0,1
check 'lost while a batch is handed in: exit status 5' [ $status -eq 5 ]
check 'lost while a batch is handed in: named' said 'cuda:0: starting the network: '
unset OUTPOST_MOCK_FAIL
run start.h5 cuda:0,1,2
check 'again, with one more: the file of a run that nothing happened to' same start.h5 one.h5

# Memory for half of the batch on one of them: all take half, for the bits follow the size of the batch.
whole=$("$build/extract" bench net -m demo -w weights/demo.safetensors -d cuda -b 64 -n 64 2> "$tmp/err" |
    sed -n 's/.*, \([0-9]*\) MiB of activations$/\1/p')
check 'bench says how much memory the network takes' [ "${whole:-0}" -gt 0 ]
short=$((whole * 1048576 - 1048576))
OUTPOST_MOCK_MEMORY=$short; export OUTPOST_MOCK_MEMORY
run half.one.h5 cuda -b 64 --decode cpu
check 'little memory, one device: half the batch' said 'cuda:0: out of GPU memory: '
for at in first middle last; do
    case $at in first) m=$short,1073741824 ;; middle) m=1073741824,$short,1073741824 ;; last) m=1073741824,1073741824,$short ;; esac
    OUTPOST_MOCK_MEMORY=$m
    run half.$at.h5 cuda:0,1,2 -b 64 --decode cpu
    check "little memory on the $at of three: said once" [ "$(grep -c 'going on with batches of 32' "$tmp/err")" -eq 1 ]
    check "little memory on the $at of three: the file of one device with half batches" same half.$at.h5 half.one.h5
done
OUTPOST_MOCK_MEMORY=1073741824,20000000
run none.h5 cuda:0,1 -b 64
check 'far too little on one: exit status 5' [ $status -eq 5 ]
check 'far too little on one: named' said 'extract: cuda:1: out of GPU memory: '
unset OUTPOST_MOCK_MEMORY

OUTPOST_MOCK_MODELS=A,B,A; export OUTPOST_MOCK_MODELS
run mixed.h5 cuda:0,1,2
check 'devices of two models: exit status 0' [ $status -eq 0 ]
check 'devices of two models: a warning' said 'GPUs of different models may round differently'
check 'devices of two models: the provenance has the first' part_of mixed.h5 'cuda mock device A f32 b8 '
check 'devices of two models: the provenance has the other' part_of mixed.h5 ' + cuda mock device B f32 b8 '
check 'devices of two models: the provenance says which is which' part_of mixed.h5 ':0,2 + '
run alike.h5 cuda:0,2
check 'two devices of one model: no warning' unsaid 'may round'
unset OUTPOST_MOCK_MODELS
echo "1..$n"
exit ${failed:-0}
