#!/bin/sh
# extract run --shard and extract merge: the merged file has the bytes of one run, whatever the cut; what is not all
# shards of one run is refused; the batch systems' variables.
. "$(dirname "$0")/e2e.sh"
demo_images 0.04
list=$lists/train.txt
rows=$(grep -c . "$list")
tap='--tap layer3:mean'
merge() { # merge WANTED ARGUMENTS...
    want=$1
    shift
    "$extract" merge "$@" > "$out" 2> "$err"
    got=$?
    [ "$got" -eq "$want" ] || { echo "# exit $got, not $want: extract merge $*"; return 1; }
}
cut() { # cut N NAME ARGUMENTS...: all shards
    shards=$1 name=$2 i=0
    shift 2
    while [ "$i" -lt "$shards" ]; do
        demo 0 -q -r "$images" -l "$list" -o "$tmp/$name.h5" --shard "$i/$shards" "$@" || return 1
        i=$((i + 1))
    done
}

# --- the same bytes ---------------------------------------------------------------------------------------
demo 0 -r "$images" -l "$list" -o "$tmp/whole.h5" $tap
ok $? "a run without shards: $rows rows, with $tap"
counts='1 2 3 7 16'
[ -n "$long" ] && counts="$counts 5 31 $rows"
for count in $counts; do
    cut "$count" "s$count" $tap && merge 0 -o "$tmp/m$count.h5" "$tmp/s$count".shard-*-of-"$count.h5" &&
        cmp "$tmp/whole.h5" "$tmp/m$count.h5"
    ok $? "$count shards, merged: the bytes of one run"
done
check "the shards are files of their own" test "$(ls "$tmp"/s3.shard-*.h5 | wc -l)" -eq 3
check "nothing but the merged file is left" test "$(cd "$tmp" && echo m3.h5*)" = m3.h5
merge 0 -o "$tmp/m7r.h5" $(ls "$tmp"/s7.shard-* | sort -r) && cmp "$tmp/whole.h5" "$tmp/m7r.h5"
ok $? "the order of the arguments does not count"
merge 0 -o "$tmp/m3.h5" "$tmp"/s3.shard-* && said 'complete already'
ok $? "merging again: complete already"
cut 3 lim --limit 10 && merge 0 -o "$tmp/lim.h5" "$tmp"/lim.shard-* &&
    demo 0 -q -r "$images" -l "$list" -o "$tmp/lim1.h5" --limit 10 && cmp "$tmp/lim.h5" "$tmp/lim1.h5"
ok $? "--limit counts before the cut"

# --- bad images, interruption --------------------------------------------------------------------------------
mkdir "$tmp/im"
cp "$images/$(sed -n 's/ [0-9]*$//;1p' "$list")" "$tmp/im/good" && mv "$tmp/im/good" "$tmp/im/good.png"
: > "$tmp/im/empty.png"
printf '%s\n' empty.png good.png gone.png good.png empty.png > "$tmp/five"
for i in 0 1 2; do demo 3 -q -r "$tmp/im" -l "$tmp/five" -o "$tmp/bad.h5" --shard $i/3 || break; done
ok $? "a shard with bad images: exit 3, as without shards"
demo 3 -q -r "$tmp/im" -l "$tmp/five" -o "$tmp/bad1.h5"
merge 0 -o "$tmp/badm.h5" "$tmp"/bad.shard-* && cmp "$tmp/bad1.h5" "$tmp/badm.h5"
ok $? "merged: the same rows flagged"
repeat 40 "$list" > "$tmp/many"
demo 75 -q -r "$images" -l "$tmp/many" -o "$tmp/stop.h5" --shard 1/2 --stop-after 0.05s
ok $? "--stop-after in a shard: exit 75"
demo 0 -q -r "$images" -l "$tmp/many" -o "$tmp/stop.h5" --shard 1/2 &&
    demo 0 -q -r "$images" -l "$tmp/many" -o "$tmp/stop.h5" --shard 0/2 && merge 0 -o "$tmp/stop.h5" "$tmp"/stop.shard-* &&
    demo 0 -q -r "$images" -l "$tmp/many" -o "$tmp/stop1.h5" && cmp "$tmp/stop.h5" "$tmp/stop1.h5"
ok $? "... and continued: the same bytes, merged into the name that the shards were made from"

