#!/bin/sh
# score compare: two results, published tables, paired tests.  TAP.
LC_ALL=C
export LC_ALL
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
score=$(cd "$root" && cd "${OUTPOST_BUILD:-build}" 2>/dev/null && pwd)/score
data=$root/tests/cli/data/score
[ -x "$score" ] || { echo "1..0 # SKIP no $score"; exit 0; }
OUTPOST_PUBLISHED=$root/docs/published
export OUTPOST_PUBLISHED
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
cd "$data" || exit 1
count=0
failed=0

ok() { # STATUS WORDS: STATUS 0 is good
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $count - $2"
    else
        failed=1
        echo "not ok $count - $2"
        sed 's/^/# /' "$tmp/err" | head -5
    fi
}

run() { # leaves out, err, and the status in $rc
    "$score" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    rc=$?
}

refuse() { # STATUS PATTERN WORDS ARGUMENTS...
    want=$1 pattern=$2 words=$3
    shift 3
    run compare "$@"
    [ "$rc" -eq "$want" ] && [ ! -s "$tmp/out" ] && grep -q -- "$pattern" "$tmp/err" &&
        [ "$(tail -n 1 "$tmp/err" | cut -c 1-6)" = "score:" ]
    ok $? "$words (exit $want)"
}

has() { grep -q -- "$2" "$1"; }

a=$tmp/a b=$tmp/b
"$score" run -q --train train.h5 --id id.h5 --csid c=id_bad.h5 --ood texture.h5 far.h5 -m msp,vim,energy --json $a.json --scores $a.h5 >"$tmp/out" 2>"$tmp/err"
"$score" run -q --train train.h5 --id id.h5 --csid c=id_bad.h5 --ood texture.h5 far.h5 -m msp,vim,gen --set vim.dim=3 --json $b.json --scores $b.h5 >"$tmp/out" 2>"$tmp/err"
"$score" run -q --train train.h5 --id id.h5 --ood texture.h5 far.npy -m msp,vim,gen --scores $tmp/c.h5 >"$tmp/out" 2>"$tmp/err"

# --- two results ----------------------------------------------------------------------------------
run compare $a.json $b.json
[ $rc -eq 0 ] && has "$tmp/out" "^method  *set  *metric  *A  *B  *difference$" && has "$tmp/out" "^vim  *full texture  *AUROC" &&
    has "$tmp/out" "only on one side" && ! has "$tmp/out" "^gen"
ok $? "two results: what both have"
run compare $a.json $a.json --metrics auroc,ap_in
[ $rc -eq 0 ] && has "$tmp/out" "largest difference +0.00" && has "$tmp/out" "AP-in" && ! has "$tmp/out" "FPR95"
ok $? "a result with itself; metrics by name"
run compare $a.json $b.json --scores $a.h5 $b.h5 --csv "$tmp/c.csv"
[ $rc -eq 0 ] && has "$tmp/out" "difference  *95 % interval  *p$"; ok $? "scores add the paired test"
refuse 4 "is not that of" "scores of other results" $a.json $b.json --scores $b.h5 $a.h5
refuse 2 "no metric 'aurok'; did you mean 'auroc'" "a wrong metric" $a.json $b.json --metrics aurok
refuse 2 "give two results" "one result" $a.json
refuse 2 "two files of the two results" "one file of scores for two results" $a.json $b.json --scores $a.h5
refuse 4 "Is a directory\|not JSON\|No such" "a folder" . $b.json
refuse 4 "no.json: No such file" "no file" "$tmp/no.json" $b.json
printf '{"format":"outpost-results","version":1,"rows":[{"method":"m","ood":"o","params":{},"auroc":7}],"mean":[]}' >"$tmp/x.json"
refuse 4 "rows.0.: 'auroc' is not a number from 0 to 1" "an AUROC of seven" "$tmp/x.json" $b.json
printf '{"format":"outpost-results","version":2}' >"$tmp/x.json"
refuse 4 "version 1" "another version" "$tmp/x.json" $b.json
printf '{"format":"outpost-results","version":1,"rows":{},"mean":[]}' >"$tmp/x.json"
refuse 4 "'rows' is not an array" "rows of another kind" "$tmp/x.json" $b.json
printf '{"format":' >"$tmp/x.json"
refuse 4 "not JSON: line 1" "half a file" "$tmp/x.json" $b.json

# --- published tables -----------------------------------------------------------------------------
refuse 2 "did you mean 'vim'; *there are\|did you mean 'vim'?; there are .*openood-imagenet1k" "a wrong name" $a.json -p vmi
refuse 2 "say which by --model" "a result of an unknown model" $a.json -p vim
refuse 2 "no model 'resnet5'.*bit_s_r101x1" "a wrong model" $a.json -p vim --model resnet5
run compare $a.json -p vim --model BiT-S_r101x1 --csv "$tmp/p.csv"
[ $rc -eq 0 ] && has "$tmp/out" "^Table 2  *vim  *texture  *AUROC .* 98.92 " && ! has "$tmp/out" " mean "
ok $? "ours minus published; a mean over other sets is left out"
for n in 1 2 3 4; do
    printf '{"method":"msp","params":{},"ood":"%s","auroc":0.5,"fpr95_vim":0.25},' $(echo OpenImage-O textures iNaturalist ImageNet-o | cut -d' ' -f $n)
