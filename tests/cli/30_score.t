#!/bin/sh
# The command line of score: tables, files, formats, refusals.  TAP; needs a built program.
#   OUTPOST_BUILD=build  where the program is
#   REGEN=1              rewrites tests/cli/expected/score_* (make regen)
# The data are those of make_score_inputs.py.
LC_ALL=C
export LC_ALL
unset NO_COLOR
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
score=$(cd "$root" && cd "${OUTPOST_BUILD:-build}" 2>/dev/null && pwd)/score
data=$root/tests/cli/data/score
expected=$root/tests/cli/expected
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

refuse() { # STATUS PATTERN WORDS ARGUMENTS...: that exit status, one line that says why, no output
    want=$1 pattern=$2 words=$3
    shift 3
    run "$@"
    [ "$rc" -eq "$want" ] && [ ! -s "$tmp/out" ] && grep -q -- "$pattern" "$tmp/err" &&
        [ "$(tail -n 1 "$tmp/err" | cut -c 1-6)" = "score:" ]
    ok $? "$words (exit $want)"
}

has() { grep -q -- "$2" "$1"; }

# One run of everything in format $1 into $2; the rest are more options.
table() {
    format=$1 to=$2
    shift 2
    case $format in
    h5) set -- "$@" --train train.h5 --id id.h5 ;;
    npz) set -- "$@" --train train.npz --id id.npz --head fc.pkl ;;
    *) set -- "$@" --train "train.$format" --id "id.$format" --head fc.pkl --labels train.txt \
        --id-labels id.txt ;;
    esac
    "$score" run -q "$@" --ood "texture.$format" "far.$format" >"$to" 2>"$tmp/err"
}

# --- words --------------------------------------------------------------------------------------
run --help
[ $rc -eq 0 ] && has "$tmp/out" "usage: score" && [ ! -s "$tmp/err" ]; ok $? "--help on standard output"
run run --help
[ $rc -eq 0 ] && has "$tmp/out" "--conventions LIST" && has "$tmp/out" "\[gen\]"
ok $? "run --help lists options with defaults"
[ "$(awk '{ if (length($0) > 100) n++ } END { print n + 0 }' "$tmp/out")" -eq 0 ]
ok $? "run --help fits into 100 columns"
run
[ $rc -eq 2 ] && [ ! -s "$tmp/out" ]; ok $? "no command is a usage error"
run --version
[ $rc -eq 0 ] && has "$tmp/out" "OpenBLAS .* threads: OpenMP" && has "$tmp/out" "HDF5  *1\." &&
    has "$tmp/out" "licence *MIT"
ok $? "--version says what was found at run time"
if command -v python3 >/dev/null; then
    run --version --json
    python3 -c 'import json,sys; o=json.load(open(sys.argv[1])); assert o["openblas"]["threads"] == "OpenMP"' \
        "$tmp/out"
    ok $? "--version --json is JSON"
else
    count=$((count + 1)); echo "ok $count - # SKIP no python3"
fi
refuse 2 "did you mean 'methods'" "a wrong command" method
refuse 2 "did you mean --methods" "a wrong option" run --method gen
refuse 2 "id is needed" "no ID set" run --ood far.npy
refuse 2 "ood is needed" "no OOD set" run --id id.npy
refuse 2 "did you mean 'msp'" "a wrong method" run --id id.h5 --ood far.h5 -m mspp
refuse 2 "gama.*did you mean 'gamma'" "a wrong option of a method" \
    run --id id.h5 --ood far.h5 --set gen.gama=1
refuse 2 "'reakt' is none of.*did you mean 'react'" "a wrong convention" \
    run --id id.h5 --ood far.h5 --conventions vim,reakt
refuse 2 "'vim' twice" "a convention twice" run --id id.h5 --ood far.h5 --conventions vim,vim
refuse 2 "two sets are called 'far'" "two sets of one name" run --id id.h5 --ood far.h5 far.npy
refuse 2 "no OOD set 'fa'; did you mean 'far'" "a wrong name in --near" \
    run --id id.h5 --ood far.h5 texture.h5 --near fa
refuse 2 "named twice" "a set in both groups" run --id id.h5 --ood far.h5 --near far --far far
refuse 2 "same file" "two outputs in one file" \
    run --id id.h5 --ood far.h5 --json "$tmp/x" --csv "$tmp/x"
