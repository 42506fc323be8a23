#!/bin/sh
# What a machine with a GPU is for: make check-gpu and make bench-gpu, or the same from a bundle
# (tests/gpu/bundle.sh) on a machine without this project's libraries:
#
#   sh build/gpu/run.sh SECTION...      beside bundle.tar.xz, which it unpacks
#   sh tests/gpu/run.sh [-b BUILD] SECTION...
#
# sections: facts twins plugin network nets repeat run several score memcheck racecheck bench peers files
# NETS="..."        networks of nets, repeat, bench, peers     PRECISIONS="..."  [fp32 tf32 bf16 fp16]
# BATCH             images per batch of bench and peers [128]  SECONDS_EACH      of one rate [3]
# FILES             rows of files, which goes from JPEG files to features, ours and PyTorch's [32768]
# WORKERS           decode threads, and worker processes of PyTorch's DataLoader [16]
# FILES_PRECISIONS  precisions of files [bf16]                 DEVICES           of ours in files [cuda]
# SCORE_ROWS        train rows of score; 200000 is the size of GEN's benchmark [20000]
# REPEATS           batches of each process of repeat [100]
# OUT               folder for logs and results.json [outputs/gpu]
# Prints one line per check, names what failed at the end, and is 0 when nothing did.
set -u
self=$(cd "$(dirname "$0")" && pwd)
build=build
if [ -e "$self/bundle.tar.xz" ]; then
    cd "$self" && { [ -d unpacked ] || { mkdir unpacked && tar -C unpacked -xJf bundle.tar.xz; }; }
    cd "$self/unpacked" || exit 1
    own=$PWD/lib
else
    cd "$self/../.." || exit 1
    own=
fi
if [ "${1:-}" = -b ]; then build=$2; shift 2; fi
case $build in /*) ;; *) build=$PWD/$build ;; esac
sections=${*:-facts twins plugin network nets repeat run several score}
OUT=${OUT:-$PWD/outputs/gpu}
NETS=${NETS:-resnet50 vit_base_patch16_224 swin_t repvgg_b1 bit_s_r101x1 densenet121 t2t_vit_14 convnext_tiny efficientnet_b0}
PRECISIONS=${PRECISIONS:-fp32 tf32 bf16 fp16}
BATCH=${BATCH:-128}
SECONDS_EACH=${SECONDS_EACH:-3}
REPEATS=${REPEATS:-100}
FILES=${FILES:-32768}
WORKERS=${WORKERS:-16}
FILES_PRECISIONS=${FILES_PRECISIONS:-bf16}
DEVICES=${DEVICES:-cuda}
mkdir -p "$OUT"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# CUDA's libraries: the toolkit's, or those that came with Python packages.
find_cuda() {
    for d in "${CUDA_HOME:-/usr/local/cuda}/lib64" /usr/local/cuda-13*/lib64; do
        [ -d "$d" ] && printf '%s:' "$d"
    done
    # shellcheck disable=SC2016
    python3 -c 'import glob, sys
print(":".join(d for p in sys.path if p for d in sorted(glob.glob(p + "/nvidia/*/lib"))))' 2>/dev/null
}
LD_LIBRARY_PATH=$(find_cuda)${own:+:$own}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
export OUTPOST_PLUGIN_DIR="$build"
failed=

# check NAME COMMAND...: one line; the log stays in OUT.
check() {
    name=$1; shift
    log=$OUT/$(printf '%s' "$name" | tr -c 'A-Za-z0-9._-' _).log
    began=$(date +%s)
    if "$@" > "$log" 2>&1; then verdict=ok; else verdict='NOT OK'; failed="$failed
  $name: $log"; fi
    printf '%-6s %s, %s s\n' "$verdict" "$name" $(($(date +%s) - began))
    [ "$verdict" = ok ] || grep -Ev '^ok|^\[' "$log" | tail -8 | sed 's/^/       | /'
}

weights_of() { # weights_of NET -> $work/NET.safetensors
    [ -e "$work/$1.safetensors" ] || "$build/tools/hash_weights" "$1" 1.0 "$work/$1.safetensors"
}

images() { # drawn, so that they need no download
    [ -d "$work/images" ] || "$build/demo-images" "$work/images" > /dev/null
}

