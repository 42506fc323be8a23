#!/bin/sh
# --views: random views of each image. What was cut is stored; the pixels are those of Pillow for that cut.
. "$(dirname "$0")/e2e.sh"
demo_images 1
[ -n "$python" ] || skip_all "no Python with h5py and numpy"
list=$lists/id.txt
holds() { # holds SENTENCE CHECK ARGUMENTS...: tests/cli/view_values.py agrees
    say=$1
    shift
    "$python" "$helpers/view_values.py" "$@" > "$out" 2> "$err"
    ok $? "$say"
    sed 's/^/# /' "$out"
}
demo 0 -r "$images" -l "$list" -o "$tmp/v.h5" --limit 60 --views 5 --seed 3 --tap image
ok $? "five views of 60 images"
"$extract" check "$tmp/v.h5" > "$out" 2> "$err" && "$extract" inspect "$tmp/v.h5" | grep -q '/views  *i64 *\[300,5\]'
ok $? "check and inspect"
if "$python" -c 'import PIL' 2> /dev/null; then
    holds "rows, labels, paths and cuts: within torchvision's limits, spread over them" cuts "$tmp/v.h5" "$list" "$images" 60 5
    holds "the pixels: Pillow's crop, resize and transpose, to the bit" pixels "$tmp/v.h5" "$images"
    "$python" "$helpers/view_values.py" draw "$tmp" && "$extract" run -m demo -w "$root/weights/demo.safetensors" -r "$tmp/drawn" \
        -l "$tmp/drawn.txt" -o "$tmp/d.h5" --views 20 --tap image > "$out" 2> "$err"
    ok $? "views of large, small, flat and narrow images, JPEG and PNG"
    holds "their pixels" pixels "$tmp/d.h5" "$tmp/drawn"
    holds "a strip without any allowed view: the middle of it" middle "$tmp/d.h5"
else
    skip "the pixels" "no Pillow"
fi
demo 0 -r "$images" -l "$list" -o "$tmp/w.h5" --limit 60 --views 5 --seed 3 --tap image -b 7 -j 3 && cmp "$tmp/v.h5" "$tmp/w.h5"
ok $? "other batches and threads: the same bytes"
demo 0 -r "$images" -l "$list" -o "$tmp/one.h5" --limit 60 --views 5 --seed 4
holds "another seed: other cuts" differ "$tmp/v.h5" "$tmp/one.h5"
for i in 0 1 2 3; do
    demo 0 -r "$images" -l "$list" -o "$tmp/part.h5" --limit 60 --views 5 --seed 3 --tap image --shard $i/4 || echo "# shard $i"
done
"$extract" merge -o "$tmp/merged.h5" "$tmp"/part*.h5 > "$out" 2> "$err" && cmp "$tmp/merged.h5" "$tmp/v.h5"
ok $? "four shards, merged: the same bytes"
demo 0 -r "$images" -l "$list" -o "$tmp/long.h5" --views 9
demo 75 -r "$images" -l "$list" -o "$tmp/s.h5" --views 9 --stop-after 0.1s -b 8
demo 0 -r "$images" -l "$list" -o "$tmp/s.h5" --views 9 && said 'continuing after' && cmp "$tmp/s.h5" "$tmp/long.h5"
ok $? "interrupted and continued: the same bytes"
demo 4 -r "$images" -l "$list" -o "$tmp/s.h5" --views 9 --seed 1 && said 'views' && one_line
ok $? "another seed for a finished file: exit 4, said so"
head -n 3 "$list" > "$tmp/bad.txt"
echo nothing.png 0 >> "$tmp/bad.txt"
demo 3 -r "$images" -l "$tmp/bad.txt" -o "$tmp/bad.h5" --views 2
holds "an image that is not there: its views are flagged" flagged "$tmp/bad.h5"
demo 2 -r "$images" -l "$list" -o "$tmp/no.h5" --views 0 && one_line && nothing_at "$tmp/no.h5"
ok $? "--views 0: exit 2"
finish
