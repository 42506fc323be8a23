#!/bin/sh
# The Slurm examples on a real Slurm of one node: TAP. `make check-slurm`.
#   OUTPOST_BUILD=build, OUTPOST_DATA as tests/cli/e2e.sh; needs root, slurmctld, slurmd (Debian: slurmctld slurmd slurm-client).
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
build=$(cd "$root" && cd "${OUTPOST_BUILD:-build}" && pwd) || exit 1
data=${OUTPOST_DATA:-$HOME/.cache/outpost-data}
skip_all() { echo "1..0 # SKIP $1"; exit 0; }
command -v slurmctld > /dev/null && command -v slurmd > /dev/null || skip_all "no slurmctld and slurmd"
[ "$(id -u)" -eq 0 ] || skip_all "not root"
. "$root/tests/slurm/cluster.sh"
tmp=$(mktemp -d) || exit 1
trap 'cluster_stop; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
n=0 failed=0
ok() {
    n=$((n + 1))
    [ "$1" -eq 0 ] && { echo "ok $n - $2"; return; }
    echo "not ok $n - $2"
    failed=1
    tail -n 2 "$FEATURES"/*.log 2> /dev/null | sed 's/^/# /'
    squeue | sed 's/^/# /'
}
cluster_start "$tmp/cluster" || { echo "Bail out! the cluster does not start"; tail "$tmp"/cluster/*.out; exit 1; }
export EXTRACT="$build/extract" SCORE="$build/score" DEVICE=cpu

# --- the whole pipeline on the drawn images --------------------------------------------------------------------
"$build/demo-images" "$tmp/demo" --scale 0.3 > /dev/null 2>&1 || exit 1
export FEATURES="$tmp/features" MODEL=demo WEIGHTS="$root/weights/demo.safetensors" SHARDS=4 OPTIONS='-t 1 -j 1' SCORE_SBATCH=--cpus-per-task=1
for s in 'train train' 'id id' 'ood texture' 'ood noise'; do
    echo "${s% *} ${s#* } $tmp/demo/images $tmp/demo/lists/${s#* }.txt"
done > "$tmp/sets"
jobs=$("$root/examples/slurm/submit.sh" "$tmp/sets" --cpus-per-task=1 | tee "$tmp/submitted" | sed -n 's/^score \([0-9]*\).*/\1/p')
ok $? "submit.sh: $(grep -c merge "$tmp/submitted") sets and a score job"
cluster_wait 300 "$jobs"
ok $? "every job is done, the last is job $jobs"
same=0
for s in train id texture noise; do
    "$EXTRACT" run -q -m demo -w "$WEIGHTS" -r "$tmp/demo/images" -l "$tmp/demo/lists/$s.txt" -o "$tmp/$s.h5" &&
        cmp "$tmp/$s.h5" "$FEATURES/$s.h5" && same=$((same + 1))
done
ok $((same != 4)) "$same of 4 sets have the bytes of one run"
"$SCORE" run -q --train "$tmp/train.h5" --id "$tmp/id.h5" --ood "texture=$tmp/texture.h5" "noise=$tmp/noise.h5" \
    --methods gen --json "$tmp/results.json" > /dev/null &&
    diff "$tmp/results.json" "$FEATURES/results.json" | grep '^[<>]' | grep -v '"seconds"\|"path"' > "$tmp/differ"
[ -s "$FEATURES/results.json" ] && [ ! -s "$tmp/differ" ] || { head "$tmp/differ"; false; }
ok $? "the results are those of one run, but for seconds and folders"
ls "$FEATURES"/*shard* > /dev/null 2>&1
ok $(($? == 0)) "no shard is left"

# --- preempted in the middle ----------------------------------------------------------------------------------------
if [ -d "$data/images/imagenet-sample" ]; then
    . "$root/tests/slurm/real.sh"
else
    n=$((n + 1))
    echo "ok $n - preemption over real images # SKIP no $data"
fi
echo "1..$n"
exit "$failed"
