#!/bin/sh
# score run -d cuda: without a device one line and exit status 5; over the mock device (build/mock) the
# tables of the CPU, and for every call of CUDA, cuBLAS and cuSOLVER that fails the right exit status and no
# output left behind.
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
build=$(cd "$root" && cd "${OUTPOST_BUILD:-build}" 2> /dev/null && pwd)
[ -x "$build/score" ] || { echo "1..0 # SKIP no $build/score"; exit 0; }
[ -e "$build/mock/outpost-cuda.so" ] || { echo "1..0 # SKIP no $build/mock/outpost-cuda.so"; exit 0; }
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/empty"
n=0
check() { # check NAME CONDITION...
    name=$1; shift; n=$((n + 1))
    if "$@"; then echo "ok $n - $name"
    else echo "not ok $n - $name"; sed 's/^/# /' "$tmp/err"; failed=1; fi
}
said() { grep -qF -- "$1" "$tmp/err"; }
one_line() { [ "$(wc -l < "$tmp/err")" -eq 1 ] && [ ! -s "$tmp/out" ]; }
data=$root/tests/cli/data/score
# run DEVICE [OPTION...]: everything on the small inputs
run() {
    device=$1; shift
    rm -rf "$tmp/made"; mkdir "$tmp/made"
    "${program:-$build/score}" run -q -d "$device" --train "$data/train.h5" --id "$data/id.h5" \
        --ood "$data/texture.h5" "$data/far.h5" --json "$tmp/made/r.json" --csv "$tmp/made/r.csv" \
        --scores "$tmp/made/s.h5" "$@" > "$tmp/out" 2> "$tmp/err"
    status=$?
}
nothing_left() { [ -z "$(ls -A "$tmp/made")" ] && [ ! -s "$tmp/out" ]; }
all_made() { [ -s "$tmp/made/r.json" ] && [ -s "$tmp/made/r.csv" ] && [ -s "$tmp/made/s.h5" ]; }

unset OUTPOST_PLUGIN_DIR OUTPOST_MOCK_FAIL OUTPOST_MOCK_DEVICES OUTPOST_MOCK_WRONG OUTPOST_MOCK_MEMORY
unset NVIDIA_TF32_OVERRIDE
OMP_NUM_THREADS=1; export OMP_NUM_THREADS
cp "$build/score" "$tmp/empty/score"
program=$tmp/empty/score
run cuda
check 'no plugin: exit status 5' [ $status -eq 5 ]
check 'no plugin: one line says so' said 'no CUDA plugin beside this program (built with CUDA=0?)'
check 'no plugin: that line is all' one_line
check 'no plugin: no output' nothing_left
program=
CUDA_VISIBLE_DEVICES=''; export CUDA_VISIBLE_DEVICES # hides the devices of machines that have some
if [ -e "$build/outpost-cuda.so" ]; then
    run cuda
    check 'plugin, no device: exit status 5' [ $status -eq 5 ]
    check 'plugin, no device: one line says why' said 'no CUDA device: '
    check 'plugin, no device: that line is all' one_line
fi
unset CUDA_VISIBLE_DEVICES
run gpu
check 'another device: exit status 2' [ $status -eq 2 ]
check 'another device: named' said "'gpu' is not a CUDA device: cuda or cuda:N"

OUTPOST_PLUGIN_DIR=$build/mock; export OUTPOST_PLUGIN_DIR
run cuda:3
check 'device 3 of 1: exit status 5' [ $status -eq 5 ]
check 'device 3 of 1: says how many there are' said '3 asked for, this machine has 1, counted from 0'

