#!/bin/sh
# The same bytes of the output file, whatever the threads, the batch, the interruptions and the folder.
#   OUTPOST_LONG=1   a larger matrix
. "$(dirname "$0")/e2e.sh"
demo_images 0.08
list=$lists/train.txt
mkdir "$tmp/else"
ln -s "$images" "$tmp/else/where"
cp "$list" "$tmp/else/train.txt"
combinations=0
# same SENTENCE REFERENCE ARGUMENTS...: a run with these writes the bytes of REFERENCE
same() {
    say=$1 ref=$2
    shift 2
    rm -f "$tmp"/x.h5*
    combinations=$((combinations + 1))
    demo 0 -q -r "$images" -l "$list" -o "$tmp/x.h5" "$@" && cmp "$tmp/x.h5" "$ref"
    ok $? "$say"
}
# split SENTENCE REFERENCE STOPS ARGUMENTS...: interrupted again and again; the batch size changes too
split() {
    say=$1 ref=$2
    shift 2
    rm -f "$tmp"/x.h5*
    : > "$tmp/stops"
    combinations=$((combinations + 1))
    pause=10 # ms; more when nothing was done in it
    for b in 1 3 2 7 4 5 1 6 3 2 9 1 5 2 3 1; do
        "$extract" run -m demo -w "$root/weights/demo.safetensors" -r "$images" -l "$list" -o "$tmp/x.h5" \
            -b $b --stop-after "0.$(printf %03d $pause)s" "$@" > "$out" 2> "$err"
        [ $? -eq 75 ] || break
        before=$(wc -l < "$tmp/stops")
        sed -n 's/.*stopped by --stop-after after \([1-9][0-9]*\) of .*/\1/p' "$err" >> "$tmp/stops"
        sort -nu "$tmp/stops" -o "$tmp/stops"
        [ "$(wc -l < "$tmp/stops")" -eq "$before" ] && pause=$((pause * 3 / 2))
    done
    demo 0 -q -r "$images" -l "$list" -o "$tmp/x.h5" "$@" && cmp "$tmp/x.h5" "$ref" && [ "$(wc -l < "$tmp/stops")" -ge 2 ]
    ok $? "$say (after $(xargs < "$tmp/stops"))"
}
matrix() { # matrix PRECISION
    p=$1 ref=$tmp/ref_$1.h5
    demo 0 -q -r "$images" -l "$list" -o "$ref" -p "$p" -t 1 -j 1 -b 32 --tap layer2 --tap layer3:mean
    ok $? "$p: reference: one thread, batches of 32"
    set -- -p "$p" --tap layer2 --tap layer3:mean
    threads="1 2 3" decoders="1 4" batches="1 5 32"
    [ -n "$long" ] && threads="1 2 3 4 5 7 8 16" decoders="1 2 4 9" batches="1 2 3 5 8 13 32 64 120 121 500"
    for t in $threads; do
        for j in $decoders; do
            for b in $batches; do
                same "$p: -t $t -j $j -b $b" "$ref" "$@" -t "$t" -j "$j" -b "$b"
            done
        done
    done
    for m in 1 3; do
        OUTPOST_MICRO=$m
        export OUTPOST_MICRO
        same "$p: OUTPOST_MICRO=$m" "$ref" "$@"
        same "$p: OUTPOST_MICRO=$m -t 2 -b 5" "$ref" "$@" -t 2 -b 5
        unset OUTPOST_MICRO
    done
    split "$p: interrupted, resumed with other batch sizes" "$ref" "$@"
    split "$p: interrupted, three threads" "$ref" "$@" -t 3
    same "$p: another root prefix" "$ref" "$@" -r "$tmp/else/where"
    same "$p: a root with ./ and // in it" "$ref" "$@" -r "$tmp/./demo//images/"
    same "$p: the list in another folder" "$ref" "$@" -l "$tmp/else/train.txt"
    (cd "$tmp/demo" && "$extract" run -q -m demo -w "$root/weights/demo.safetensors" -r images -l lists/train.txt \
        -o "$tmp/y.h5" "$@") > "$out" 2> "$err" && cmp "$tmp/y.h5" "$ref"
    ok $? "$p: relative paths from another working folder"
    TZ=Pacific/Apia OMP_NUM_THREADS=5 LC_ALL=C.UTF-8 same "$p: another time zone, locale, OMP_NUM_THREADS" "$ref" "$@"
    (unset HOME; umask 077; rm -f "$tmp"/x.h5*; "$extract" run -q -m demo -w "$root/weights/demo.safetensors" -r "$images" \
        -l "$list" -o "$tmp/x.h5" "$@" <&- > "$out" 2> "$err") && cmp "$tmp/x.h5" "$ref"
    ok $? "$p: no HOME, umask 077, closed stdin"
    if command -v setarch > /dev/null && setarch "$(uname -m)" -R true 2> /dev/null; then
        setarch "$(uname -m)" -R "$extract" run -q -m demo -w "$root/weights/demo.safetensors" -r "$images" -l "$list" \
            -o "$tmp/z.h5" "$@" > "$out" 2> "$err" && cmp "$tmp/z.h5" "$ref"
        ok $? "$p: without address space randomisation"
    else
        skip "$p: without address space randomisation" "no setarch -R here"
    fi
    rm -f "$tmp"/[xyz].h5*
}

