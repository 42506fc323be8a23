#!/bin/sh
# cv2's filters against OpenCV, and the preset mmcls against mmcls.
# OUTPOST_CV2_CASES (default 2000): random sizes; OUTPOST_IMAGE_EVERY (default 25): every how many
# real images; CV2_PYTHON and MMCLS_PYTHON: interpreters that have the packages.
build=${BUILD:-build}
data=${OUTPOST_DATA:-$HOME/.cache/outpost-data}
here=$(dirname "$0")/../golden
every=${OUTPOST_IMAGE_EVERY:-25}
n=0
ok() { n=$((n + 1)); echo "ok $n - $1"; }
not_ok() { n=$((n + 1)); echo "not ok $n - $1"; }
skip() { n=$((n + 1)); echo "ok $n # SKIP $1"; }

if [ ! -x "$build/tools/resize_check" ] || [ ! -x "$build/tools/decode_check" ]; then
    echo "1..0 # SKIP $build/tools is not built"
    exit 0
fi
has() { "$1" -W ignore -c "$2" >/dev/null 2>&1; }
# one check a script: its own TAP goes into comments
judge() {
    what=$1
    shift
    out=$("$@" 2>&1)
    rc=$?
    echo "$out" | sed 's/^/# /'
    if [ $rc -eq 0 ]; then ok "$what"; else not_ok "$what"; fi
}

python=${CV2_PYTHON:-/usr/bin/python3}
if has "$python" 'import cv2, PIL'; then
    set -- "$build/tools/resize_check" --cases "${OUTPOST_CV2_CASES:-2000}"
    if [ -d "$data/lists" ]; then set -- "$@" --every "$every" --decode "$build/tools/decode_check" "$data"; fi
    judge "cv2-bilinear and cv2-bicubic have OpenCV's bytes" "$python" "$here/cv2_resize.py" "$@"
else
    skip "cv2-bilinear and cv2-bicubic against OpenCV: no cv2 in $python"
fi
python=${MMCLS_PYTHON:-/usr/bin/python3}
if ! has "$python" 'import mmcls, mmcv, cv2'; then
    skip "preset mmcls against mmcls: no mmcls in $python"
elif [ ! -d "$data/lists" ]; then
    skip "preset mmcls against mmcls: no $data/lists"
else
    judge "sizes, offsets and bytes are those of mmcls's Resize and CenterCrop" \
        "$python" -W ignore "$here/mmcls_images.py" "$build/tools/decode_check" "$data" --every "$every"
fi
echo "1..$n"
