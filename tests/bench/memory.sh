#!/bin/sh
# memory.sh [BUILD] [NET...]: peak memory of networks on the CPU at batch 1 and 16, as rows of a table.
# Weights are made by hash (tests/tools/hash_weights.c; `make bench` builds it): memory does not depend on them.
# Without networks: all that `extract models` lists.
#
# Peak and activations with the gradient at the image are those of build/tools/gradient_speed, batch 16.
# Peak: the largest resident set of `extract bench net`, which includes the pages of the mapped
# checkpoint as long as they are needed; activations: what the backend keeps for them.
#
# THREADS      worker threads [2]              BATCHES   [1 16]
# PRECISIONS   fp32 and what else [fp32]       BENCH_WORK   folder for the weights
set -u
build=${1:-build}
[ $# -gt 0 ] && shift
work=${BENCH_WORK:-${XDG_CACHE_HOME:-$HOME/.cache}/outpost-bench}
extract=$build/extract
golden=$(dirname "$0")/../golden/nets.tsv
nets=${*:-$("$extract" models | awk 'NR > 1 && $1 != "demo" { print $1 }')}
threads=${THREADS:-2}
mkdir -p "$work" || exit 1
weights=$work/memory.$$.safetensors
log=$work/memory.$$.log
trap 'rm -f "$weights" "$log"' EXIT
trap 'exit 1' INT TERM
for tool in "$extract" "$build/bench/ab" "$build/tools/hash_weights" "$build/tools/gradient_speed"; do
    [ -x "$tool" ] || { echo "$tool is not there: make bench builds it" >&2; exit 1; }
done

# Peak and activations of one command in MiB: "PEAK ACTIVATIONS".
measure() { # measure 'COMMAND'
    "$build/bench/ab" -t -r 1 -W -m rss -l peak -- "sh -c '$1 >$log'" |
        awk -F'\t' -v log_file="$log" '
            $2 == "rss" {
                while ((getline line < log_file) > 0)
                    if (match(line, /[0-9]+ MiB/)) held = substr(line, RSTART, RLENGTH - 4)
                printf "%.0f %s\n", $3 / 1048576, held
            }'
}

row() { # row WHAT PRECISION BATCH 'COMMAND'
    figures=$(measure "$4")
    if [ -z "$figures" ]; then
        echo "$1, $2, batch $3: failed" >&2
        failed=1
        return
    fi
    echo "| \`$1\` | $2 | $3 | $size | ${figures% *} | ${figures#* } |"
}

echo "| network | precision | batch | checkpoint MiB | peak MiB | activations MiB |"
echo "|---|---|---|---|---|---|"
failed=0
for net in $nets; do
    gain=$(awk -F'\t' -v net="$net" '$1 == net { print $2; exit }' "$golden")
    "$build/tools/hash_weights" "$net" "${gain:-1}" "$weights" || { failed=1; continue; }
    size=$(($(wc -c <"$weights") / 1048576))
    for precision in ${PRECISIONS:-fp32}; do
        for batch in ${BATCHES:-1 16}; do
            row "$net" "$precision" "$batch" \
                "$extract bench net -m $net -w $weights -p $precision -b $batch -n $batch -t $threads"
        done
        row "$net, gradient" "$precision" 16 \
            "$build/tools/gradient_speed $net $weights gradient 16 16 $threads $precision"
    done
done
exit $failed
