# Part of run.sh: 400 real images in four shards, all running ones preempted in the middle.
{ cat "$data/lists/imagenet-sample.txt"; head -n 100 "$data/lists/imagenette-train.txt"; } > "$tmp/400.txt"
export FEATURES="$tmp/real" MODEL=resnet50 WEIGHTS="$data/weights/imagenet_resnet50_large_blocks.safetensors"
export ROOT="$data/images" LIST="$tmp/400.txt" OUT="$tmp/real/400.h5" SHARDS=4 KEEP_SHARDS=1
mkdir "$FEATURES"
job=$(sbatch --parsable --partition=normal --cpus-per-task=1 --array=0-3 --output="$FEATURES/%x-%A_%a.log" \
    "$root/examples/slurm/extract.sbatch")
merge=$(AFTER=$job sbatch --parsable --partition=normal --dependency="afterok:$job" --output="$FEATURES/%x-%j.log" \
    "$root/examples/slurm/merge.sbatch")
i=0
until [ -n "$(ls "$FEATURES"/400.shard-0-of-4.h5.journal 2> /dev/null)" ] || [ "$i" -gt 100 ]; do
    sleep 0.2
    i=$((i + 1))
done
sleep 3
urgent=$(sbatch --parsable --partition=urgent --exclusive --output="$FEATURES/urgent.log" --wrap 'sleep 2')
cluster_wait 60 "$urgent"
ok $? "an urgent job ran while the array was under way"
cluster_wait 600 "$job" "$merge"
ok $? "the array came to its end all the same, then the merge"
restarts=$(job_tasks "$job" | grep -o 'Restarts=[0-9]*' | cut -d= -f2 | paste -sd ' ')
echo "# restarts of the four shards: $restarts"
case $restarts in *[1-9]*) ok 0 "shards were requeued in the middle" ;; *) ok 1 "shards were requeued in the middle ($restarts)" ;; esac
grep -h 'stopped by\|continuing after' "$FEATURES"/outpost-extract-*.log | sed "s|$tmp||; s/^/# /"
grep -q 'continuing after' "$FEATURES"/outpost-extract-*.log
ok $? "a requeued shard went on where it had been stopped"
"$EXTRACT" run -q -m "$MODEL" -w "$WEIGHTS" -r "$ROOT" -l "$LIST" -o "$tmp/400.h5" -t 2 -b 16 && cmp "$tmp/400.h5" "$OUT"
ok $? "400 real images in 4 shards with requeues, merged: the bytes of one run"
"$EXTRACT" inspect "$OUT" | sed -n '1s/.*digest /# digest /p'