matrix fp32
# bf16 where the CPU has it: the program says with which kernels it ran
demo 0 -r "$images" -l "$list" -o "$tmp/bf.h5" -p bf16 --limit 40
if [ "$got" -eq 0 ]; then matrix bf16; else skip "bf16" "$(head -n 1 "$err" | tr -d '#')"; fi

# a prefix of the list gives the rows of the whole; limits that grow are other runs, not resumed ones
if [ -n "$python" ]; then
    for k in 1 31 32 33 119; do
        demo 0 -q -r "$images" -l "$list" -o "$tmp/k.h5" --limit $k --force &&
            "$python" "$helpers/e2e_values.py" same "$tmp/k.h5" "$tmp/ref_fp32.h5" features logits > "$out" 2>&1
        ok $? "--limit $k: the first $k rows of the whole to the bit"
    done
    # features of a row do not depend on its neighbours
    sort -r "$list" > "$tmp/reverse.txt"
    demo 0 -q -r "$images" -l "$tmp/reverse.txt" -o "$tmp/rev.h5" -b 7 &&
        "$python" "$helpers/e2e_values.py" permuted "$tmp/rev.h5" "$tmp/ref_fp32.h5" > "$out" 2>&1
    ok $? "another order of the list: every image keeps its values to the bit"
fi

# --- the three kernel sets --------------------------------------------------------------------------
kernels() { "$extract" inspect "$1" | sed -n 's/^  kernels: //p'; }
k=$(kernels "$tmp/ref_fp32.h5")
for cpu in base avx2; do
    OUTPOST_CPU=$cpu demo 0 -q -r "$images" -l "$list" -o "$tmp/$cpu.h5" --tap layer2 --tap layer3:mean
    ok $? "OUTPOST_CPU=$cpu runs"
    if [ "$(kernels "$tmp/$cpu.h5")" = "$k" ]; then
        cmp "$tmp/$cpu.h5" "$tmp/ref_fp32.h5"
        ok $? "OUTPOST_CPU=$cpu rounds as $k says: the same bytes"
        continue
    fi
    if [ -z "$python" ]; then skip "OUTPOST_CPU=$cpu agrees" "no Python with h5py and numpy"; continue; fi
    "$python" "$helpers/e2e_values.py" near "$tmp/$cpu.h5" "$tmp/ref_fp32.h5" 1e-5 > "$out" 2>&1
    ok $? "OUTPOST_CPU=$cpu ($(kernels "$tmp/$cpu.h5")) agrees with $k within 1e-5 of each image: $(tr '\n' ' ' < "$out")"
    OUTPOST_CPU=$cpu demo 0 -q -r "$images" -l "$list" -o "$tmp/c2.h5" --tap layer2 --tap layer3:mean -t 3 -b 5 -j 4 --force &&
        cmp "$tmp/c2.h5" "$tmp/$cpu.h5"
    ok $? "OUTPOST_CPU=$cpu: the same bytes with three threads and batches of 5"
done
echo "# $combinations combinations, one digest a precision"
finish
