#!/bin/sh
# score sweep: grids, choice on validation sets, every point equal to score run.  TAP.
LC_ALL=C
export LC_ALL
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
score=$(cd "$root" && cd "${OUTPOST_BUILD:-build}" 2>/dev/null && pwd)/score
data=$root/tests/cli/data/score
[ -x "$score" ] || { echo "1..0 # SKIP no $score"; exit 0; }
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
    run sweep "$@"
    [ "$rc" -eq "$want" ] && [ ! -s "$tmp/out" ] && grep -q -- "$pattern" "$tmp/err" &&
        [ "$(tail -n 1 "$tmp/err" | cut -c 1-6)" = "score:" ]
    ok $? "$words (exit $want)"
}

has() { grep -q -- "$2" "$1"; }

val="--val-id id_bad.h5 --val-ood texture.h5"

# --- words ----------------------------------------------------------------------------------------
refuse 2 "grid KEY=VALUES or --preset is needed" "no grid" -m gen $val
refuse 2 "method is needed" "no method" -g m=1 $val
refuse 2 "val-id and --val-ood are needed" "no validation sets" -m gen -g m=1,2 --id id.h5 --ood far.h5
refuse 2 "no option 'gama'; did you mean 'gamma'" "a wrong option" -m gen -g gama=1,2 $val
refuse 2 "gen.gamma: 'x' is not a number" "a value that is no number" -m gen -g gamma=1,x $val
refuse 2 "gen.m is 0, allowed is 1" "a value out of range" -m gen -g m=0:4:1 $val
refuse 2 "did you mean 'gen" "a wrong method" -m gne -g m=1 $val
refuse 2 "one method" "two methods" -m gen,msp -g m=1 $val
refuse 2 "'1' twice" "a value twice" -m gen -g m=1,2,1 $val
refuse 2 "m twice" "a key twice" -m gen -g m=1 -g m=2 $val
refuse 2 "has no value" "a range that runs away" -m gen -g m=5:1:1 $val
refuse 2 "not A:B:STEP" "half a range" -m gen -g m=5:1 $val
refuse 2 "more than 100000" "too many values" -m gen -g gamma=0:1:1e-9 $val
refuse 2 "more than 100000 points" "too many points" -m gen -g gamma=0:1:0.001 -g m=1:200:1 $val
refuse 2 "has no grid for msp" "a method without a published grid" -m msp --preset openood $val
refuse 2 "no preset 'opnood'" "a wrong preset" -m gen --preset opnood $val
refuse 2 "same file" "two outputs in one file" -m gen -g m=1 $val --csv "$tmp/x" --json "$tmp/x"
refuse 2 "of the test sets" "files of test sets that are not there" -m gen -g m=1 $val --json "$tmp/x"
refuse 2 "nothing could be run: vim: needs train features" "a method without what it needs" -m vim -g dim=2,3 \
    --val-id id.npy --val-ood far.npy --head fc.pkl

# --- the grid -------------------------------------------------------------------------------------
run sweep -q -m gen --preset openood $val --csv -
[ $rc -eq 0 ] && [ "$(wc -l <"$tmp/out")" -eq 43 ] && [ "$(sed -n '2,4p;9p' "$tmp/out" | cut -d, -f 1,2 | tr '\n' ' ')" = \
    "0.01,10 0.1,10 0.5,10 0.01,50 " ]
ok $? "OpenOOD's grid of GEN has 42 points, the first key fastest"
run sweep -q -m gen -g m=2:6:2 -g gamma=0.5:0.1:-0.2 $val --csv -
[ $rc -eq 0 ] && [ "$(sed 1d "$tmp/out" | cut -d, -f 1,2 | tr '\n' ' ')" = \
    "2,0.5 4,0.5 6,0.5 2,0.3 4,0.3 6,0.3 2,0.1 4,0.1 6,0.1 " ]
ok $? "ranges count both ends, up and down"
run sweep -q -m msp $val -g x=1
[ $rc -eq 2 ]; ok $? "a method without options has no grid"
run sweep -q -m gen -g m=100:1000:100 $val --csv -
[ $rc -eq 0 ] && [ "$(cut -d, -f 2 "$tmp/out" | tr '\n' ' ')" = "chosen 1 0 0 0 0 0 0 0 0 0 " ]
ok $? "of equal points the first is chosen"
run sweep -q -m vim -g dim=3,20,5 --train train.h5 $val --csv "$tmp/v.csv"
[ $rc -eq 0 ] && has "$tmp/out" "3 settings, 1 could not be run" && has "$tmp/v.csv" "^20,0,,*$\|^20,0,[0-9.e-]*,,*$"
ok $? "a point that cannot be fitted is left empty, the others run"
run sweep -q -m gen -g m=1:9:1 $val --top 3
[ $rc -eq 0 ] && [ "$(grep -c '^m=' "$tmp/out")" -eq 3 ] && has "$tmp/out" "6 more; --csv has all" && ! has "$tmp/out" "test"
ok $? "without test sets the best on validation are shown"

# --- the same with any threads and any memory -----------------------------------------------------
args="-q -m gen-react -g quantile=0.5,0.8,0.9,0.99 -g gamma=0.1:1.1:0.2 -g m=1,3,7 --train train.h5 $val \
    --id id.h5 --ood near:far.h5 far:other=texture.h5"
