#!/bin/sh
# extract doctor: a line for each thing a run needs, and exit status 5 for what it cannot have.
. "$(dirname "$0")/e2e.sh"
doctor() { # doctor WANTED ARGUMENTS...
    want=$1
    shift
    "$extract" doctor "$@" > "$out" 2> "$err"
    got=$?
    [ "$got" -eq "$want" ] || { echo "# exit $got, not $want: extract doctor $*"; return 1; }
}
doctor 0 --dir "$tmp"
ok $? "it runs"
for line in processor memory CUDA batch folder; do
    check "it speaks of: $line" grep -q "^$line" "$out"
done
check "no control bytes" no_control_bytes "$out"
check "the kernels are those of --version" grep -qF "$("$extract" --version | sed -n 's/^kernels *//p') kernels" "$out"
doctor 0 -d cpu --dir "$tmp" && grep -q 'cpu: ready' "$out"
ok $? "-d cpu is ready"
doctor 2 -d gpu --dir "$tmp" && said "no device 'gpu'"
ok $? "an unknown device: exit 2"
doctor 5 --dir "$tmp/nowhere" && said nowhere && one_line
ok $? "a folder that is not there: exit 5"
OUTPOST_PLUGIN_DIR=$tmp doctor 5 -d cuda --dir "$tmp" && said "no CUDA plugin" && one_line
ok $? "no plugin: exit 5 with -d cuda"
OUTPOST_PLUGIN_DIR=$tmp doctor 0 --dir "$tmp"
ok $? "... and only a line without"
SLURM_ARRAY_TASK_ID=2 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=3 doctor 0 --dir "$tmp" && grep -q 'task 2 of 4' "$out"
ok $? "a task of a job array is recognised"
OUTPOST_CPU=base doctor 0 --dir "$tmp" && grep -q 'slow: no AVX2' "$out"
ok $? "kernels without vectors are called slow"
finish
