#!/bin/sh
# extract run -d cuda where there is no device: exit status, one line, no output left behind.
# With the mock plugin (build/mock) also what a machine with a device or a broken one would say.
build=${OUTPOST_BUILD:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
if [ ! -x "$build/extract" ]; then echo "1..0 # SKIP no $build/extract"; exit 0; fi
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/empty" "$tmp/images"
echo 'a.png 0' > "$tmp/list"
n=0
check() { # check NAME CONDITION...
    name=$1; shift; n=$((n + 1))
    if "$@"; then echo "ok $n - $name"
    else echo "not ok $n - $name"; sed 's/^/# /' "$tmp/err" "$tmp/out"; failed=1; fi
}
# run DEVICE: the device is looked for before checkpoint and images, which are not there.
run() {
    "$build/extract" run -m demo -w "$tmp/none.safetensors" -r "$tmp/images" -l "$tmp/list" \
        -o "$tmp/f.h5" -d "$1" > "$tmp/out" 2> "$tmp/err"
    status=$?
}
said() { grep -qF -- "$1" "$tmp/err"; }
one_line() { [ "$(wc -l < "$tmp/err")" -eq 1 ] && [ ! -s "$tmp/out" ]; }
left() { ls "$tmp"/f.h5* > /dev/null 2>&1; }

unset OUTPOST_PLUGIN_DIR OUTPOST_MOCK_FAIL OUTPOST_MOCK_DEVICES OUTPOST_MOCK_WRONG
cp "$build/extract" "$tmp/empty/extract" # a program with no plugin beside it
saved=$build; build=$tmp/empty
run cuda
check 'no plugin: exit status 5' [ $status -eq 5 ]
check 'no plugin: one line says so' said 'no CUDA plugin beside this program (built with CUDA=0?)'
check 'no plugin: that line is all' one_line
build=$saved
CUDA_VISIBLE_DEVICES=''; export CUDA_VISIBLE_DEVICES # hides the devices of machines that have some
if [ -e "$build/outpost-cuda.so" ]; then
    run cuda
    check 'plugin, no device: exit status 5' [ $status -eq 5 ]
    check 'plugin, no device: one line says why' said 'no CUDA device: '
    check 'plugin, no device: that line is all' one_line
fi
unset CUDA_VISIBLE_DEVICES
run cuda:x
check 'malformed device: exit status 2' [ $status -eq 2 ]
check 'malformed device: named' said "'cuda:x' is not a CUDA device"
if [ -e "$build/mock/outpost-cuda.so" ]; then
    OUTPOST_PLUGIN_DIR=$build/mock; export OUTPOST_PLUGIN_DIR
    run cuda:1
    check 'device 1 of 1: exit status 5' [ $status -eq 5 ]
    check 'device 1 of 1: says how many there are' said '1 asked for, this machine has 1, counted from 0'
    OUTPOST_MOCK_FAIL=blas_create:1:3
    export OUTPOST_MOCK_FAIL
    run cuda
    check 'cuBLAS without memory: exit status 5' [ $status -eq 5 ]
    check 'cuBLAS without memory: one line' one_line
    check 'cuBLAS without memory: says so' said 'starting cuBLAS: out of GPU memory (CUBLAS_STATUS_ALLOC_FAILED, 3)'
    unset OUTPOST_MOCK_FAIL
    OUTPOST_MOCK_WRONG=gap_fwd; export OUTPOST_MOCK_WRONG
    run cuda
    check 'a wrong bit: exit status 5' [ $status -eq 5 ]
    check 'a wrong bit: found by the self-test' said "computes wrongly: self-test 'global average pool'"
fi
# --version names the plugin and opens no device: with every device broken it says the same.
unset OUTPOST_PLUGIN_DIR OUTPOST_MOCK_WRONG
version() { "$build/$1" --version > "$tmp/out" 2> "$tmp/err" && grep -q "^CUDA  *$2" "$tmp/out"; }
saved=$build; build=$tmp/empty
check 'extract --version: no plugin' version extract 'no CUDA plugin beside this program'
build=$saved
OUTPOST_PLUGIN_DIR=$tmp; export OUTPOST_PLUGIN_DIR
check 'score --version: no plugin' version score "no CUDA plugin in \$OUTPOST_PLUGIN_DIR: $tmp has no"
if [ -e "$build/mock/outpost-cuda.so" ]; then
    OUTPOST_PLUGIN_DIR=$build/mock OUTPOST_MOCK_FAIL=stream_create:1:999:lost; export OUTPOST_MOCK_FAIL
    for program in extract score; do
        check "$program --version: where the plugin is, and what it was built with" \
            version $program "plugin $build/mock/outpost-cuda.so, built with a mock of CUDA 13.0"
        check "$program --version: the libraries that run" version $program 'CUDA runtime 13.0, .* cuDNN 9.19.0'
    done
    unset OUTPOST_MOCK_FAIL
fi
if left; then leftovers=yes; else leftovers=no; fi
check 'no output file is left' [ $leftovers = no ]
echo "1..$n"
exit ${failed:-0}
