#!/bin/sh
# Groups, benchmarks, full spectrum, held-out sets, intervals, timing: score run's protocol.  TAP.
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
    run "$@"
    [ "$rc" -eq "$want" ] && [ ! -s "$tmp/out" ] && grep -q -- "$pattern" "$tmp/err" &&
        [ "$(tail -n 1 "$tmp/err" | cut -c 1-6)" = "score:" ]
    ok $? "$words (exit $want)"
}

has() { grep -q -- "$2" "$1"; }

# --- groups ---------------------------------------------------------------------------------------
run run -q --id id.h5 --ood far.h5 texture.h5 --near texture --far far -m msp,gen
cp "$tmp/out" "$tmp/want"
run run -q --id id.h5 --ood far:far.h5 near:texture=texture.h5 -m msp,gen
[ $rc -eq 0 ] && cmp -s "$tmp/out" "$tmp/want"; ok $? "near: and far: in front of a set are its group"
refuse 2 "named twice" "a group in front and by --near" run --id id.h5 --ood far:far.h5 --near far
refuse 2 "names no file" "a group without a file" run --id id.h5 --ood near:

# --- benchmarks -----------------------------------------------------------------------------------
mkdir "$tmp/f"
cp id.h5 "$tmp/f/val.h5"
cp far.npy "$tmp/f/far.npy"
cp far.h5 "$tmp/f/far.h5" # taken before .npy
cp texture.npz "$tmp/f/texture.npz"
cp train.h5 "$tmp/f/train.h5"
cat >"$tmp/b.yaml" <<'EOF'
benchmark: small
fpr95: mos
sets:
  - {role: train, name: train, images: 150}
  - {role: id, name: val, images: 80}
  - {role: ood, name: texture, group: near, images: 50}
  - {role: ood, name: far, group: far}
EOF
run run -q --bench "$tmp/b.yaml" --features "$tmp/f" --json "$tmp/b.json" -m msp,vim
[ $rc -eq 0 ] && has "$tmp/out" "texture  *far  *near mean  *far mean" && has "$tmp/out" "^vim " &&
    has "$tmp/out" "FPR95 mos" && has "$tmp/b.json" '"benchmark": "small"'
ok $? "a benchmark's sets from a folder, with its groups and its FPR95"
run run -q --bench "$tmp/b.yaml" --features "$tmp/f" --conventions vim -m msp
has "$tmp/out" "AUROC  *FPR95" && ! has "$tmp/out" "mos"; ok $? "--conventions wins"
run run -q --bench "$tmp/b.yaml" --id id.h5 --ood far.h5 texture.h5 -m msp
[ $rc -eq 0 ] && has "$tmp/out" "near mean"; ok $? "groups of a benchmark for sets given by --ood"
sed 's/images: 50/images: 51/' "$tmp/b.yaml" >"$tmp/c.yaml"
refuse 4 "texture.npz has 50 rows, .texture. of small has 51 images; --force" "another number of images" \
    run --bench "$tmp/c.yaml" --features "$tmp/f"
run run --bench "$tmp/c.yaml" --features "$tmp/f" -m msp --force
[ $rc -eq 0 ] && has "$tmp/err" "warning: .*51 images"; ok $? "--force takes it and says so"
if /usr/bin/python3 -c 'import h5py' 2>/dev/null; then
    /usr/bin/python3 - id.h5 "$tmp/f/val.h5" <<'EOF'
import sys, h5py, numpy as np
with h5py.File(sys.argv[1]) as a, h5py.File(sys.argv[2], "w") as b:
    for k in ("features", "labels", "head/weight", "head/bias"):
        b.create_dataset(k, data=a[k][:])
    b.create_dataset("provenance", data=np.bytes_('{"model": "m", "list": {"sha256": "%s"}}' % ("0123456789abcdef" * 4)))
