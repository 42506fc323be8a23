#!/bin/sh
# make bench: ours against the peers, interleaved in one run.  Prints a table and keeps it in
# outputs/bench.txt.  It reports and never judges: exit 0 whatever the goals (docs/performance.md).
#
#   bench.sh [BUILD] [SECTION...]     sections: decode entropy net-f32 ort net-bf16 nets nets-bf16 gradients score
#                                     knn startup
#
# OUTPOST_PEERS  environment made by setup_peers.sh   OUTPOST_DATA   images and checkpoints
# ROUNDS         runs of each command [3]             CORE           first core to pin to [0]
# BENCH_NETS     networks of the sections nets and nets-bf16; GRADIENT_NETS: of gradients
# BENCH_WORK     folder for lists, features, caches   GEN_LIMIT      rows of GEN's slow methods [20]
set -u
# Every side picks the kernels of this processor.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE OMP_NUM_THREADS
here=$(cd "$(dirname "$0")" && pwd)
build=${1:-build}
[ $# -gt 0 ] && shift
sections=${*:-decode entropy net-f32 ort net-bf16 nets nets-bf16 gradients score knn startup}
cache=${XDG_CACHE_HOME:-$HOME/.cache}
peers=${OUTPOST_PEERS:-$cache/outpost-peers}
data=${OUTPOST_DATA:-$cache/outpost-data}
work=${BENCH_WORK:-$cache/outpost-bench}
rounds=${ROUNDS:-3}
core=${CORE:-0}
gen_limit=${GEN_LIMIT:-20}
nets=${BENCH_NETS:-vit_base_patch16_224 swin_t t2t_vit_t_14 t2t_vit_14 bit_s_r101x1 repvgg_b1 resnet50d densenet121 regnet_y_16gf convnext_tiny efficientnet_b0 wrn_40_2}
gradient_nets=${GRADIENT_NETS:-resnet50 vit_base_patch16_224 swin_t bit_s_r101x1 mobilenet_v2 densenet121}
ab=$build/bench/ab
extract=$build/extract
score=$build/score
py=$peers/bin/python
list=$data/lists/imagenet-sample.txt
root=$data/images
export OUTPOST_PEERS_CACHE="$work/onnx" TORCHINDUCTOR_CACHE_DIR="$work/inductor" PYTHONDONTWRITEBYTECODE=1
mkdir -p "$work" outputs
cores=$(nproc)
two=$([ "$cores" -ge $((core + 2)) ] && echo "-p $core+2")

say() { printf '%s\n' "$*"; }

# have WHAT MODULES: are the peer's modules there?  Says so when not.
have() {
    [ -x "$py" ] && "$py" -c "import $2" 2>/dev/null && return 0
    say "$1: skipped, no $2 in $peers (tests/bench/setup_peers.sh makes it)"
    return 1
}

need() { # need SECTION FILE...
    section=$1
    shift
    for f in "$@"; do
        [ -e "$f" ] || { say "$section: skipped, $f is not there"; return 1; }
    done
}

header() {
    say ""
    printf '%-40s %-5s %14s %14s %6s %-15s %-7s %s\n' "$1" what ours peer ratio '[pairs]' goal met
}

# compare 'NAME' METRICS LABELS GOALS -- 'ab options' -- commands...
# GOALS: for each peer and metric "label:metric:goal", separated by commas; others have none.
compare() {
    name=$1 metrics=$2 labels=$3 goals=$4 options=$6
    shift 7
    # shellcheck disable=SC2086
    "$ab" -t -r "$rounds" -m "$metrics" -l "$labels" $options "$@" >"$work/ab.tsv" 2>"$work/ab.err" || {
        say "$name: skipped, $(sed -n 1p "$work/ab.err")"
        sed -n '2,$p' "$work/ab.err" | tail -n 3 | cut -c1-160 | sed 's/^/    /'
        return
    }
    awk -F'\t' -v name="$name" -v goals="$goals" '
    function amount(cost, rate, metric) {
        if (metric == "rss") return sprintf("%.1f MB", cost / 1e6)
        if (rate > 0 && rate < 1e6) return sprintf("%.4g/%s", rate, metric == "cpu" ? "cpu-s" : "s")
        return cost < 1 ? sprintf("%.4g ms", cost * 1e3) : sprintf("%.4g s", cost)
    }
    BEGIN { n = split(goals, g, ","); for (i = 1; i <= n; i++) { split(g[i], p, ":"); goal[p[1], p[2]] = p[3] } }
    {
        if (!($2 in ours)) { ours[$2] = amount($3, $6, $2); next }
        want = (($1, $2) in goal) ? goal[$1, $2] : ""
        printf "%-40s %-5s %14s %14s %5.2fx [%.2f-%.2f]%*s %-7s %s\n", name " : " $1, $2, ours[$2],
            amount($3, $6, $2), $7, $8, $9, 13 - length(sprintf("%.2f-%.2f", $8, $9)), "",
            want == "" ? "-" : want "x", want == "" ? "-" : ($7 >= want ? "yes" : "NO")
    }' "$work/ab.tsv"
}

repeated() { # repeated K FILE: the list K times over
    i=0
    while [ $i -lt "$1" ]; do cat "$list"; i=$((i + 1)); done >"$2"
}

decode() {
    header "decode + resize + crop + normalise"
    need decode "$list" && have decode torchvision,PIL || return
    repeated 8 "$work/many.txt"
    compare "decode, 1 thread" cpu ours,pillow pillow:cpu:2.5 -- "-p $core" -- \
        "$extract bench decode -l $work/many.txt -r $root --prep torchvision -t 1" \
        "$py $here/peers/pil.py -l $list -r $root --repeat 3"
    compare "decode, 2 threads" cpu,wall ours,pillow "" -- "$two" -- \
        "$extract bench decode -l $work/many.txt -r $root --prep torchvision -t 2" \
        "$py $here/peers/pil.py -l $list -r $root --repeat 3 -t 2"
}

# entropy: the JPEG decoder alone beside libjpeg-turbo, one program, by turns.
entropy() {
    say ""
    say "JPEG, one thread, CPU time; ratios to libjpeg-turbo, goals: coefficients 1.5x, pixels and records of the crop 2x"
    need entropy "$list" "$build/tools/entropy_bench" || return
    awk -v root="$root" '/^[^#]/ { sub(/[ \t].*/, ""); print root "/" $0 }' "$list" >"$work/jpegs.txt"
    [ -n "$two" ] && pin="taskset -c $core" || pin=
    $pin "$build/tools/entropy_bench" time "$work/jpegs.txt" "$((rounds * 3))"
}

weights_of() {
    case $1 in
    resnet50) echo "$data/weights/imagenet_resnet50_large_blocks.safetensors" ;;
    mobilenet_v2) echo "$data/weights/imagenet_mobilenet_v2_tfquant.pth" ;;
    esac
}