# The same images, model and options: one digest, REPEATS batches in each of three processes.
repeat_one() {
    weights_of "$1" || return 1
    first=
    for i in 1 2 3; do
        "$build/extract" bench net -m "$1" -w "$work/$1.safetensors" -d cuda -p "$2" -b 16 -n $((16 * REPEATS)) --digest |
            tee "$work/log" | grep '^digest ' > "$work/d" || { cat "$work/log"; return 1; }
        [ -z "$first" ] && first=$(cat "$work/d")
        [ "$(cat "$work/d")" = "$first" ] || { echo "process $i: $(cat "$work/d"), not $first"; return 1; }
    done
    echo "3 processes: $first"
}

# End to end on drawn images, CPU and GPU: the feature files agree; on the GPU, that of images decoded by the
# CPU is the same to the byte.
run_both() {
    images || return 1
    for d in cpu cuda; do
        "$build/extract" run -m demo -w weights/demo.safetensors -r "$work/images" -o "$work/$d.h5" -d $d \
            --limit 640 --force --progress none || return 1
    done
    "$build/extract" run -m demo -w weights/demo.safetensors -r "$work/images" -o "$work/pixels.h5" -d cuda \
        --decode cpu --limit 640 --force --progress none && cmp "$work/pixels.h5" "$work/cuda.h5" || return 1
    py=python3
    $py -c 'import h5py' 2> /dev/null || py=/usr/bin/python3
    $py - "$work/cpu.h5" "$work/cuda.h5" <<'PY'
import sys, h5py, numpy as np
a, b = (h5py.File(p)["features"][:] for p in sys.argv[1:])
off = np.linalg.norm(a - b) / np.linalg.norm(a)
print(f"{a.shape}: off by {off:.1e}")
sys.exit(not off <= 1e-5)
PY
}

# Drawn features, both devices: the tables agree, and the seconds of each.  SCORE_ROWS=200000 is GEN's size.
score_both() { python3 tests/gpu/score.py "$build" "$work/score" "${SCORE_ROWS:-20000}"; }

sanitize() { # sanitize TOOL
    compute-sanitizer --tool "$1" --error-exitcode 1 "$build/unit/test_twins"
}

rate() { # rate NET PRECISION -> images/s
    "$build/extract" bench net -m "$1" -w "$work/$1.safetensors" -d cuda -p "$2" -b "$BATCH" -n "$3" 2> "$work/err" |
        awk '/^outpost-bench/ { for (i = 1; i <= NF; i++) { split($i, kv, "="); v[kv[1]] = kv[2] } printf "%.1f", v["items"] / v["wall"] }'
}

bench_one() { # a quick run tells how many images fill SECONDS_EACH
    quick=$(rate "$1" "$2" $((BATCH * 8)))
    [ -n "$quick" ] || { cat "$work/err"; return 1; }
    many=$(awk -v r="$quick" -v s="$SECONDS_EACH" -v b="$BATCH" 'BEGIN { n = int(r * s / b + 1) * b; print n }')
    final=$(rate "$1" "$2" "$many")
    [ -n "$final" ] || { cat "$work/err"; return 1; }
    echo "outpost-gpu $1 graph $2 $final" | tee -a "$OUT/rates.txt"
}

# The first two GPUs of the machine give the file of one.
several() {
    images || return 1
    for d in cuda:0 cuda:0,1; do
        "$build/extract" run -m demo -w weights/demo.safetensors -r "$work/images" -o "$work/$d.h5" -d "$d" \
            --limit 160 -b 16 --force --progress none || return 1
    done
    cmp "$work/cuda:0.h5" "$work/cuda:0,1.h5"
}

# Photographs where they are, else drawn ones; $photos/list.txt repeats them to FILES rows.
photographs() {
    [ -n "${photos:-}" ] && return 0
    real=${OUTPOST_DATA:-$HOME/.cache/outpost-data}
    if [ -s "$real/lists/imagenet-sample.txt" ]; then
        photos=$real/images
        awk -v rows="$FILES" '{ line[NR] = $0 } END { for (i = 0; i < rows; i++) print line[i % NR + 1] }' \
            "$real/lists/imagenet-sample.txt" > "$work/files.txt"
    else
        python3 tests/bench/make_images.py "$work/photos" 512 "$FILES" || return 1
        photos=$work/photos
        mv "$photos/list.txt" "$work/files.txt"
    fi
}

