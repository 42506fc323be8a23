#!/bin/sh
# demo-images: the image sets of `make demo` are reproducible, complete and readable by others.
# Run from the repository root, after `make build/demo-images`: prove tests/cli/40_demo_images.t
PROG=$(realpath "${BUILD:-build}/demo-images")
[ -x "$PROG" ] || { echo "1..0 # SKIP no $PROG"; exit 0; }
TMP=$(mktemp -d) || exit 1
trap 'rm -rf "$TMP"' EXIT
N=0
FAILED=0
ok() { # ok STATUS SENTENCE
    N=$((N + 1))
    if [ "$1" -eq 0 ]; then echo "ok $N - $2"; else echo "not ok $N - $2"; FAILED=1; fi
}
is() { # is GOT WANTED SENTENCE
    [ "$1" = "$2" ]
    ok $? "$3"
    [ "$1" = "$2" ] || { echo "# got    $1"; echo "# wanted $2"; }
}
fails() { # fails STATUS WORDS SENTENCE -- ARGUMENTS...
    want=$1 words=$2 say=$3
    shift 4
    "$PROG" "$@" >"$TMP/out" 2>"$TMP/err"
    got=$?
    is "$got" "$want" "$say: exit $want"
    grep -q -- "$words" "$TMP/err" && [ "$(wc -l <"$TMP/err")" -eq 1 ] && [ ! -s "$TMP/out" ]
    ok $? "$say: one line on stderr with '$words'"
}

# --- the same bytes, whatever the threads ---------------------------------------------------------
OMP_NUM_THREADS=1 "$PROG" "$TMP/a" 2>"$TMP/err"
is $? 0 "a run with defaults succeeds"
is "$(cat "$TMP/err")" "" "and is quiet"
OMP_NUM_THREADS=7 "$PROG" "$TMP/b" --seed 1 --scale 1
diff -r "$TMP/a" "$TMP/b" >"$TMP/diff"
ok $? "1 thread and 7 threads write the same bytes"
"$PROG" "$TMP/b" && diff -r "$TMP/a" "$TMP/b" >"$TMP/diff"
ok $? "writing over an earlier run changes nothing"
"$PROG" --scale 0.2 "$TMP/small" &&
    (cd "$TMP/small/images" && find . -type f) | (
        while read -r f; do cmp -s "$TMP/a/images/$f" "$TMP/small/images/$f" || exit 1; done)
ok $? "the images of a smaller scale are the first ones of the larger"
is "$(wc -l <"$TMP/small/lists/train.txt")" 300 "--scale 0.2 makes 300 training images"
"$PROG" "$TMP/c" --seed 2 --scale 0.2
same=0
for f in $(cd "$TMP/small/images" && find . -type f); do
    cmp -s "$TMP/small/images/$f" "$TMP/c/images/$f" && same=$((same + 1))
done
is "$same" 0 "with another seed no image stays the same"
is "$(cd "$TMP/a/images" && find . -type f -exec sha256sum {} + | cut -c1-64 | sort | uniq -d)" "" \
    "no image occurs twice, in one set or in two"

# --- lists ------------------------------------------------------------------------------------------
is "$(cd "$TMP/a/lists" && echo *)" "glyphs.txt id.txt near.txt noise.txt texture.txt train.txt" \
    "there are six lists"
is "$(cd "$TMP/a/lists" && wc -l <train.txt && wc -l <id.txt)" "1500
500" "train has 1500 lines, id 500"
is "$(cd "$TMP/a/lists" && for s in near texture glyphs noise; do wc -l <$s.txt; done | uniq)" 300 \
    "each out-of-distribution list has 300"
for s in train id; do
    is "$(grep -vcE "^$s/[a-z-]+/[0-9]{4}\.(jpg|png) [0-9]$" "$TMP/a/lists/$s.txt")" 0 \
        "$s.txt: every line is 'path label'"
    is "$(cut -d' ' -f2 "$TMP/a/lists/$s.txt" | sort | uniq -c | awk '{print $1}' | uniq | wc -l)" 1 \
        "$s.txt: the ten classes are equally large"
    is "$(sed -E 's|^[a-z]+/([a-z-]+)/[^ ]* |\1 |' "$TMP/a/lists/$s.txt" | sort -u | wc -l)" 10 \
        "$s.txt: one folder, one label"
done
is "$(sed -E 's|^[a-z]+/([a-z-]+)/.* |\1 |' "$TMP/a/lists/train.txt" | sort -u)" \
    "$(sed -E 's|^[a-z]+/([a-z-]+)/.* |\1 |' "$TMP/a/lists/id.txt" | sort -u)" \
    "train and id name the same classes by the same labels"