EOF
    sed 's/role: id, name: val,/role: id, name: val, sha256: 0123456789abcdef01,/' "$tmp/b.yaml" >"$tmp/c.yaml"
    run run -q --bench "$tmp/c.yaml" --features "$tmp/f" -m msp
    [ $rc -eq 0 ]; ok $? "features of the list that the benchmark knows"
    sed 's/role: id, name: val,/role: id, name: val, sha256: 0123456789abcdef02,/' "$tmp/b.yaml" >"$tmp/c.yaml"
    refuse 4 "val.h5 was made from a list of SHA-256 0123456789abcdef..., 'val' of small is" "features of another list" \
        run --bench "$tmp/c.yaml" --features "$tmp/f" -m msp
else
    count=$((count + 2)); echo "ok $((count - 1)) - # SKIP no h5py"; echo "ok $count - # SKIP no h5py"
fi
rm "$tmp/f/texture.npz"
refuse 4 "no texture.h5 .or .npz, .pkl, .npy. for the ood set of line 6 of .*b.yaml" "a set without a file" \
    run --bench "$tmp/b.yaml" --features "$tmp/f"
refuse 2 "folder of the sets of --bench" "--features alone" run --features "$tmp/f"
refuse 2 "id is needed, or --bench" "a benchmark alone" run --bench "$tmp/b.yaml"
printf 'benchmark: x\nsets:\n  - {role: id, name: a}\n  - {role: ood, name: b, grup: near}\n' >"$tmp/bad.yaml"
refuse 4 "bad.yaml: bench-key: line 4: did you mean 'group'" "a benchmark with a wrong key" \
    run --bench "$tmp/bad.yaml" --features "$tmp/f"
refuse 4 "none.yaml: No such file" "no benchmark file" run --bench "$tmp/none.yaml" --features "$tmp/f"

# --- full spectrum, intervals -----------------------------------------------------------------------
run run -q --train train.h5 --id id.h5 --csid shifted=id_bad.h5 --ood near:texture.h5 far:far.h5 -m msp,vim,energy \
    --json "$tmp/a.json" --csv "$tmp/a.csv" --scores "$tmp/a.h5" --markdown "$tmp/a.md" --latex "$tmp/a.tex"
[ $rc -eq 0 ] && has "$tmp/out" "^full spectrum: id + shifted, 160 images" && has "$tmp/out" "^accuracy  .* of 160)" &&
    [ "$(grep -c '^msp ' "$tmp/out")" -eq 2 ] && has "$tmp/a.md" "Full spectrum" && has "$tmp/a.tex" "full spectrum"
ok $? "a second table with the csID sets joined to the ID set"
[ "$(grep -c ',full,' "$tmp/a.csv")" -eq 6 ] && [ "$(grep -c ',standard,' "$tmp/a.csv")" -eq 6 ]
ok $? "and their rows in the CSV"
run run -q --id id.h5 --ood texture.h5 far.h5 -m msp,energy --ci
[ $rc -eq 0 ] && [ "$(grep -o '±' "$tmp/out" | wc -l)" -eq 3 ]; ok $? "--ci adds half the interval of AUROC"
run run -q --id id.h5 --ood texture.h5 far.h5 -m msp,energy --ci --bootstrap 200 --seed 5 --json "$tmp/p.json"
cp "$tmp/out" "$tmp/want"
[ "$(grep -o '±' "$tmp/out" | wc -l)" -eq 6 ]; ok $? "and with --bootstrap that of FPR95"
run run -q --id id.h5 --ood texture.h5 far.h5 -m msp,energy --ci --bootstrap 200 --seed 5 --threads 3 --json "$tmp/q.json"
grep -v seconds "$tmp/p.json" >"$tmp/p"; grep -v seconds "$tmp/q.json" >"$tmp/q"
cmp -s "$tmp/out" "$tmp/want" && cmp -s "$tmp/p" "$tmp/q"; ok $? "one seed gives the same intervals with any threads"
run run -q --id id.h5 --ood texture.h5 far.h5 -m msp,energy --bootstrap 200 --seed 6 --json "$tmp/q.json"
grep -v seconds "$tmp/q.json" >"$tmp/q"; cmp -s "$tmp/p" "$tmp/q"; [ $? -eq 1 ]; ok $? "another seed others"
refuse 2 "bootstrap" "too many replicates" run --id id.h5 --ood far.h5 --bootstrap 100001
run run -q --train train.h5 --id id.h5 --ood far.h5 -m msp,vim --timing
[ $rc -eq 0 ] && has "$tmp/out" "^method  *fit s  score s  peak MiB" &&
    [ "$(grep -c '^vim  *[0-9.]*  *[0-9.]*  *[0-9.]*$' "$tmp/out")" -eq 2 ]; ok $? "--timing: seconds and memory of each method"