# From files to features, through the whole program.  The rate is that of its last progress line: network
# opened before, workers started within, as in the peer's.  Both resize to 8/7 of the side and crop.
files_one() { # NET PRECISION
    weights_of "$1" || return 1
    side=$("$build/extract" models "$1" | sed -n 's/^input .*,\([0-9]*\)\]$/\1/p')
    "$build/extract" run -m "$1" -w "$work/$1.safetensors" -r "$photos" -l "$work/files.txt" -o "$work/files.h5" \
        -d "$DEVICES" -p "$2" -b "$BATCH" -j "$WORKERS" --force --progress json \
        --prep "torchvision:resize=$((side * 8 / 7)),crop=$side,filter=bilinear" > "$work/log" 2> "$work/err" ||
        { cat "$work/err"; return 1; }
    rm -f "$work/files.h5"
    last=$(grep '^{' "$work/err" | tail -1)
    echo "$last" | sed -n 's/.*"bottleneck":"\([a-z]*\)".*/       | '"$1 $2"', from files: \1 is the slower side/p'
    echo "outpost-files $1 run $2 $(echo "$last" | sed 's/.*"images_per_s":\([0-9.]*\).*/\1/')" | tee -a "$OUT/rates.txt"
}

# Tests that skip without a device would pass here.
if ! "$build/extract" --version 2>&1 | grep -q '^ *cuda:0 '; then
    echo 'run.sh: no CUDA device:' >&2
    "$build/extract" --version >&2
    exit 5
fi

for section in $sections; do
    case $section in
    facts)
        { nvidia-smi; nvcc --version; python3 -c 'import torch; print("torch", torch.__version__, torch.backends.cudnn.version())'
          "$build/extract" --version; } > "$OUT/facts.log" 2>&1
        grep -E 'NVIDIA [A-Z]|release|^torch|cuda:0' "$OUT/facts.log" ;;
    twins) check 'kernels, CPU against GPU' "$build/unit/test_twins" ;;
    plugin) check 'plugin' "$build/unit/test_plugin" ;;
    network) check 'small networks, every operator and precision' "$build/unit/test_cuda_network" ;;
    nets)
        for p in $PRECISIONS; do
            # shellcheck disable=SC2086
            for n in $NETS; do check "$n $p against PyTorch in float64" "$build/unit/test_nets" -d cuda -p "$p" "$n"; done
        done ;;
    repeat)
        for n in $NETS; do
            for p in fp32 bf16; do check "$n $p: 3 x $REPEATS batches, one digest" repeat_one "$n" "$p"; done
        done ;;
    run) check 'extract run, cpu against cuda' run_both ;;
    several)
        if "$build/extract" --version 2>&1 | grep -q '^ *cuda:1 '; then check 'extract run, two GPUs against one' several
        else echo 'one     GPU only: several is left out'; fi ;;
    score) check 'score run, cpu against cuda' score_both; grep -h "^outpost-score" "$OUT"/score_run*.log ;;
    memcheck | racecheck) check "compute-sanitizer $section on the kernels" sanitize "$section" ;;
    bench)
        for n in $NETS; do
            weights_of "$n" || continue
            for p in $PRECISIONS; do bench_one "$n" "$p" || failed="$failed
  bench $n $p"; done
            rm -f "$work/$n.safetensors"
        done ;;
    peers)
        for n in $NETS; do
            # shellcheck disable=SC2086
            python3 tests/bench/peers/torch_gpu.py "$n" --batch "$BATCH" --seconds "$SECONDS_EACH" \
                --precision "$(echo $PRECISIONS | tr ' ' ,)" 2> "$OUT/peers.log" | tee -a "$OUT/rates.txt"
        done ;;
    files)
        photographs || { failed="$failed
  files: no images"; continue; }
        for n in $NETS; do
            for p in $FILES_PRECISIONS; do files_one "$n" "$p" || failed="$failed
  files $n $p"; done
            rm -f "$work/$n.safetensors"
            # shellcheck disable=SC2086
            python3 tests/bench/peers/torch_gpu.py "$n" --list "$work/files.txt" --root "$photos" --workers "$WORKERS" \
                --batch "$BATCH" --modes amp --precision "$(echo $FILES_PRECISIONS | tr ' ' ,)" --device "${PEER_DEVICE:-cuda}" \
                2> "$OUT/files.log" | tee -a "$OUT/rates.txt"
        done ;;
    *) echo "run.sh: no section '$section'" >&2; exit 2 ;;
    esac
done
[ -e "$OUT/rates.txt" ] && python3 tests/gpu/table.py "$OUT/rates.txt" "$OUT/results.json"
if [ -n "$failed" ]; then printf 'failed:%s\n' "$failed"; exit 1; fi
echo 'all as it should be'