net_f32() {
    header "files -> features, f32, 2 threads"
    need net-f32 "$list" && have net-f32 torch,torchvision || return
    items=$(grep -c . "$list")
    for net in resnet50 mobilenet_v2; do
        w=$(weights_of $net)
        need "$net" "$w" || continue
        compare "$net" cpu,wall ours,eager,eager-nhwc eager:cpu:1.5,eager:wall:1.5 -- "-u 0 -w $items $two" -- \
            "rm -f $work/bench.h5; exec $extract run -m $net -w $w -r $root -l $list -o $work/bench.h5 --prep torchvision -t 2 -j 2 --progress none" \
            "$py $here/peers/torch_eager.py $net -w $w -l $list -r $root -t 2 -j 2" \
            "$py $here/peers/torch_eager.py $net -w $w -l $list -r $root -t 2 -j 2 --layout cl"
    done
}

ort() {
    header "network only, f32, 1 thread"
    have ort onnxruntime && have ort torch || return
    for net in resnet50 mobilenet_v2; do
        w=$(weights_of $net)
        need "$net" "$w" || continue
        n=$([ $net = resnet50 ] && echo 64 || echo 256)
        goal=$([ $net = resnet50 ] && echo ort:cpu:0.95,eager:cpu:1.5 || echo eager:cpu:1.5)
        "$py" "$here/peers/ort.py" $net -w "$w" -n 16 >/dev/null 2>&1 # exports the network once
        compare "$net" cpu ours,ort,eager,eager-nhwc "$goal" -- "-p $core" -- \
            "$extract bench net -m $net -w $w -p fp32 -b 16 -n $n -t 1" \
            "$py $here/peers/ort.py $net -w $w -n $n" \
            "$py $here/peers/torch_eager.py $net -w $w -n $n" \
            "$py $here/peers/torch_eager.py $net -w $w -n $n --layout cl"
    done
}