python=
for p in ${PYTHON:-} /usr/bin/python3 python3; do
    "$p" -c 'import h5py,numpy,sklearn' 2>/dev/null && { python=$p; break; }
done
if [ -n "$python" ]; then
    for f in a.json p.json b.json; do
        "$python" "$root/tests/score/check_results.py" "$tmp/$f" >"$tmp/err" 2>&1
        ok $? "$f has the promised keys, types and ranges"
    done
    "$python" - "$tmp/a.json" "$tmp/a.h5" >"$tmp/err" 2>&1 <<'EOF'
import json, sys
import h5py, numpy as np
from sklearn.metrics import roc_auc_score
o = json.load(open(sys.argv[1]))
f = h5py.File(sys.argv[2])
sets = f["set"].asstr()[:]
assert [k for i, k in enumerate(sets) if i == 0 or sets[i - 1] != k] == ["id", "texture", "far", "shifted"]
ids = {"rows": sets == "id", "full": (sets == "id") | (sets == "shifted")}
right = (f["label"][:] == f["prediction"][:])[ids["full"]].mean()
assert abs(right - o["full_spectrum"]["id_accuracy"]) < 1e-12
def shares(a, b):
    w = (a[:, None] > b) + 0.5 * (a[:, None] == b)
    return w.mean(1), w.mean(0)
for key, rows, means in (("rows", o["rows"], o["mean"]), ("full", o["full_spectrum"]["rows"], o["full_spectrum"]["mean"])):
    for r in rows:
        s = f["scores/" + r["method"]][:]
        a, b = s[ids[key]].astype(float), s[sets == r["ood"]].astype(float)
        assert (len(a), len(b)) == (r["n_id"], r["n_ood"])
        assert abs(roc_auc_score(np.r_[np.ones(len(a)), np.zeros(len(b))], np.r_[a, b]) - r["auroc"]) < 1e-12
        v, w = shares(a, b)
        half = 1.959963984540054 * np.sqrt(v.var(ddof=1) / len(v) + w.var(ddof=1) / len(w))
        assert abs(max(r["auroc"] - half, 0) - r["auroc_ci"][0]) < 1e-12, r
        assert abs(min(r["auroc"] + half, 1) - r["auroc_ci"][1]) < 1e-12, r
    for m in means:
        s = f["scores/" + m["method"]][:]
        of = [r["ood"] for r in rows if r["method"] == m["method"] and m["group"] in (None, r["group"])]
        both = [shares(s[ids[key]].astype(float), s[sets == k].astype(float)) for k in of]
        v = np.mean([x for x, _ in both], axis=0)
        var = v.var(ddof=1) / len(v) + sum(w.var(ddof=1) / len(w) for _, w in both) / len(of) ** 2
        half = 1.959963984540054 * np.sqrt(var)
        assert abs(max(m["auroc"] - half, 0) - m["auroc_ci"][0]) < 1e-12, m
EOF
    ok $? "full spectrum, accuracy and intervals, also of means, from the scores by numpy and scikit-learn"
else
    count=$((count + 1)); echo "ok $count - # SKIP no Python with h5py,numpy,sklearn"
fi
echo "1..$count"
exit $failed