# --- the tables of the CPU ------------------------------------------------------------------------
# same_table A.json B.json: FPR95 to 1e-6, AUROC to 1e-6 and the order of one pair of images (scores nearer
# to each other than f32 rounding may change places, 1 / (ID x OOD) each), AUPR to 1e-5
same_table() {
    /usr/bin/python3 - "$1" "$2" <<'PY' > "$tmp/err" 2>&1
import json, sys
a, b = (json.load(open(p)) for p in sys.argv[1:])
assert a["device"] == "cpu" and b["device"] == "cuda:0 (mock device in host memory)", b["device"]
assert len(a["rows"]) == len(b["rows"]) > 0 and not a["skipped"] and not b["skipped"]
worst = {}
for x, y in zip(a["rows"], b["rows"]):
    assert (x["method"], x["ood"]) == (y["method"], y["ood"])
    for k in x:
        if k[:5] in ("auroc", "fpr95", "aupr_", "ap_in", "ap_ou") and x[k] is not None:
            off = max(abs(u - v) for u, v in zip(x[k], y[k])) if k.endswith("_ci") else abs(x[k] - y[k])
            worst[k[:5]] = max(worst.get(k[:5], 0), off)
            assert k != "auroc" or off <= 1e-6 + 1 / (x["n_id"] * x["n_ood"]), (x["method"], x["ood"], off)
print(len(a["rows"]), "rows, differences", worst)
assert worst["fpr95"] <= 1e-6 and max(worst.values()) <= 1e-5
PY
}
same_names() {
    /usr/bin/python3 -c 'import json, sys
names = sorted({r["method"] for r in json.load(open(sys.argv[1]))["rows"]})
print(names)
assert names == sys.argv[2:]' "$@" > "$tmp/err" 2>&1
}
if /usr/bin/python3 -c '' 2> /dev/null; then
    run cpu; check 'cpu: exit status 0' [ $status -eq 0 ]
    cp "$tmp/made/r.json" "$tmp/cpu.json"; cp "$tmp/made/s.h5" "$tmp/cpu.h5"
    run cuda; check 'cuda: exit status 0' [ $status -eq 0 ]
    cp "$tmp/made/r.json" "$tmp/cuda.json"; cp "$tmp/made/s.h5" "$tmp/cuda.h5"; cp "$tmp/made/r.csv" "$tmp/cuda.csv"
    check 'small inputs: the table of the CPU' same_table "$tmp/cpu.json" "$tmp/cuda.json"
    run cuda:0 --memory 64M -j 2
    check 'again, less memory, more threads: the same bytes' cmp -s "$tmp/made/s.h5" "$tmp/cuda.h5"
    run cpu -m knn:k=1+10+50,knn:normalise=none; cp "$tmp/made/r.json" "$tmp/cpu-knn.json"
    run cuda -m knn:k=1+10+50,knn:normalise=none
    check 'knn: exit status 0' [ $status -eq 0 ]
    check 'knn: the table of the CPU' same_table "$tmp/cpu-knn.json" "$tmp/made/r.json"
    check 'knn: a row for each k, of default k without it' same_names "$tmp/made/r.json" knn knn:k=1 knn:k=10 knn:normalise=none
    # the methods over distances, covariances, subspaces and banks
    distances='mds,mds++,rmds,rmds++,ssd,wdiscood:discriminants=2,wdiscood:normalise=l2,neco:dim=3,nusa,pnml,relation'
    distances="$distances,cfood:part=0.5,grood,nac:layers=features:build=all:o=50:alpha=10,gmm:clusters=3:dim=4,residual-openood:dim=4"
    held="--val-id $data/train.h5 --val-ood $data/far.h5"
    run cpu -m "$distances" $held; cp "$tmp/made/r.json" "$tmp/cpu-distances.json"
    run cuda -m "$distances" $held
    check 'distances: exit status 0' [ $status -eq 0 ]
    check 'distances: the table of the CPU' same_table "$tmp/cpu-distances.json" "$tmp/made/r.json"
    sed 's/^/# /' "$tmp/err"
    if [ -x "$build/extract" ] && [ -x "$build/demo-images" ]; then
        "$build/demo-images" "$tmp/demo" > /dev/null
        for set in train id near texture glyphs noise; do
            "$build/extract" run -q -m demo -w "$root/weights/demo.safetensors" -r "$tmp/demo/images" \
                -l "$tmp/demo/lists/$set.txt" -o "$tmp/$set.h5" --progress none
        done
        for device in cpu cuda; do
            "$build/score" run -q -d $device --train "$tmp/train.h5" --id "$tmp/id.h5" --ood "$tmp/near.h5" \
                "$tmp/texture.h5" "$tmp/glyphs.h5" "$tmp/noise.h5" --json "$tmp/demo-$device.json" \
                > /dev/null 2> "$tmp/err"
        done
        check 'demo features: the GEN table of the CPU' same_table "$tmp/demo-cpu.json" "$tmp/demo-cuda.json"
        sed 's/^/# /' "$tmp/err"
    fi
fi

# --- memory ---------------------------------------------------------------------------------------
OUTPOST_MOCK_MEMORY=300000; export OUTPOST_MOCK_MEMORY
run cuda
check 'too little memory on the device: exit status 5' [ $status -eq 5 ]
check 'too little memory on the device: said' said 'out of GPU memory: '
check 'too little memory on the device: no output' nothing_left
unset OUTPOST_MOCK_MEMORY

# --- every call failing ---------------------------------------------------------------------------
wrong= fives=0 ones=0 fine=0
fail() { # fail CALL NTH STATUS[:lost] WANT
    OUTPOST_MOCK_FAIL=$1:$2:$3; export OUTPOST_MOCK_FAIL
    run cuda -m vim,mahalanobis,kl-matching,knn:k=5
    unset OUTPOST_MOCK_FAIL
    case $status in
    0) fine=$((fine + 1)); all_made || wrong="$wrong $1:$2:$3(no-output)" ;;
    "$4") [ "$4" -eq 5 ] && fives=$((fives + 1)) || ones=$((ones + 1))
        nothing_left && one_line || wrong="$wrong $1:$2:$3(left)" ;;
    *) wrong="$wrong $1:$2:$3($status)" ;;
    esac
}
calls=$(sed -n 's/^CALL(\([A-Z]*\), \([a-z_]*\),.*/\1:\2/p' "$root/extract/cuda/calls.def" "$root/score/cuda/calls_linalg.def")
for call in $calls; do
    name=${call#*:}
    case ${call%:*} in
    CUDA) for nth in 1 2 9; do fail "$name" $nth 719:lost 5; done ;;
    CUBLAS) for nth in 1 4; do fail "$name" $nth 13 5; done; fail "$name" 1 7 1 ;;
    CUSOLVER) fail "$name" 1 6 5; fail "$name" 1 3 1 ;;
    CUDNN) fail "$name" 1 4000 5 ;;
    esac
done
echo "# $fives runs ended with 5, $ones with 1, $fine did not need the call or were on the way out"
[ -z "$wrong" ] || echo "# wrong:$wrong"
check 'a failing call: exit status, one line, no output' [ -z "$wrong" ]
check 'failing calls were reached' [ $fives -ge 25 ]
check 'refused arguments were reached' [ $ones -ge 8 ]
echo "1..$n"
exit ${failed:-0}