for s in near texture glyphs noise; do
    is "$(grep -vcE "^$s/[a-z-]+/[0-9]{4}\.(jpg|png)$" "$TMP/a/lists/$s.txt")" 0 \
        "$s.txt: every line is a path without label"
done
cat "$TMP"/a/lists/*.txt | cut -d' ' -f1 | sort >"$TMP/listed"
(cd "$TMP/a/images" && find . -type f | sed 's|^\./||' | sort) >"$TMP/there"
cmp "$TMP/listed" "$TMP/there"
ok $? "every listed image exists, every image is listed"

# --- files --------------------------------------------------------------------------------------------
bad=0
while read -r f; do
    magic=$(head -c 3 "$TMP/a/images/$f" | od -An -tx1 | tr -d ' \n')
    case "$f:$magic" in *.jpg:ffd8ff | *.png:89504e) ;; *) bad=$((bad + 1)) ;; esac
done <"$TMP/listed"
is "$bad" 0 "the suffix of every file says what its first bytes say"

PY=
for p in "${PYTHON:-}" /usr/bin/python3 python3; do
    [ -n "$p" ] && "$p" -c 'import PIL.Image' 2>/dev/null && PY=$p && break
done
if [ -z "$PY" ]; then
    N=$((N + 1))
    echo "ok $N # SKIP no Python with Pillow: the files are not decoded by another reader"
else
    "$PY" - "$TMP/a" >"$TMP/seen" <<'P'
import collections, sys, warnings
from pathlib import Path
from PIL import Image, JpegImagePlugin
warnings.simplefilter("error")
kinds, sides, odd, flat = collections.Counter(), set(), 0, 0
files = [p for p in Path(sys.argv[1], "images").rglob("*") if p.is_file()]
for p in files:
    with Image.open(p) as im:
        im.load()
        kind = im.format + "-" + im.mode
        if kind == "JPEG-RGB":
            kind += {0: "-444", 2: "-420"}.get(JpegImagePlugin.get_sampling(im), "-other")
        kinds[kind] += 1
        sides.update(im.size)
        odd += im.size[0] != im.size[1]
        lo_hi = im.convert("RGB").getextrema()
        flat += all(hi - lo < 8 for lo, hi in lo_hi)
print("decoded", len(files))
print("kinds", *sorted(kinds))
print("sides", min(sides), max(sides))
print("odd", "yes" if odd > len(files) / 4 else odd)
print("flat", "few" if flat < len(files) / 100 else flat)
print("rarest", "ok" if min(kinds.values()) > len(files) / 25 else kinds)
P
    is "$(sed -n 's/^decoded //p' "$TMP/seen")" 3200 "Pillow decodes all of them without a warning"
    is "$(sed -n 's/^kinds //p' "$TMP/seen")" "JPEG-L JPEG-RGB-420 JPEG-RGB-444 PNG-P PNG-RGB" \
        "the five encodings occur, and no other"
    is "$(sed -n 's/^rarest //p' "$TMP/seen")" ok "each of them in more than 4 % of the files"
    is "$(sed -n 's/^sides //p' "$TMP/seen")" "40 80" "sides reach from 40 to 80 pixels"
    is "$(sed -n 's/^odd //p' "$TMP/seen")" yes "more than a quarter is not square"
    is "$(sed -n 's/^flat //p' "$TMP/seen")" few "less than 1 % is a single colour"
fi

# --- what goes wrong is said ----------------------------------------------------------------------------
"$PROG" --help >"$TMP/out" 2>"$TMP/err"
is $? 0 "--help: exit 0"
grep -q '^usage: demo-images OUTDIR' "$TMP/out" && [ ! -s "$TMP/err" ]
ok $? "--help: usage on stdout"
fails 2 OUTDIR "no OUTDIR" --
fails 2 OUTDIR "two OUTDIRs" -- "$TMP/x" "$TMP/y"
fails 2 --colour "an unknown option" -- "$TMP/x" --colour
fails 2 --seed "a seed that is no number" -- "$TMP/x" --seed 1e
fails 2 --seed "a negative seed" -- "$TMP/x" --seed=-1
fails 2 --scale "a scale of 0" -- "$TMP/x" --scale 0
fails 2 --scale "a scale that is not finite" -- "$TMP/x" --scale nan
fails 5 "$TMP/diff/x" "an OUTDIR below a file" -- "$TMP/diff/x"
[ ! -e "$TMP/x" ]
ok $? "none of these made a folder"
(
    trap '' XFSZ
    ulimit -f 1
    exec "$PROG" "$TMP/full"
) 2>"$TMP/err"
is $? 5 "files that cannot grow: exit 5"
is "$(wc -l <"$TMP/err") $(ls "$TMP/full/lists" | wc -l)" "1 0" \
    "files that cannot grow: said in one line, and no list claims that the images are there"
echo "1..$N"
exit $FAILED
