#!/bin/sh
# From image lists to the table, as jobs: for each set of sets.txt an array of shards and, when all of them are done, a merge;
# when all sets are merged, the scores. Prints the ids of the jobs; running it again continues what is not finished.
#   MODEL=resnet50 WEIGHTS=resnet50.pth FEATURES=/scratch/me/resnet50 SHARDS=16 ./submit.sh sets.txt [options of sbatch...]
# sets.txt: lines ROLE NAME ROOT LIST; ROLE is train, id or ood. The options are for the arrays (--gpus-per-task=1);
# SCORE_SBATCH holds those of the score job.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 1 ] || { sed -n '2,7s/^# *//p' "$0"; exit 2; }
sets=$1
shift
: "${MODEL:?}" "${WEIGHTS:?}" "${FEATURES:?}" "${SHARDS:=8}"
mkdir -p "$FEATURES"
export MODEL WEIGHTS FEATURES SHARDS
after= TRAIN= ID= OOD=
while read -r role name ROOT LIST; do
    case $role in
    train) TRAIN=$name ;;
    id) ID=$name ;;
    ood) OOD="$OOD $name" ;;
    '' | '#'*) continue ;;
    *) echo "$sets: '$role' is not train, id or ood" >&2; exit 2 ;;
    esac
    OUT=$FEATURES/$name.h5
    [ -e "$OUT" ] && { echo "$name: there already"; continue; }
    export ROOT LIST OUT
    job=$(sbatch --parsable --job-name="extract-$name" --array="0-$((SHARDS - 1))" --output="$FEATURES/%x-%A_%a.log" "$@" \
        "$here/extract.sbatch" < /dev/null)
    export AFTER="$job"
    merge=$(sbatch --parsable --job-name="merge-$name" --dependency="afterok:$job" --kill-on-invalid-dep=yes \
        --output="$FEATURES/%x-%j.log" "$here/merge.sbatch" < /dev/null)
    echo "$name: extract $job, merge $merge"
    after="$after:$merge"
done < "$sets"
[ -n "$ID" ] && [ -n "$OOD" ] || { echo "$sets: a table needs an id set and at least one ood set" >&2; exit 2; }
export TRAIN ID OOD
AFTER=$(echo "${after#:}" | tr : ,)
export AFTER
# shellcheck disable=SC2086
job=$(sbatch --parsable ${SCORE_SBATCH:-} ${after:+--dependency="afterok$after" --kill-on-invalid-dep=yes} --output="$FEATURES/%x-%j.log" \
    "$here/score.sbatch" < /dev/null)
echo "score $job -> $FEATURES/results.md"
