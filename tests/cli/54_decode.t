#!/bin/sh
# --decode gpu writes the bytes of --decode cpu: over the CPU twins of the decode kernels, over the mock device,
# for any batch and threads, with bad images among the good; and record by record over real and hostile files.
#   OUTPOST_LONG=1   all files of the real sets
. "$(dirname "$0")/e2e.sh"
demo_images 0.03
list=$lists/train.txt
unset OUTPOST_MOCK_FAIL OUTPOST_MOCK_DEVICES OUTPOST_MOCK_WRONG OUTPOST_MOCK_MEMORY
OMP_NUM_THREADS=1 # the twins are called for one image after another
export OMP_NUM_THREADS

# Good images, cut ones, text, a folder, a missing one.
mkdir "$tmp/mixed"
k=0
while read -r name _; do
    k=$((k + 1))
    [ $k -gt 40 ] && break
    cp "$images/$name" "$tmp/mixed/$(printf %02d $k).${name##*.}"
done < "$list"
first=$(ls "$tmp/mixed" | head -n 1)
for f in 07 19; do
    at=$(ls "$tmp/mixed/$f".*)
    head -c 300 "$at" > "$tmp/cut" && mv "$tmp/cut" "$at"
done
echo text > "$tmp/mixed/text.jpg"
: > "$tmp/mixed/empty.jpg"
{ ls "$tmp/mixed" | sed 's/$/ 1/'; echo "missing.jpg 2"; } > "$tmp/mixed.txt"

# both SENTENCE WANTED ARGUMENTS...: the same exit status, bytes and words
both() {
    say=$1 want=$2
    shift 2
    rm -f "$tmp"/cpu.h5* "$tmp"/gpu.h5*
    demo "$want" -r "$tmp/mixed" -l "$tmp/mixed.txt" -o "$tmp/cpu.h5" --decode cpu --progress none "$@" &&
        grep 'image [0-9]' "$err" > "$tmp/words" &&
        demo "$want" -r "$tmp/mixed" -l "$tmp/mixed.txt" -o "$tmp/gpu.h5" --decode gpu --progress none "$@" &&
        grep 'image [0-9]' "$err" | cmp -s - "$tmp/words" && [ -s "$tmp/words" ] && cmp "$tmp/cpu.h5" "$tmp/gpu.h5"
    ok $? "$say"
}
check "there are images" [ -n "$first" ]
for b in 1 5 32; do both "cpu: -b $b" 3 -b $b; done
both "cpu: one decoder, -b 7" 3 -b 7 -j 1
both "cpu: bad images accepted" 0 --max-bad 9
both "cpu: bicubic" 3 --prep timm:filter=bicubic
both "cpu: cv2, which only the CPU does" 3 --prep torchvision:filter=cv2-bilinear
both "cpu: images are made larger, with a border" 3 --prep torchvision:resize=24,crop=32

demo 2 -r "$images" -o "$tmp/x.h5" --decode sometimes
check "--decode sometimes is refused" said "sometimes"

if [ -e "$build/mock/outpost-cuda.so" ]; then
    OUTPOST_PLUGIN_DIR=$build/mock
    export OUTPOST_PLUGIN_DIR
    both "mock device: -b 4" 3 -d cuda -b 4 --limit 24 --dump features
    demo 3 -r "$tmp/mixed" -l "$tmp/mixed.txt" -o "$tmp/auto.h5" -d cuda -b 4 --limit 24 --dump features --progress none
    check "mock device: auto writes them too" cmp "$tmp/auto.h5" "$tmp/gpu.h5"
    # Decoding is the device's: a wrong bit in its kernel is seen in the file.
    OUTPOST_MOCK_WRONG=resize_down_fwd "$extract" run -m demo -w "$root/weights/demo.safetensors" -d cuda -b 4 \
        -r "$tmp/mixed" -l "$tmp/mixed.txt" -o "$tmp/wrong.h5" --limit 24 --dump features --progress none > "$out" 2> "$err"
    cmp -s "$tmp/wrong.h5" "$tmp/gpu.h5"
    check "mock device: the kernels decode" [ $? -eq 1 ]
    # It is lost while records go up: exit 5, and the same command goes on.
    OUTPOST_MOCK_FAIL=copy_in:30:214:lost "$extract" run -m demo -w "$root/weights/demo.safetensors" -d cuda -b 4 \
        -r "$tmp/mixed" -l "$tmp/mixed.txt" -o "$tmp/lost.h5" --limit 24 --dump features --progress none > "$out" 2> "$err"
    check "mock device: lost under way, exit 5" [ $? -eq 5 ]
    demo 3 -r "$tmp/mixed" -l "$tmp/mixed.txt" -o "$tmp/lost.h5" -d cuda -b 4 --limit 24 --dump features --progress none
    check "mock device: the run that goes on writes the same" cmp "$tmp/lost.h5" "$tmp/gpu.h5"
else
    skip "mock device" "no $build/mock/outpost-cuda.so"
fi

# Record by record, against prep_decode.
few=40
[ -n "$long" ] && few=100000
records() { # records SENTENCE LEAST RECIPE...: the files named in $tmp/files; at least LEAST as records
    say=$1 least=$2
    shift 2
    "$build/tools/record_check" "$tmp/files" "$@" > "$out" 2> "$err"
    got=$?
    cat "$out" >> "$err"
    tail -n 1 "$out" | sed 's/^/# /'
    [ $got -eq 0 ] && [ "$(tail -n 1 "$out" | sed 's/.*as records \([0-9]*\),.*/\1/')" -ge "$least" ]
    ok $? "$say"
}
if [ -x "$build/tools/record_check" ]; then
    find "$images" -name '*.jpg' | sort | head -n $few > "$tmp/files"
    records "demo images" 30 torchvision cifar
    for set in imagenet-sample imagenette-train textures scenes flowers tin32; do
        if [ -e "$data/lists/$set.txt" ]; then
            awk -v root="$data/images" '/^[^#]/ { print root "/" $1 }' "$data/lists/$set.txt" |
                head -n $few > "$tmp/files"
            records "$set" $((few < 100 ? few * 9 / 10 : 90)) torchvision timm:filter=bicubic
        else skip "$set" "not in $data"; fi
    done
    if [ -d "$data/hostile/jpeg" ]; then
        find "$data/hostile/jpeg" "$data/hostile/png" -type f | sort | awk -v all="$long" 'all || NR % 4 == 0' > "$tmp/files"
        records "hostile files" 20 torchvision
    else skip "hostile files" "not in $data"; fi
else
    skip "record by record" "no $build/tools/record_check"
fi
finish
