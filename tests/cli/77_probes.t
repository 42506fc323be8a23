#!/bin/sh
# Probes, gradients and f16 datasets from the command line: what is stored and recorded, interruption, refusals.
# Their values are in 78_probe_values.t.
. "$(dirname "$0")/e2e.sh"
demo_images 1
[ -n "$python" ] || skip_all "no Python with h5py and numpy"
list=$lists/id.txt
holds() { # holds SENTENCE CHECK ARGUMENTS...: tests/cli/probe_values.py agrees
    say=$1
    shift
    "$python" "$helpers/probe_values.py" "$@" > "$out" 2> "$err"
    ok $? "$say"
    sed 's/^/# /' "$out"
}
probed() { # probed WANTED ARGUMENTS...: the demo network on the plain backend, whose adjoints are always there
    want=$1
    shift
    demo "$want" -d "$device" -r "$images" -l "$list" "$@"
}
device=${OUTPOST_PROBE_DEVICE:-cpu}

# --- what is stored --------------------------------------------------------------------------------------
all="--probe odin:T=1/1000,eps=0.0014/0.01 --probe iodin:std=cifar10 --probe nac:pieces=yes --probe adascale
 --probe gap --probe gap:pool=channels,layers=layer2 --probe rankfeat --probe gram:powers=2
 --probe rankweight:weights=fc.weight"
dumps="--dump features,logits,gradients:layer2,gradients:layer3:mean:f16,gradients:image --scalar ce:2"
probed 0 -o "$tmp/a.h5" --limit 8 $all $dumps --tap layer1:max:f16
ok $? "every probe of the demo network in one run"
holds "shapes, types, and beside each dataset how it was made" made "$tmp/a.h5"
holds "the provenance has the probes with resolved options" provenance "$tmp/a.h5"
"$extract" check "$tmp/a.h5" > "$out" 2> "$err" && grep -q ': ok' "$out"
ok $? "check: every block of the new datasets"
"$extract" inspect "$tmp/a.h5" > "$out" 2> "$err" && grep -q '/probes/nac/layer2  *f32 *\[8,32\]' "$out" &&
    grep -q '/gradients/layer3:mean  *f16 *\[8,64\]' "$out" && grep -q '^  probes: ' "$out"
ok $? "inspect: datasets and options"
demo 0 -d "$device" -r "$images" -l "$list" -o "$tmp/plain.h5" --limit 8
holds "features and logits are those of a run without probes" same "$tmp/a.h5" "$tmp/plain.h5" features logits
probed 0 -o "$tmp/one.h5" --limit 8 -b 3 --probe odin:T=1000,eps=0.01 --dump logits
holds "a probe alone, in batches of 3, has the bits that it has beside others" same "$tmp/one.h5" "$tmp/a.h5" \
    probes/odin/T=1000,eps=0.01/logits

# --- f16 -------------------------------------------------------------------------------------------------
probed 0 -o "$tmp/half.h5" --limit 8 --dump features:f16,logits:f16,gradients:layer3:mean --scalar ce:2 --tap layer1:max
ok $? "--dump features:f16,logits:f16"
holds "f16 is the f32 rounded to nearest even, by numpy" halves "$tmp/half.h5" "$tmp/a.h5"
probed 3 -o "$tmp/big.h5" --limit 8 --probe gram:powers=1,layers=layer1,type=f16 --prep cifar:std=0.001/0.001/0.001 && said "a value above 65504 is no f16"
ok $? "a value that f16 does not hold: the row is flagged, exit 3"
holds "its row is NaN in every dataset of the network" flagged "$tmp/big.h5"
for set in id texture; do
    for t in '' :f16; do
        demo 0 -r "$images" -l "$lists/$set.txt" -o "$tmp/$set$t.h5" --limit 60 --dump "features$t,logits$t"
    done
done
for t in '' :f16; do
    "$score" run --id "$tmp/id$t.h5" --ood "$tmp/texture$t.h5" --methods msp,energy,maxlogit --json "$tmp/scores$t.json" \
        > "$out" 2> "$err"
    ok $? "score reads $([ -n "$t" ] && echo f16 || echo f32) features"
done
holds "AUROC from f16 features is that from f32 within 1e-3" auroc "$tmp/scores.json" "$tmp/scores:f16.json" 1e-3

# --- interruption, other settings --------------------------------------------------------------------------
some="--probe odin --probe nac:type=f16 --dump features,logits,gradients:layer3:sum"
demo 0 -d "$device" -r "$images" -l "$list" -o "$tmp/whole.h5" --limit 40 $some
ok $? "40 images unbroken"
repeat 4 "$list" > "$tmp/long"
repeat 40 "$list" > "$tmp/huge"
long_run() { # long_run LIST WANTED ARGUMENTS...
    l=$1
    want=$2
    shift 2
    demo "$want" -d "$device" -r "$images" -l "$l" $some -b 8 "$@"
}
long_run "$tmp/long" 0 -o "$tmp/unbroken.h5"
ok $? "$(wc -l < "$tmp/long") images unbroken"
long_run "$tmp/long" 75 -o "$tmp/s.h5" --stop-after 0.2s && said 'stopped by --stop-after'
ok $? "--stop-after: exit 75"
long_run "$tmp/long" 0 -o "$tmp/s.h5" && said 'continuing after' && cmp "$tmp/s.h5" "$tmp/unbroken.h5"
ok $? "continued by the same command, the same bytes"
"$extract" run -m demo -w "$root/weights/demo.safetensors" -d "$device" -r "$images" -l "$tmp/huge" -o "$tmp/k.h5" \
    $some -b 8 > "$out" 2> "$err" &
