#!/bin/sh
# Checkpoints and caches from outside: real ones against PyTorch, hostile ones against their manifest.
# Environment: OUTPOST_BUILD (build), OUTPOST_DATA, PYTHON (/usr/bin/python3, with torch where it is).
BUILD=${OUTPOST_BUILD:-build}
DATA=${OUTPOST_DATA:-$HOME/.cache/outpost-data}
PYTHON=${PYTHON:-/usr/bin/python3}
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
tool=$BUILD/tools/arrays_check
twin=$PWD/tests/tools/arrays_reference.py
if [ ! -x "$tool" ]; then echo "1..0 # SKIP no $tool"; exit 0; fi
if [ ! -d "$DATA/weights" ] || [ ! -f "$DATA/hostile/MANIFEST.tsv" ]; then
    echo "1..0 # SKIP no data in $DATA"; exit 0
fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
n=0
failed=0
# ok CONDITION-STATUS TEXT
ok() {
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; failed=1; fi
}
skip() {
    n=$((n + 1))
    echo "ok $n # SKIP $1"
}
note() { sed 's/^/# /'; }
tab=$(printf '\t')

echo "1..10"

# --- real checkpoints ---------------------------------------------------------------------------
cd "$DATA/weights" || exit 1
"$tool" ./* > "$work/real"
ok $? "weights: every file gets a verdict"
[ "$(cut -f2 "$work/real" | sort -u)" = ok ]
ok $? "weights: all of them are read"
cut -f1,7 "$work/real" | sort > "$work/real.ours"
if "$PYTHON" -c 'import numpy' 2> "$work/err"; then
    "$PYTHON" "$twin" ./* | sort > "$work/real.twin"
    cmp -s "$work/real.ours" "$work/real.twin"
    ok $? "weights: names, types, shapes and bytes as an independent reader has them"
    diff "$work/real.ours" "$work/real.twin" | note
else
    skip "no numpy for $PYTHON"
fi
if "$PYTHON" -c 'import torch' 2> "$work/err"; then
    "$PYTHON" "$twin" --torch ./*.pth ./*.th ./*.tar | sort > "$work/torch.theirs"
    grep -v 'safetensors' "$work/real.ours" > "$work/torch.ours"
    cmp -s "$work/torch.ours" "$work/torch.theirs"
    ok $? "weights: the same as torch.load gives"
    diff "$work/torch.ours" "$work/torch.theirs" | note
else
    skip "no torch for $PYTHON"
fi
twins=0
for f in ./*.safetensors; do
    p=${f%.safetensors}.pth
    [ -f "$p" ] || continue
    a=$(grep -F "$f$tab" "$work/real" | cut -f7)
    b=$(grep -F "$p$tab" "$work/real" | cut -f7)
    if [ -z "$a" ] || [ "$a" != "$b" ]; then twins=-100; fi
    twins=$((twins + 1))
done
[ "$twins" -ge 2 ]
ok $? "weights: $twins files that exist as .pth and .safetensors are equal"

# --- hostile files --------------------------------------------------------------------------------
cd "$DATA/hostile" || exit 1
find pickle pth npz safetensors zip json deflate hdf5 -type f | LC_ALL=C sort > "$work/files"
# 20 s of processor time and 1 GiB of address space for all of them together
limit=1048576
{ (ulimit -v $limit; "$tool") || limit=unlimited; } 2> "$work/err" # AddressSanitizer needs the space
(ulimit -t 20; ulimit -v $limit; exec "$tool" - < "$work/files") > "$work/hostile" 2> "$work/err"
status=$?
note < "$work/err"
[ "$status" -eq 0 ] && [ "$(wc -l < "$work/files")" -eq "$(wc -l < "$work/hostile")" ]
ok $? "hostile: $(wc -l < "$work/files") files, each gets a verdict in 20 s and 1 GiB"
! cut -f2 "$work/hostile" | grep -qvx -e ok -e refused
ok $? "hostile: the verdict is always 'ok' or 'refused' (exit 4), never a failure of our own"

# Where we differ from the manifest, on purpose: it refuses all numpy pickles, which are what GEN and ViM
# keep their features in; four of its header-only arrays have a dimension of 0 and are whole.
cat > "$work/expected.differences" <<'END'
npz/numpy/header_only.102.npy	ok
npz/numpy/header_only.42.npy	ok
npz/numpy/header_only.60.npy	ok
npz/numpy/header_only.96.npy	ok
pickle/numpy/numpy__core_tests_data_astype_copy.pkl	ok
END
awk -F '\t' 'NR == FNR { got[$1] = $2; next }
    $1 in got && $1 ~ /^(pickle|pth|npz|safetensors|zip|json|deflate|hdf5)\// {
        want = $8 ~ /^(must be )?refused/ ? "refused" : $8 ~ /^(decodes|loads)/ ? "ok" : ""
        if ($1 ~ /^(json|deflate|hdf5)\//) want = "refused"
        if (want != "" && want != got[$1]) print $1 "\t" got[$1]
    }' "$work/hostile" MANIFEST.tsv | LC_ALL=C sort > "$work/differences"
cmp -s "$work/expected.differences" "$work/differences"
ok $? "hostile: verdicts as in MANIFEST.tsv but for $(wc -l < "$work/expected.differences") listed ones"
diff "$work/expected.differences" "$work/differences" | note
! LC_ALL=C grep -q '[[:cntrl:]]' <<END
$(cut -f4 "$work/hostile")
END
ok $? "hostile: no control byte of theirs in any message"

if "$PYTHON" -c 'import numpy' 2> "$work/err"; then
    grep "${tab}ok${tab}" "$work/hostile" | cut -f1,7 > "$work/good.ours"
    cut -f1 "$work/good.ours" | xargs "$PYTHON" "$twin" > "$work/good.twin"
    cmp -s "$work/good.ours" "$work/good.twin"
    ok $? "hostile: the $(wc -l < "$work/good.ours") good ones byte for byte as the independent reader has them"
    diff "$work/good.ours" "$work/good.twin" | note
else
    skip "no numpy for $PYTHON"
fi
exit $failed
