#!/bin/sh
# From images to scores for every method over probes, with the demo network: what extract stores is what score reads.
. "$(dirname "$0")/e2e.sh"
[ -z "$sanitized" ] || skip_all "a sanitizer makes the demo's gradients too slow; the parts are in 41 and 77"
demo_images 1
[ -x "$build/score" ] || skip_all "no $build/score"
got() { # got SET PROBES...: features of a set
    set=$1
    shift
    demo 0 -d cpu -r "$images" -l "$lists/$set.txt" -o "$tmp/$set.h5" --limit 120 "$@"
}
got train --probe gap --probe nac --probe gram
ok $? "extract: gap, nac and gram over the train set"
"$build/score" fit -q --train "$tmp/train.h5" -o "$tmp/stats.h5" > "$out" 2> "$err"
ok $? "score fit"
probes="--probe odin --probe iodin --probe nac --probe rankfeat --probe rankweight:weights=fc.weight --probe gram --probe adascale
 --probe mdsens --probe mahalanobis:eps=0/0.002 --stats $tmp/stats.h5"
# shellcheck disable=SC2086
got id $probes && got near $probes && got noise $probes
ok $? "extract: every probe over the test sets, with the statistics of score fit"
# shellcheck disable=SC2086
got glyphs $probes --probe mahalanobis:eps=0/0.002,fgsm=0.05
ok $? "extract: and the FGSM images of a validation set"
methods=odin:eps=0.0014,iodin,nac:build=all,nac-v0,rankfeat,rankfeat:blocks=last:clip=1,rankweight,rankweight:removals=published
methods=$methods,gram,gram:form=leaderboard,adascale-a,adascale-l,mdsens,mahalanobis-layers
"$build/score" run --train "$tmp/train.h5" --id "$tmp/id.h5" --ood "$tmp/near.h5" "$tmp/noise.h5" --val-id "$tmp/glyphs.h5" \
    --methods "$methods" --csv "$tmp/t.csv" > "$out" 2> "$err" && ! grep -q 'not in the table' "$out"
ok $? "score run: every method runs"
sed 's/^/# /' "$out" "$err" | tail -40
"$build/score" sweep -q -m odin --preset openood --val-id "$tmp/id.h5" --val-ood "$tmp/near.h5" > "$out" 2> "$err" &&
    grep -q 'could not be run' "$out"
ok $? "score sweep: steps without a table are told"
"$build/score" sweep -q -m nac:build=all -g o=5,50 -g m=50,200 --train "$tmp/train.h5" --val-id "$tmp/id.h5" \
    --val-ood "$tmp/near.h5" > "$out" 2> "$err" && grep -q 'nac:build=all: 4 settings' "$out"
ok $? "score sweep: nac"
finish