pid=$!
while [ ! -s "$tmp/k.h5.journal" ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
sleep 2.5
kill -KILL $pid
wait $pid 2> /dev/null
[ -e "$tmp/k.h5.part" ] && long_run "$tmp/huge" 75 -o "$tmp/k.h5" --stop-after 0.1s && said 'continuing after'
ok $? "kill -9: the same command continues"
probed 0 -o "$tmp/whole.h5" --limit 40 $some && said 'is complete already: 40 images'
ok $? "a finished file is recognised"
for i in 0 1 2; do
    probed 0 -o "$tmp/part.h5" --limit 40 $some --shard $i/3 || echo "# shard $i"
done
"$extract" merge -o "$tmp/merged.h5" "$tmp"/part*.h5 > "$out" 2> "$err" && cmp "$tmp/merged.h5" "$tmp/whole.h5"
ok $? "three shards, merged: the same bytes"
differs() { # differs WORDS ARGUMENTS...
    words=$1
    shift
    probed 4 -o "$tmp/whole.h5" --limit 40 "$@" && said "$words" && said '--force' && one_line
    ok $? "other settings: exit 4, '$words'"
}
dumped="--dump features,logits,gradients:layer3:sum"
differs outputs --probe odin $dumped
differs outputs --probe odin:eps=0.002 --probe nac:type=f16 $dumped
differs outputs --probe odin:zero=none --probe nac:type=f16 $dumped
differs outputs --probe odin --probe nac $dumped
differs outputs $some --scalar max
probed 0 -o "$tmp/whole.h5" --limit 4 --probe odin:zero=none --force
holds "--force makes it anew" rows "$tmp/whole.h5" 4

# --- refusals: one line, nothing written -------------------------------------------------------------------
usage() { # usage WORDS ARGUMENTS...
    words=$1
    shift
    probed 2 -o "$tmp/no.h5" "$@" && said "$words" && one_line && nothing_at "$tmp/no.h5"
    ok $? "exit 2, one line with '$words', nothing written"
}
usage "no probe 'odn'; did you mean odin?" --probe odn
usage "probe odin has no option 'ep'; did you mean eps?" --probe odin:ep=1
usage "allowed is" --probe odin:eps=0
usage "demo has no tap 'layer9'" --probe nac:layers=layer9
usage "is asked for twice" --probe odin --probe odin
usage "needs --stats FILE" --probe mahalanobis
usage "no gradients are asked for by --dump" --scalar max
usage "no 'entropy'; ce, ce:TEMPERATURE" --dump gradients:layer1 --scalar entropy
usage "f16 behind them" --tap layer1:f16:mean
"$python" "$helpers/probe_values.py" statistics "$tmp" > "$out" 2> "$err" || echo "Bail out! statistics"
refused() { # refused FILE WORDS
    probed 4 -o "$tmp/no.h5" --probe mahalanobis:layers=layer1 --stats "$1" && said "$2" && one_line && nothing_at "$tmp/no.h5"
    ok $? "--stats ${1##*/}: exit 4, '$2'"
}
refused "$tmp/nothing.h5" 'nothing.h5'
refused "$tmp/a.h5" 'not a file of statistics'
refused "$tmp/lacking.h5" 'no /layers/layer1/means'
refused "$tmp/narrow.h5" 'the layer has 16 channels'
refused "$tmp/lopsided.h5" 'the layer has 16 channels'
refused "$tmp/nan.h5" 'is not a finite f32'
refused "$tmp/text.h5" 'not a matrix of f32 or f64'
probed 0 -o "$tmp/m.h5" --limit 4 --probe mahalanobis:layers=layer1,eps=0/0.01 --probe mdsens --stats "$tmp/good.h5"
ok $? "--stats good.h5"
holds "its name and digest are in the provenance" digest "$tmp/m.h5" "$tmp/good.h5"
probed 0 -o "$tmp/m.h5" --limit 4 --probe mahalanobis:layers=layer1,eps=0/0.01 --probe mdsens --stats "$tmp/good.h5" &&
    said 'is complete already'
ok $? "the same statistics: complete already"
probed 4 -o "$tmp/m.h5" --limit 4 --probe mahalanobis:layers=layer1,eps=0/0.01 --probe mdsens --stats "$tmp/other.h5" &&
    said 'probes' && one_line
ok $? "other statistics: exit 4, said so"

# --- words -------------------------------------------------------------------------------------------------
"$extract" probes > "$tmp/list" 2> "$err" && [ ! -s "$err" ] && [ "$(wc -l < "$tmp/list")" -ge 10 ]
ok $? "probes: a line for each"
missed=
while read -r name _; do
    "$extract" probes "$name" > "$out" 2> "$err" && grep -q "^  paper " "$out" && grep -q "^options (--probe $name:" "$out" &&
        grep -q "^  datasets /probes/$name/: " "$out" || missed="$missed $name"
done < "$tmp/list"
is "$missed" '' "probes NAME: paper, datasets and options of each"
"$extract" probes gama > "$out" 2> "$err"
[ $? -eq 2 ] && said 'did you mean gap?' && one_line
ok $? "probes gama: exit 2, the near one offered"
"$extract" models resnet50 > "$out" 2> "$err" && grep -q '^  nac  *avgpool/layer3/layer2/layer1$' "$out" &&
    grep -q '^  rankfeat  *last=layer4,earlier=layer3$' "$out"
ok $? "models resnet50: probes and their layers"
finish
