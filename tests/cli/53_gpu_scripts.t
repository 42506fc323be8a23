#!/bin/sh
# tests/gpu/run.sh, which measures on machines with a GPU, tried out over the mock device: the sections that need
# no real one, two devices against one, and the rates from files to features with PyTorch on the CPU beside them.
build=${OUTPOST_BUILD:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
[ -e "$build/mock/outpost-cuda.so" ] || { echo "1..0 # SKIP no $build/mock/outpost-cuda.so"; exit 0; }
for p in extract score demo-images tools/hash_weights; do
    [ -x "$build/$p" ] || { echo "1..0 # SKIP no $build/$p"; exit 0; }
done
python3=/usr/bin/python3
$python3 -c 'import torch, torchvision, PIL, numpy' 2> /dev/null || { echo '1..0 # SKIP no torch'; exit 0; }
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
n=0
check() { # check NAME CONDITION...
    name=$1; shift; n=$((n + 1))
    if "$@"; then echo "ok $n - $name"
    else echo "not ok $n - $name"; sed 's/^/# /' "$tmp/said"; failed=1; fi
}
said() { grep -qE -- "$1" "$tmp/said"; }
# A build folder whose plugin is the mock, and a python3 that has torch.
mkdir "$tmp/build" "$tmp/bin"
cp "$build/extract" "$build/score" "$build/demo-images" "$build/mock/outpost-cuda.so" "$tmp/build"
ln -s "$build/tools" "$tmp/build/tools"
ln -s $python3 "$tmp/bin/python3"
unset OUTPOST_MOCK_FAIL OUTPOST_MOCK_WRONG OUTPOST_MOCK_MEMORY OUTPOST_MOCK_MODELS OUTPOST_PLUGIN_DIR
OUTPOST_MOCK_DEVICES=2 NETS=resnet20 FILES=40 BATCH=16 WORKERS=2 PEER_DEVICE=cpu DEVICES=cuda:0,1 OUT=$tmp/out \
    OUTPOST_DATA=$tmp/none PATH=$tmp/bin:$PATH sh tests/gpu/run.sh -b "$tmp/build" several files > "$tmp/said" 2>&1
status=$?
check 'several and files: exit status 0' [ $status -eq 0 ]
check 'two devices: the file of one' said '^ok +extract run, two GPUs against one'
check 'images are drawn, of the size of ImageNet'"'"'s' said '^512 images, 1[01][0-9] KB on average, list of 40$'
check 'from files: ours' said '^outpost-files resnet20 run bf16 [0-9.]+$'
check 'from files: the slower side' said 'from files: (decode|network|writer) is the slower side'
check 'from files: PyTorch' said '^torch-files resnet20 amp bf16 [0-9.]+$'
check 'from files: a row of the table with the ratio' said '^resnet20 bf16, from files +[0-9]+ +[0-9]+ +[0-9.]+$'
check 'results.json says that they are from files' grep -q '"from_files": true' "$tmp/out/results.json"
OUTPOST_MOCK_DEVICES=0 OUT=$tmp/out sh tests/gpu/run.sh -b "$tmp/build" several > "$tmp/said" 2>&1
status=$?
check 'no device: exit status 5' [ $status -eq 5 ]
echo "1..$n"
exit ${failed:-0}