done | sed 's/,$//; s/.*/{"format":"outpost-results","version":1,"model":"vit_base_patch16_384","rows":[&],"mean":[{"method":"msp","group":null,"auroc":0.5,"fpr95_vim":0.25}]}/' >"$tmp/x.json"
run compare "$tmp/x.json" --published vim
[ $rc -eq 0 ] && [ "$(grep -c '^Table 2' "$tmp/out")" -eq 10 ] && has "$tmp/out" "mean  *AUROC  *50.00  *89.40  *-39.40"
ok $? "all four sets, names in other spelling, and their mean"
printf 'table,model,method,set,metric,value,source\nT,m,"vim:dim=3",texture,auroc,"90.5",x\nT,m,vim:dim=4,texture,auroc,90.5,x\n' >"$tmp/own.csv"
run compare $b.json -p "$tmp/own.csv" --model m
[ $rc -eq 0 ] && [ "$(grep -c '^T  *vim' "$tmp/out")" -eq 1 ]; ok $? "a method with options matches those of the result"
for line in 'T,m,msp,s,auroc,90' 'T,m,msp,s,auroc,90,x,y' 'T,m,msp,s,aurok,90,x' 'T,m,msp,s,auroc,900,x' 'T,m,msp,s,auroc,,x' 'T,m,ms"p,s,auroc,9,x' \
    'T,m,"msp,s,auroc,9,x' 'T,m,,s,auroc,9,x'; do
    printf 'table,model,method,set,metric,value,source\n%s\n' "$line" >"$tmp/bad.csv"
    refuse 4 "bad.csv: line 2" "a line that is not one: $line" $a.json -p "$tmp/bad.csv"
done
printf 'a,b\n' >"$tmp/bad.csv"
refuse 4 "bad.csv: line 1" "another head line" $a.json -p "$tmp/bad.csv"

# --- scores ---------------------------------------------------------------------------------------
run compare $a.h5 -m vim,msp
[ $rc -eq 0 ] && [ "$(grep -c '^msp ' "$tmp/out")" -eq 3 ] && has "$tmp/out" "metric  *method  *vim  *difference"
ok $? "two methods of one file"
refuse 2 "no method 'vin'; did you mean 'vim'" "a wrong method" $a.h5 -m vin,msp
refuse 2 "one method alone" "one method" $a.h5 -m vim
refuse 4 "same images" "scores of other sets" $a.h5 "$tmp/c.h5"
refuse 4 "not scores of" "features for scores" id.h5
head -c 3000 $a.h5 >"$tmp/cut.h5"
refuse 4 "cut.h5" "half a file of scores" "$tmp/cut.h5" $b.h5

python=
for p in ${PYTHON:-} /usr/bin/python3 python3; do
    "$p" -c 'import h5py,numpy,scipy' 2>/dev/null && { python=$p; break; }
done
if [ -z "$python" ]; then
    count=$((count + 1)); echo "ok $count - # SKIP no Python with h5py,numpy,scipy"
    echo "1..$count"
    exit $failed
fi
"$score" compare $a.h5 $b.h5 --csv "$tmp/d.csv" >"$tmp/out" 2>"$tmp/err"
"$python" - $a.h5 $b.h5 "$tmp/d.csv" "$tmp/c.csv" >"$tmp/err" 2>&1 <<'EOF'
import csv, sys
import h5py, numpy as np
from scipy.stats import norm
f, g = (h5py.File(x) for x in sys.argv[1:3])
sets = f["set"].asstr()[:]
def shares(s, name):
    a, b = s[sets == "id"].astype(float), s[sets == name].astype(float)
    w = (a[:, None] > b) + 0.5 * (a[:, None] == b)
    return w.mean(1), w.mean(0)
n = 0
for r in list(csv.DictReader(open(sys.argv[3]))) + list(csv.DictReader(open(sys.argv[4]))):
    if not r["p"]:
        continue
    (v, w), (x, y) = (shares(h["scores/" + r["method"]][:], r["set"]) for h in (f, g))
    d = v.mean() - x.mean()
    var = np.var(v - x, ddof=1) / len(v) + np.var(w - y, ddof=1) / len(w)
    p = 1.0 if var == 0 else 2 * norm.sf(abs(d) / np.sqrt(var))
    assert abs(float(r["a"]) - v.mean()) < 1e-12 and abs(float(r["b"]) - x.mean()) < 1e-12
    assert abs(float(r["p"]) - p) < 1e-9, r
    assert abs(float(r["difference_hi"]) - (d + 1.959963984540054 * np.sqrt(var))) < 1e-12
    n += 1
assert n == 10, n
EOF
ok $? "intervals and p of paired tests by numpy and scipy"
"$python" "$root/tests/score/check_published.py" "$root/docs/published" >"$tmp/err" 2>&1
ok $? "published tables: fields, names, and averages that follow from their sets"
echo "1..$count"
exit $failed