net_bf16() {
    header "network only, bf16, 1 thread"
    have net-bf16 torch._inductor || return
    net=resnet50
    w=$(weights_of $net)
    need "$net" "$w" || return
    compare "$net" cpu ours,compile,eager-f32,eager-f32-nhwc eager-f32:cpu:4 -- "-p $core" -- \
        "$extract bench net -m $net -w $w -p bf16 -b 16 -n 128 -t 1" \
        "$py $here/peers/torch_compile_bf16.py $net -w $w -n 128" \
        "$py $here/peers/torch_eager.py $net -w $w -n 64" \
        "$py $here/peers/torch_eager.py $net -w $w -n 64 --layout cl"
}

# nets PRECISION: networks without a published checkpoint here; their speed does not depend on
# the weights, which are made by hash on our side and left as initialised on the peer's.
nets() {
    precision=$1
    header "network only, $precision, 1 thread, synthetic weights"
    have nets torch,timm || return
    need nets "$build/tools/hash_weights" || return
    for net in $nets; do
        w=$work/$net.safetensors
        gain=$(awk -F'\t' -v net="$net" '$1 == net { print $2; exit }' tests/golden/nets.tsv)
        "$build/tools/hash_weights" "$net" "$gain" "$w" || continue
        case $net in bit_*) b=2 n=4 ;; *_32x32 | wrn_*) b=32 n=128 ;; *) b=8 n=24 ;; esac
        case $net in vit_* | deit_* | swin_* | t2t_*) goal=1.0 ;; *) goal=1.2 ;; esac
        [ "$precision" = bf16 ] && goal=2.5
        eager="$py $here/peers/torch_eager.py $net -w none -b $b -n $n --warm 1"
        ours="$extract bench net -m $net -w $w -p $precision -b $b -n $n -t 1"
        goals=eager:cpu:$goal,eager-nhwc:cpu:$goal
        if [ "$precision" = fp32 ]; then
            compare "$net" cpu ours,eager,eager-nhwc $goals -- "-p $core" -- \
                "$ours" "$eager" "$eager --layout cl"
        else # the goal is against f32; autocast to bf16 stands beside it
            compare "$net" cpu ours,eager,eager-nhwc,autocast-nhwc $goals -- "-p $core" -- \
                "$ours" "$eager" "$eager --layout cl" "$eager --layout cl --dtype bf16"
        fi
        rm -f "$w"
    done
}

# gradients: forward and backward to the image beside our own forward pass, which they may cost 3.2 times, and
# beside PyTorch's autograd.
gradients() {
    header "forward and gradient at the image, f32, 1 thread"
    have gradients torch,timm || return
    need gradients "$build/tools/hash_weights" "$build/tools/gradient_speed" || return
    for net in $gradient_nets; do
        w=$work/$net.safetensors
        gain=$(awk -F'\t' -v net="$net" '$1 == net { print $2; exit }' tests/golden/nets.tsv)
        "$build/tools/hash_weights" "$net" "$gain" "$w" || continue
        case $net in bit_*) b=1 n=2 ;; *_32x32 | wrn_*) b=32 n=64 ;; *) b=8 n=16 ;; esac
        eager="$py $here/peers/torch_gradient.py $net -b $b -n $n"
        compare "$net" cpu ours,own-forward,autograd,autograd-nhwc own-forward:cpu:0.3125,autograd:cpu:1 -- \
            "-p $core" -- "$build/tools/gradient_speed $net $w gradient $b $n" \
            "$build/tools/gradient_speed $net $w forward $b $n" "$eager" "$eager --layout cl"
        rm -f "$w"
    done
}