# --- what is refused -----------------------------------------------------------------------------------------
no() { # no SENTENCE WORDS SHARDS...: exit 4, one line, nothing written
    say=$1 words=$2
    shift 2
    merge 4 -o "$tmp/no.h5" "$@" && said "$words" && one_line && nothing_at "$tmp/no.h5"
    ok $? "refused: $say: '$words'"
}
s=$tmp/s3.shard
no "a shard is missing" "shard 1 of 3 is missing" "$s-0-of-3.h5" "$s-2-of-3.h5"
no "the last is missing" "shard 2 of 3 is missing" "$s-0-of-3.h5" "$s-1-of-3.h5"
no "one twice" "are both shard 1 of 3" "$s-0-of-3.h5" "$s-1-of-3.h5" "$s-1-of-3.h5" "$s-2-of-3.h5"
no "of different cuts" "one of 2" "$s-0-of-3.h5" "$tmp/s2.shard-1-of-2.h5"
no "a whole file" "is no shard but a whole file" "$tmp/whole.h5"
demo 0 -q -r "$images" -l "$list" -o "$tmp/o.h5" --shard 1/3
no "other outputs" "outputs is" "$s-0-of-3.h5" "$tmp/o.shard-1-of-3.h5" "$s-2-of-3.h5"
sed '1d' "$list" > "$tmp/other.txt"
demo 0 -q -r "$images" -l "$tmp/other.txt" -o "$tmp/l.h5" --shard 1/3 $tap
no "another list" "list" "$s-0-of-3.h5" "$tmp/l.shard-1-of-3.h5" "$s-2-of-3.h5"
no "not there" "gone.h5" "$s-0-of-3.h5" "$tmp/gone.h5" "$s-2-of-3.h5"
no "no feature file" "$(basename "$list")" "$s-0-of-3.h5" "$list" "$s-2-of-3.h5"
cp "$s-1-of-3.h5" "$tmp/hurt.h5"
size=$(wc -c < "$tmp/hurt.h5")
hurt=0
for k in 1 2 3 4 5; do # a bit in the middle fifths of the file
    cp "$s-1-of-3.h5" "$tmp/hurt.h5"
    at=$((size * k / 6))
    byte=$(od -An -tu1 -j "$at" -N 1 "$tmp/hurt.h5" | tr -d ' ')
    printf "\\$(printf %03o $((byte ^ 16)))" | dd of="$tmp/hurt.h5" bs=1 seek="$at" conv=notrunc 2> /dev/null
    merge 4 -o "$tmp/no.h5" "$s-0-of-3.h5" "$tmp/hurt.h5" "$s-2-of-3.h5" && nothing_at "$tmp/no.h5" && hurt=$((hurt + 1))
done
is "$hurt" 5 "refused: a flipped bit, 5 of 5"
merge 4 -o "$tmp/whole.h5" "$tmp"/lim.shard-* && cmp "$tmp/whole.h5" "$tmp/m3.h5"
ok $? "another file of that name is not overwritten"
merge 0 -o "$tmp/m2.h5" --force "$tmp"/lim.shard-* && cmp "$tmp/m2.h5" "$tmp/lim.h5"
ok $? "--force does it"
usage() { # usage SHARD WORDS
    demo 2 -r "$images" -l "$list" -o "$tmp/no.h5" --shard "$1" && said "$2" && one_line && nothing_at "$tmp/no.h5"
    ok $? "--shard $1: '$2'"
}
for bad in '' 3 /3 3/ 1/0 -1/3 1/3x a/b 1/99999999999 99999999999/3; do usage "$bad" "not I/N"; done
usage 3/3 "the last of 3 shards is 2/3"
usage 0/1000000 "cannot be cut into 1000000 shards"
usage autox "auto or auto/N"
usage auto "no task of a job array"

# --- batch systems -------------------------------------------------------------------------------------------
auto() { # auto SENTENCE SHARD NAME WANTED-FILE VARIABLES...
    say=$1 text=$2 want=$3
    shift 3
    rm -f "$tmp"/auto.*
    env "$@" "$extract" run -q -m demo -w "$root/weights/demo.safetensors" -r "$images" -l "$list" -o "$tmp/auto.h5" \
        --shard "$text" > "$out" 2> "$err"
    is "$(cd "$tmp" && echo auto.*)" "auto.shard-$want.h5" "$say: shard $want"
}
auto "Slurm array 0-3" auto 2-of-4 SLURM_ARRAY_TASK_ID=2 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=3 SLURM_ARRAY_TASK_COUNT=4
auto "Slurm array 1-4" auto 3-of-4 SLURM_ARRAY_TASK_ID=4 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=4
auto "Slurm array 0-6:2" auto 2-of-4 SLURM_ARRAY_TASK_ID=4 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=6 SLURM_ARRAY_TASK_STEP=2
auto "Slurm array, one task submitted again" auto/4 3-of-4 SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_MAX=3
auto "a Slurm step of 3 tasks" auto 1-of-3 SLURM_PROCID=1 SLURM_NTASKS=3
auto "a Slurm array of 2 with 3 tasks each" auto 4-of-6 SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=1 SLURM_PROCID=1 SLURM_NTASKS=3
auto "SGE array 1-4" auto 1-of-4 SGE_TASK_ID=2 SGE_TASK_FIRST=1 SGE_TASK_LAST=4 SGE_TASK_STEPSIZE=1
auto "LSF array 1-4" auto 0-of-4 LSB_JOBINDEX=1 LSB_JOBINDEX_END=4 LSB_JOBINDEX_STEP=1
auto "PBS array 0-3" auto/4 3-of-4 PBS_ARRAY_INDEX=3
auto "PBS array 1-4" auto/4 0-of-4 PBS_ARRAY_INDEX=4
demo_env() { env "$@" "$extract" run -m demo -w "$root/weights/demo.safetensors" -r "$images" -l "$list" -o "$tmp/no.h5" --shard auto > "$out" 2> "$err"; }
demo_env PBS_ARRAY_INDEX=3
is "$?" 2 "PBS without a number: exit 2"
check "... which says what to write" said "say --shard auto/N"
demo_env SGE_TASK_ID=undefined
is "$?" 2 "SGE outside of an array: exit 2"
demo_env LSB_JOBINDEX=0
is "$?" 2 "LSF outside of an array: exit 2"
finish