refuse 2 "those of --train" "labels of no train set" run --id id.h5 --ood far.h5 -l train.txt
run methods
[ $rc -eq 0 ] && has "$tmp/out" "^vim " && has "$tmp/out" "^kl-matching "; ok $? "methods lists them"
run methods gen
[ $rc -eq 0 ] && has "$tmp/out" "gamma"; ok $? "methods NAME describes one"
refuse 2 "did you mean" "methods with a wrong name" methods gem

# --- refused inputs -----------------------------------------------------------------------------
refuse 4 "nowhere.h5: No such file" "a missing file" run --id nowhere.h5 --ood far.h5
refuse 4 "not a regular file" "a folder" run --id . --ood far.h5
head -c 3000 /dev/zero >"$tmp/zero.h5"
refuse 4 "zero.h5" "a file of nothing" run --id "$tmp/zero.h5" --ood far.h5
head -c 2000 id.h5 >"$tmp/cut.h5"
refuse 4 "cut.h5" "a truncated HDF5 file" run --id "$tmp/cut.h5" --ood far.h5
head -c 2000 id.pkl >"$tmp/cut.pkl"
refuse 4 "cut.pkl" "a truncated pickle" run --id "$tmp/cut.pkl" --ood far.h5
refuse 4 "narrow.npy.*\[40,12\].*\|\[80,16\].*narrow.npy has \[40,12\]" "another width, with both shapes" \
    run --id id.npy --ood narrow.npy --head fc.pkl
refuse 4 "nan.npy.*in the features of 1 of 40 rows, the first is row 7" "NaN, with set and row" \
    run --id id.npy --ood nan.npy --head fc.pkl
refuse 4 "a head only: give it to --head" "a head for features" run --id fc.pkl --ood far.npy
refuse 4 "no head in it" "features for a head" run --id id.npy --ood far.npy --head id.npy
refuse 4 "far.txt has 40 labels, train.npy has 150 rows" "labels of another set" \
    run --id id.npy --ood far.npy --train train.npy -l far.txt
refuse 4 "no label" "a list without labels" run --id id.npy --ood far.npy --train far.npy -l far.txt
{ tac id.txt; yes far/x.jpg 0 | head -n 6; } >"$tmp/mixed.txt"
refuse 4 "row [0-9]* is 'id/0.*, but .*mixed.txt has 'id/0.* there; --force" "labels in another order" \
    run --id id_bad.h5 --ood far.h5 --id-labels "$tmp/mixed.txt"
refuse 2 "nothing could be run: msp: .*head" "methods without what they need" \
    run --id id.npy --ood far.npy -m msp

# --- tables -------------------------------------------------------------------------------------
table h5 "$tmp/table" --csv "$tmp/a.csv" --markdown "$tmp/a.md" --latex "$tmp/a.tex" \
    --json "$tmp/a.json" --scores "$tmp/a.h5"
ok $? "a run over everything"
if [ "${REGEN:-0}" = 1 ]; then
    cp "$tmp/table" "$expected/score_table.txt"
    cp "$tmp/a.md" "$expected/score_table.md"
    cp "$tmp/a.tex" "$expected/score_table.tex"
fi
cmp -s "$tmp/table" "$expected/score_table.txt"; ok $? "the table as expected"
cmp -s "$tmp/a.md" "$expected/score_table.md"; ok $? "the Markdown table as expected"
cmp -s "$tmp/a.tex" "$expected/score_table.tex"; ok $? "the LaTeX table as expected"
[ "$(wc -l <"$tmp/a.csv")" -eq 31 ] && [ "$(head -n 1 "$tmp/a.csv" | cut -d, -f 1-4)" = method,ood,group,auroc ]
ok $? "the CSV has a line for each method and set"
[ ! -s "$tmp/err" ]; ok $? "--quiet is quiet"
ls "$tmp" | grep -q part; [ $? -eq 1 ]; ok $? "no temporary file is left"
for format in npy npz pkl; do
    table $format "$tmp/other" --csv "$tmp/other.csv"
    cmp -s "$tmp/table" "$tmp/other" && cmp -s "$tmp/a.csv" "$tmp/other.csv"
    ok $? "$format gives the same table and the same digits as HDF5"