score_rows() {
    header "fifteen rows, 20k train, 5k id, 4 x 2k ood"
    have score torch,sklearn,scipy,h5py || return
    "$py" "$here/peers/make_synthetic.py" -o "$work/synthetic" || return
    s=$work/synthetic
    ours="$score run --train $s/train.h5 --id $s/id.h5 --methods gen --set kl-matching.faithful=1 -j 2 --force --json $work/ours.json --markdown $work/ours.md"
    for k in 1 2 3 4; do ours="$ours --ood ood$k=$s/ood$k.h5"; done
    say "(script: its three per-sample rows run on $gen_limit samples a set and are scaled up linearly)"
    compare "score, 2 threads" cpu,wall,rss ours,script,numpy \
        script:cpu:100,script:wall:100,numpy:cpu:2,numpy:wall:2,script:rss:4 -- "-u 0 -w 13000 $two" -- "$ours" \
        "$py $here/peers/gen_script.py -d $s -t 2 --limit-test $gen_limit -o $work/script.json" \
        "$py $here/peers/fast_numpy.py -d $s -t 2 -o $work/numpy.json"
    [ -s "$work/ours.json" ] && "$py" "$here/peers/agree.py" "$work/ours.json" "$work/numpy.json"
}

# The K-th nearest of 20000 kept rows for 1000, one thread.
knn() {
    header "nearest neighbours, 20k kept rows, 1k rows"
    need knn "$build/tools/knn_bench" && have knn faiss || return
    for d in 512 1024 2048; do
        for k in 50 1000; do
            compare "knn, D $d, K $k" cpu,wall ours,faiss faiss:cpu:1.1 -- "-p $core" -- \
                "$build/tools/knn_bench 20000 1000 $d $k" "$py $here/peers/faiss_knn.py 20000 1000 $d $k"
        done
    done
}

startup() {
    header "start"
    for command in "$extract --version" "$score --version"; do
        "$ab" -t -r 20 -W -m wall,rss -l ours -- "$command" >"$work/ab.tsv" 2>"$work/ab.err" || {
            say "$command: skipped, $(sed -n 1p "$work/ab.err")"
            continue
        }
        awk -F'\t' -v name="${command#"$build"/}" '
            $2 == "wall" { printf "%-40s wall  %11.2f ms [%.2f-%.2f]   goal 20 ms   %s\n", name, $3 * 1e3,
                                  $4 * 1e3, $5 * 1e3, $3 < 0.020 ? "yes" : "NO" }
            $2 == "rss" { printf "%-40s rss   %11.1f MB\n", name, $3 / 1e6 }' "$work/ab.tsv"
    done
    have startup torch && compare "start, import torch" wall ours,torch "" -- "-W" -- "$extract --version" \
        "$py -c 'import torch, torchvision'"
}

main() {
    say "outpost bench, $(date -u +%Y-%m-%d), $cores cores, load $(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null)"
    sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1
    say "vector units: $(grep -m1 ^flags /proc/cpuinfo | tr ' ' '\n' | grep -E '^(avx2|avx512f|avx512_bf16|amx_bf16)$' | tr '\n' ' ')"
    [ -x "$py" ] && "$py" -c '
from importlib.metadata import version, PackageNotFoundError
def v(name):
    try: return version(name)
    except PackageNotFoundError: return "absent"
print("peers: " + ", ".join(n + " " + v(n) for n in
      ("torch", "torchvision", "timm", "onnxruntime", "numpy", "scipy", "scikit-learn", "pillow")))'
    say "rate: items per CPU second (cpu) or second (wall), medians of $rounds interleaved runs;"
    say "ratio > 1: ours is better; [least-greatest ratio of neighbouring runs]"
    for section in $sections; do
        case $section in
        decode) decode ;;
        entropy) entropy ;;
        net-f32) net_f32 ;;
        ort) ort ;;
        net-bf16) net_bf16 ;;
        nets) nets fp32 ;;
        nets-bf16) nets bf16 ;;
        gradients) gradients ;;
        score) score_rows ;;
        knn) knn ;;
        startup) startup ;;
        *) say "no section '$section'" ;;
        esac
    done
}

main | tee outputs/bench.txt