run sweep $args --csv "$tmp/a.csv" --json "$tmp/a.json" --scores "$tmp/a.h5" -j 1
[ $rc -eq 0 ]; ok $? "a grid of three keys with test sets"
cp "$tmp/out" "$tmp/want"
run sweep $args --csv "$tmp/b.csv" -j 3
cut -d, -f 1-4,6- "$tmp/a.csv" >"$tmp/a"; cut -d, -f 1-4,6- "$tmp/b.csv" >"$tmp/b"
cmp -s "$tmp/a" "$tmp/b" && cmp -s "$tmp/out" "$tmp/want"; ok $? "three threads give the same"
args="-m gen -g gamma=0.001:1:0.001 -g m=1,2,3,4,5 $val --id id.h5 --ood far.h5"
run sweep -q $args --csv "$tmp/m.csv"
cp "$tmp/out" "$tmp/want"
run sweep $args --csv "$tmp/b.csv" --memory 2M
cut -d, -f 1-3,5- "$tmp/m.csv" >"$tmp/m"; cut -d, -f 1-3,5- "$tmp/b.csv" >"$tmp/b"
has "$tmp/err" "5000 points in rounds of" && cmp -s "$tmp/m" "$tmp/b" && cmp -s "$tmp/out" "$tmp/want"
ok $? "5000 points in rounds, when there is little memory, give the same"
python=
for p in ${PYTHON:-} /usr/bin/python3 python3; do
    "$p" -c 'import h5py,numpy,sklearn' 2>/dev/null && { python=$p; break; }
done
if [ -z "$python" ]; then
    count=$((count + 1)); echo "ok $count - # SKIP no Python with h5py,numpy,sklearn"
    echo "1..$count"
    exit $failed
fi
"$python" "$root/tests/score/check_results.py" "$tmp/a.json" >"$tmp/err" 2>&1
ok $? "the JSON of the chosen setting has the promised shape"
"$python" - "$score" "$tmp" >"$tmp/err" 2>&1 <<'EOF'
import csv, json, subprocess, sys
score, tmp = sys.argv[1:]
rows = list(csv.DictReader(open(tmp + "/a.csv")))
assert len(rows) == 72
spec = ",".join("gen-react:quantile={quantile}:gamma={gamma}:m={m}".format(**r) for r in rows)
FIELDS = ["auroc", "fpr95_vim", "fpr95_mos", "fpr95_react", "fpr95_openood", "aupr_in", "aupr_out", "ap_in", "ap_out"]
def run(*args):
    subprocess.run([score, "run", "-q", "--train", "train.h5", "-m", spec, "--json", tmp + "/r.json", *args],
                   check=True, stdout=subprocess.DEVNULL)
    return json.load(open(tmp + "/r.json"))["rows"]
val = run("--id", "id_bad.h5", "--ood", "texture.h5")
test = run("--id", "id.h5", "--ood", "far.h5", "other=texture.h5")
for i, r in enumerate(rows):
    for f in FIELDS:
        assert float(r["val_" + f]) == val[i][f], (i, f)
        assert float(r["far_" + f + ""]) is not None
        a, b = test[2 * i], test[2 * i + 1]
        assert a["ood"] == "far" and b["ood"] == "other"
        assert float(r["other_" + f]) == b[f], (i, f)
        assert abs(float(r["mean_" + f]) - (a[f] + b[f]) / 2) < 1e-15
        assert float(r["near_" + f]) == a[f]
best = max(range(72), key=lambda i: (val[i]["auroc"], -i))
assert [i for i, r in enumerate(rows) if r["chosen"] == "1"] == [best]
o = json.load(open(tmp + "/a.json"))
assert o["rows"][0]["params"] == {k: float(rows[best][k]) for k in ("quantile", "gamma", "m")}
assert [r["auroc"] for r in o["rows"]] == [test[2 * best + k]["auroc"] for k in (0, 1)]
EOF
ok $? "every point equals score run with its setting, to the last digit; the best of validation is chosen"
"$python" - "$score" "$tmp" >"$tmp/err" 2>&1 <<'EOF'
import csv, subprocess, sys
import h5py, numpy as np
from sklearn.metrics import roc_auc_score
score, tmp = sys.argv[1:]
subprocess.run([score, "sweep", "-q", "-m", "gen", "-g", "gamma=0.05,0.1,0.7,2", "-g", "m=1,2,5,100", "--val-id", "id.h5",
                "--val-ood", "far.h5", "--csv", tmp + "/n.csv"], check=True, stdout=subprocess.DEVNULL)
def softmax(name):
    with h5py.File(name) as f:
        z = (f["features"][:].astype(np.float32) @ f["head/weight"][:].T + f["head/bias"][:]).astype(np.float64)
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)
a, b = softmax("id.h5"), softmax("far.h5")
worst = 0
for r in csv.DictReader(open(tmp + "/n.csv")):
    g, m = float(r["gamma"]), int(r["m"])
    s = [-(np.sort(p, 1)[:, -m:] ** g * (1 - np.sort(p, 1)[:, -m:]) ** g).sum(1) for p in (a, b)]
    want = roc_auc_score(np.r_[np.ones(len(a)), np.zeros(len(b))], np.r_[s[0], s[1]])
    worst = max(worst, abs(want - float(r["val_auroc"])))
assert worst < 1e-3 / len(a), worst  # f32 scores: no pair changes sides
EOF
ok $? "AUROC of a grid of GEN by numpy and scikit-learn"
echo "1..$count"
exit $failed