done
"$score" run -q --train train.pkl --labels train.npz --id id.pkl --id-labels id.h5 --head id.h5 \
    --ood texture.npy far.npz --csv "$tmp/other.csv" >"$tmp/other" 2>"$tmp/err"
cmp -s "$tmp/table" "$tmp/other" && cmp -s "$tmp/a.csv" "$tmp/other.csv"
ok $? "and so does a mixture, with labels from .npz and .h5"
"$score" run -q --train train.h5 --id id_bad.h5 --ood texture.h5 far.h5 --csv "$tmp/other.csv" >"$tmp/other" 2>"$tmp/err"
cmp -s "$tmp/table" "$tmp/other" && cmp -s "$tmp/a.csv" "$tmp/other.csv"
ok $? "rows flagged bad, and NaN, change nothing"
for n in 1 3; do
    table h5 "$tmp/other" --threads $n --csv "$tmp/other.csv" --scores "$tmp/other.h5"
    cmp -s "$tmp/table" "$tmp/other" && cmp -s "$tmp/a.csv" "$tmp/other.csv" &&
        cmp -s "$tmp/a.h5" "$tmp/other.h5"
    ok $? "$n threads give the same bytes"
done
run run -q --train train.h5 --id id.h5 --ood a=far.h5 b=far.h5 --ood c=texture.h5 d=texture.h5 e=far.npy -m msp,vim
[ $rc -eq 0 ] && [ "$(awk '{ if (length($0) > 80) n++ } END { print n + 0 }' "$tmp/out")" -eq 0 ] &&
    [ "$(grep -c '^method' "$tmp/out")" -eq 2 ]
ok $? "many sets are wrapped at 80 columns"
refuse 4 "far_a.h5 and far_b.h5 come from different checkpoints: .*--force" "sets of two models" \
    run --id far_a.h5 --ood far_b.h5 --head fc.pkl -m msp
run run --id far_a.h5 --ood far_b.h5 --head fc.pkl -m msp --force
[ $rc -eq 0 ] && has "$tmp/out" "model  *resnet50" && has "$tmp/err" "warning: .*different checkpoints"
ok $? "--force combines them and says so"
refuse 2 "'id' is the name of the ID set" "an OOD set called id" run --id far.npy --ood id.h5
run run -q --train train.h5 --id id.h5 --ood same=id.h5 --csv "$tmp/same.csv"
[ $rc -eq 0 ] && [ "$(cut -d, -f 4 "$tmp/same.csv" | sort -u | tr '\n' ' ')" = "0.5 auroc " ]
ok $? "a set against itself has AUROC one half, by every method"
run run -q --id id_logits.npz --ood texture=texture_logits.npz far=far_logits.npz -m msp,maxlogit,energy
cp "$tmp/out" "$tmp/other"
run run -q --id id.h5 --ood texture.h5 far.h5 -m msp,maxlogit,energy
[ $rc -eq 0 ] && [ -s "$tmp/other" ] && cmp -s "$tmp/out" "$tmp/other"
ok $? "logits alone (numpy's) give the table of features and head"
run run -q --id id_logits.npz --ood far.h5 -m msp
[ $rc -eq 4 ] && has "$tmp/err" "far.h5 has features, id_logits.npz has none"
ok $? "features here and only logits there are refused"
run run -q --id id.h5 --ood far.h5 texture.h5 --near texture --far far -m msp
[ $rc -eq 0 ] && has "$tmp/out" "far  *texture  *near mean  *far mean  *mean$"
ok $? "near and far have means of their own"
run run -q --id id.h5 --ood far.h5 -m energy --conventions mos,react,openood,vim
[ $rc -eq 0 ] && has "$tmp/out" "AUROC  FPR95 mos  FPR95 react  FPR95 openood  FPR95 vim$"
ok $? "all four conventions side by side"
run run -q --id id.npy --ood far.npy --train train.npy --labels train.txt -m mahalanobis,msp
[ $rc -eq 0 ] && has "$tmp/out" "^mahalanobis  " && has "$tmp/out" "^  msp: "
ok $? "what could not be run is listed with what it needs"
run run --id id.h5 --ood far.h5 -m msp
[ $rc -eq 0 ] && has "$tmp/err" "^score: id: id.h5: 80 rows, 16 features, labels" &&
    has "$tmp/err" "^score: 1 method in [0-9.]* s"
