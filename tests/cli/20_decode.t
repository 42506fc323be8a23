#!/bin/sh
# Decoder and resizer against Pillow and torchvision on real and hostile files.
# OUTPOST_IMAGE_EVERY (default 25): every how many images go through all sizes and filters.
build=${BUILD:-build}
tool=$build/tools/decode_check
data=${OUTPOST_DATA:-$HOME/.cache/outpost-data}
here=$(dirname "$0")/../golden
python=${PILLOW_PYTHON:-/usr/bin/python3}
n=0
ok() { n=$((n + 1)); echo "ok $n - $1"; }
not_ok() { n=$((n + 1)); echo "not ok $n - $1"; }
skip() { n=$((n + 1)); echo "ok $n # SKIP $1"; }

if [ ! -x "$tool" ]; then
    echo "1..0 # SKIP $tool is not built"
    exit 0
fi
if [ -f "$data/hostile/pillow_rgb.tsv" ]; then
    out=$("$tool" hostile "$data/hostile" --differences "$here/decode_differences.tsv")
    rc=$?
    echo "$out" | sed 's/^/# /'
    what="hostile files: pixels equal Pillow's, verdicts equal but for the table of differences"
    if [ $rc -eq 0 ]; then ok "$what"; else not_ok "$what"; fi
else
    skip "hostile files: no $data/hostile"
fi
if [ -d "$data/hostile/jpeg" ] && [ -d "$data/images" ]; then
    list=$(mktemp)
    find "$data/hostile/jpeg" "$data/images" -type f ! -name '*.png' >"$list"
    out=$("$tool" same "$list")
    rc=$?
    rm -f "$list"
    echo "$out" | tail -5 | sed 's/^/# /'
    what="JPEG files, whole and through windows: our decoder equals libjpeg-turbo"
    if [ $rc -eq 0 ]; then ok "$what"; else not_ok "$what"; fi
else
    skip "our JPEG decoder against libjpeg-turbo: no $data/hostile and $data/images"
fi
if [ -x "$build/tools/entropy_bench" ] && [ -d "$data/hostile/jpeg" ] && [ -d "$data/images" ]; then
    list=$(mktemp)
    find "$data/hostile/jpeg" "$data/images" -type f ! -name '*.png' >"$list"
    out=$("$build/tools/entropy_bench" same "$list")
    rc=$?
    rm -f "$list"
    echo "$out" | tail -1 | sed 's/^/# /'
    what="JPEG files: our coefficients equal jpeg_read_coefficients"
    if [ $rc -eq 0 ]; then ok "$what"; else not_ok "$what"; fi
else
    skip "our JPEG coefficients against libjpeg-turbo: no entropy_bench, $data/hostile or $data/images"
fi
for where in hostile images; do
    if [ -d "$data/$where" ]; then
        list=$(mktemp)
        share=0.9
        if [ $where = images ]; then share=1; fi
        find "$data/$where" -type f >"$list"
        out=$("$tool" same-png "$list" $share)
        rc=$?
        rm -f "$list"
        echo "$out" | tail -5 | sed 's/^/# /'
        what="$where: rows of PNG files through libpng equal our own, and libpng reads nearly all that decode"
        if [ $rc -eq 0 ]; then ok "$what"; else not_ok "$what"; fi
    else
        skip "libpng against our own rows: no $data/$where"
    fi
done
version=$("$python" -c 'import PIL, torchvision; print(PIL.__version__)' 2>/dev/null)
if [ -z "$version" ]; then
    skip "no Pillow and torchvision in $python"
elif [ ! -d "$data/lists" ]; then
    skip "real images: no $data/lists"
else
    for set in $(ls "$data/lists" | sed -n 's/\.txt$//p'); do
        out=$("$python" "$here/pillow_images.py" "$tool" "$data" --sets "$set" --every "${OUTPOST_IMAGE_EVERY:-25}")
        rc=$?
        what="$set: RGB of all images, 16 resizes of a sample equal Pillow $version and torchvision"
        if [ $rc -eq 0 ]; then ok "$what"; else not_ok "$what"; echo "$out" | grep -A5 '^not ok' | sed 's/^/# /'; fi
    done
fi
if [ -n "$version" ] && [ -f "$data/hostile/pillow_rgb.tsv" ]; then
    for kind in png jpeg progressive; do
        out=$("$python" "$here/pillow_mutations.py" "$tool" "$data" --kind $kind --count 1500 --seed 11)
        rc=$?
        echo "$out" | tail -5 | sed 's/^/# /'
        if [ $rc -eq 0 ]; then ok "damaged $kind files: verdict and pixels are Pillow's"; else not_ok "damaged $kind files"; fi
    done
else
    skip "damaged files: no Pillow or no seeds"
fi
echo "1..$n"
