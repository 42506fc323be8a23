#!/bin/sh
# make demo: images -> features -> the GEN table, on an embedded default: no download, no GPU.
#   demo.sh BUILD OUT
set -eu
build=$1 out=$2 work=$1/demo
mkdir -p "$work/features" "$out"
"$build/demo-images" "$work"
for set in train id near texture glyphs noise; do
    "$build/extract" run -q --force -m demo -w weights/demo.safetensors -r "$work/images" \
        -l "$work/lists/$set.txt" -o "$work/features/$set.h5"
done
"$build/score" run --train "$work/features/train.h5" --id "$work/features/id.h5" \
    --ood "near=$work/features/near.h5" "texture=$work/features/texture.h5" \
    "glyphs=$work/features/glyphs.h5" "noise=$work/features/noise.h5" \
    --methods gen --json "$out/results.json" --csv "$out/results.csv" \
    --markdown "$out/results.md" --latex "$out/results.tex" --scores "$out/scores.h5"
echo "written: $out/results.json results.csv results.md results.tex scores.h5"