ok $? "the phases are told on standard error"
run run --id id_bad.h5 --ood far.h5 -m msp
[ $rc -eq 0 ] && has "$tmp/err" "warning: id_bad.h5: 6 of 86 rows are flagged bad and left out"
ok $? "rows left out are counted on standard error"
run run -q --id id.h5 --ood texture.h5 huge.npy -m msp,gradnorm
[ $rc -eq 1 ] && has "$tmp/out" "^msp  " && has "$tmp/out" "gradnorm: on huge: [0-9]* of 40 scores are NaN or" &&
    has "$tmp/err" "1 method gave scores that are not finite"
ok $? "scores that are not finite are no result (exit 1)"
run run -q --id id.h5 --ood far.h5 -m gen,gen:gamma=0.5
[ $rc -eq 0 ] && has "$tmp/out" "^gen  " && has "$tmp/out" "^gen:gamma=0.5  "
ok $? "one method with two settings has two rows"
run run -q --id id.h5 --ood "$(printf 'x\033[31my')=far.h5" -m msp --csv "$tmp/odd.csv"
[ $rc -eq 0 ] && has "$tmp/out" 'x\\x1b\[31my' && has "$tmp/odd.csv" 'x\\x1b\[31my'
ok $? "control bytes of a name are escaped"

# --- colour -------------------------------------------------------------------------------------
esc=$(printf '\033')
run run -q --id id.h5 --ood far.h5 -m msp,energy
! has "$tmp/out" "$esc"; ok $? "no colour in a pipe"
run run -q --id id.h5 --ood far.h5 -m msp,energy --color always
has "$tmp/out" "${esc}\[1m"; ok $? "--color always sets the best bold"
if command -v script >/dev/null; then
    line="'$score' run -q --id id.h5 --ood far.h5 -m msp,energy"
    TERM=xterm script -qec "$line" /dev/null >"$tmp/tty" 2>&1 </dev/null
    has "$tmp/tty" "${esc}\[1m"; ok $? "bold on a terminal"
    NO_COLOR=1 TERM=xterm script -qec "$line" /dev/null >"$tmp/tty" 2>&1 </dev/null
    has "$tmp/tty" energy && ! has "$tmp/tty" "$esc"; ok $? "NO_COLOR is honoured"
else
    count=$((count + 1)); echo "ok $count - # SKIP no script(1)"
fi

# --- files --------------------------------------------------------------------------------------
run run -q --id id.h5 --ood far.h5 -m msp --json -
[ $rc -eq 0 ] && [ "$(head -c 1 "$tmp/out")" = "{" ] && ! has "$tmp/out" "^method"
ok $? "--json - replaces the table on standard output"
refuse 5 "cannot write .*none/x.json: No such file" "a missing folder, before any work" \
    run --id id.h5 --ood far.h5 --json "$tmp/none/x.json"
if [ -w /dev/full ]; then
    "$score" run -q --id id.h5 --ood far.h5 -m msp >/dev/full 2>"$tmp/err"
    [ $? -eq 5 ] && has "$tmp/err" "standard output"; ok $? "a full disk under standard output (exit 5)"
fi
mkdir "$tmp/locked"
echo old >"$tmp/locked/r.json"
chmod 500 "$tmp/locked"
if [ -w "$tmp/locked" ]; then
    count=$((count + 1)); echo "ok $count - # SKIP root writes everywhere"
else
    refuse 5 "cannot write" "a folder without permission" run --id id.h5 --ood far.h5 --json "$tmp/locked/r.json"
fi
chmod 700 "$tmp/locked"
if command -v python3 >/dev/null; then
    python3 "$root/tests/score/check_results.py" "$tmp/a.json" >"$tmp/err" 2>&1
    ok $? "the JSON has the promised keys, types and ranges"
    run run -q --id id.npy --ood far.npy texture.npy --train train.npy -l train.txt --near far -m all \
        --json "$tmp/b.json"
    python3 "$root/tests/score/check_results.py" "$tmp/b.json" >"$tmp/err" 2>&1 &&
        has "$tmp/b.json" '"reason"' && has "$tmp/b.json" '"near"'
    ok $? "also with groups and skipped methods"
else
    count=$((count + 1)); echo "ok $count - # SKIP no python3"
fi

echo "1..$count"
exit $failed
