#!/bin/sh
# extract from outside, on the drawn images and the demo network: lists, bad images, taps, refusals,
# resuming, signals, progress, models, inspect, check, full disks.  Values are held by e2e_values.py.
. "$(dirname "$0")/e2e.sh"
demo_images 0.04
list=$lists/train.txt
h5() { # h5 WHAT ARGUMENTS...: e2e_values.py
    "$python" "$helpers/e2e_values.py" "$@" > "$out" 2>&1
    status=$?
    [ "$status" -eq 0 ] || sed 's/^/# /' "$out"
    return "$status"
}
holds() { # holds SENTENCE WHAT ARGUMENTS...
    say=$1
    shift
    if [ -z "$python" ]; then skip "$say" "no Python with h5py and numpy"; return; fi
    h5 "$@"
    ok $? "$say$(sed -n 's/^used /: /p' "$out")"
}

# --- a plain run ------------------------------------------------------------------------------------
check "a run succeeds" demo 0 -r "$images" -l "$list" -o "$tmp/a.h5"
check "nothing goes to standard output" test ! -s "$out"
check "it leaves the file and nothing else" test "$(cd "$tmp" && echo a.h5*)" = a.h5
holds "paths, labels, status, /head are what the list and the checkpoint say; logits = features head" \
    plain "$tmp/a.h5" "$list" "$root/weights/demo.safetensors"
check "-q: no words at all" demo 0 -q -r "$images" -l "$list" -o "$tmp/q.h5"
check "-q: silence" test ! -s "$err"
check "-q: the same bytes" cmp "$tmp/a.h5" "$tmp/q.h5"

# --- list formats -----------------------------------------------------------------------------------
head -n 6 "$list" > "$tmp/six"
{ printf '\357\273\277'; sed 's/$/\r/' "$tmp/six"; printf '\r\n\n'; } > "$tmp/crlf"
check "list: byte order mark, CR LF, empty lines" demo 0 -r "$images" -l "$tmp/crlf" -o "$tmp/f1.h5"
holds "list: the same rows" plain "$tmp/f1.h5" "$tmp/six"
head -c -1 "$tmp/six" > "$tmp/open"
check "list: no line end at the end" demo 0 -r "$images" -l "$tmp/open" -o "$tmp/f2.h5"
holds "list: the last row is there" plain "$tmp/f2.h5" "$tmp/six"
sed 's/ [0-9]*$//' "$tmp/six" > "$tmp/bare"
check "gen: paths without labels" demo 0 -r "$images" -l "$tmp/bare" -o "$tmp/f3.h5" --list-format gen
holds "gen: labels are -1" labels "$tmp/f3.h5" -1,-1,-1,-1,-1,-1
mkdir -p "$tmp/blank/a b"
cp "$images/$(head -n 1 "$tmp/bare")" "$tmp/blank/a b/c d.jpg"
echo 'a b/c d.jpg 7' > "$tmp/blanks"
check "gen: blanks in a path" demo 0 -r "$tmp/blank" -l "$tmp/blanks" -o "$tmp/f4.h5"
holds "gen: the label is the last word" labels "$tmp/f4.h5" 7
sed 's/ \([0-9]*\)$/   1\1/' "$tmp/six" > "$tmp/openood"
check "openood: path and label" demo 0 -r "$images" -l "$tmp/openood" -o "$tmp/f5.h5" --list-format openood
holds "openood: the labels" labels "$tmp/f5.h5" 10,10,10,10,10,10
awk '{ print $1, NR % 3, 100 + NR }' "$tmp/six" > "$tmp/mos"
check "mos: path, group, subclass" demo 0 -r "$images" -l "$tmp/mos" -o "$tmp/f6.h5" --list-format mos
holds "mos: the label is the subclass" labels "$tmp/f6.h5" 101,102,103,104,105,106
check "auto: takes such a list for mos" demo 0 -r "$images" -l "$tmp/mos" -o "$tmp/f7.h5"
holds "auto: the label is the subclass" labels "$tmp/f7.h5" 101,102,103,104,105,106
mkdir -p "$tmp/tree/b" "$tmp/tree/.hidden"
k=0
while read -r f; do
    k=$((k + 1))
    cp "$images/$f" "$tmp/tree/b/$((7 - k)).${f##*.}"
done < "$tmp/bare"
cp "$tmp/tree/b/6.jpg" "$tmp/tree/.hidden/x.jpg"
cp "$tmp/tree/b/6.jpg" "$tmp/tree/a.JPG"
: > "$tmp/tree/b/readme.txt"
check "no list: all images below the root" demo 0 -r "$tmp/tree" -o "$tmp/f8.h5"
(cd "$tmp/tree" && find . -name '.hidden' -prune -o -type f ! -name '*.txt' -print | sed 's|^\./||' | sort) > "$tmp/found"
holds "no list: in byte order, hidden files passed over" plain "$tmp/f8.h5" "$tmp/found"

# --- lists that are refused -------------------------------------------------------------------------
refused() { # refused SENTENCE WORDS [ARGUMENTS...]: the list $tmp/bad is refused with WORDS
    say=$1 words=$2
    shift 2
    demo 4 -r "$images" -l "$tmp/bad" -o "$tmp/no.h5" "$@" && said "$words" && one_line && nothing_at "$tmp/no.h5"
    ok $? "list refused: $say: exit 4, one line with '$words', nothing written"
}
three() { sed -n 1,2p "$tmp/six"; echo "$1"; sed -n 3,4p "$tmp/six"; }
three 'train/rings/0000.jpg abc' > "$tmp/bad"
refused "no label" "bad: list-label: line 3: "
three '../rings/0000.jpg 1' > "$tmp/bad"
refused "a path that leads out" "bad: list-path: line 3: "
three 'train/../../x.jpg 1' > "$tmp/bad"
refused "a path that leads out in the middle" "bad: list-path: line 3: "
three '/etc/passwd 1' > "$tmp/bad"
refused "an absolute path" "bad: list-path: line 3: "
three 'train/x.jpg 99999999999999999999' > "$tmp/bad"
refused "a label beyond 63 bits" "bad: list-range: line 3: "
three 'train/x.jpg -2' > "$tmp/bad"
refused "a label below -1" "bad: list-range: line 3: "
three 'train/x.jpg' > "$tmp/bad"
refused "openood without label" "bad: list-label: line 3: " --list-format openood
three 'train/x.jpg 5' > "$tmp/bad"
refused "mos with one number" "bad: list-label: line 1: " --list-format mos
{ three 'train/x.jpg 5' ; printf 'train/\000.jpg 1\n'; } > "$tmp/bad"
refused "a NUL byte" "bad: list-nul: line 6: "
three "$(head -c 70000 /dev/zero | tr '\0' x) 5" > "$tmp/bad"
refused "a line of 70,000 bytes" "bad: list-limit: line 3: "
printf '\n\n  \n' > "$tmp/bad"
refused "no image" "bad: list-empty: "
rm "$tmp/bad"
refused "not there" "bad: cannot open: "
mkdir "$tmp/bad"
refused "a folder" "bad: not a regular file"
mkdir "$tmp/void"
demo 4 -r "$tmp/void" -o "$tmp/no.h5" && one_line && nothing_at "$tmp/no.h5"
ok $? "a root without images is refused"
demo 4 -r "$tmp/nowhere" -l "$list" -o "$tmp/no.h5" && said nowhere && one_line && nothing_at "$tmp/no.h5"
ok $? "a root that is not there: exit 4, nothing written"
demo 4 -r "$list" -l "$list" -o "$tmp/no.h5" && said 'not a folder' && nothing_at "$tmp/no.h5"
ok $? "a root that is a file: exit 4, nothing written"

# --- images that cannot be used -----------------------------------------------------------------------
png=$(grep -m 1 'png$' "$tmp/bare")
jpg=$(grep -m 1 'jpg$' "$tmp/bare")
odd=$(printf 'es\033[31mc\a\302\233\r.png')
mkdir -p "$tmp/im/folder.jpg"
cp "$images/$png" "$tmp/im/good1.png"
cp "$images/$jpg" "$tmp/im/good2.jpg"
: > "$tmp/im/empty.png"
head -c 100 "$images/$png" > "$tmp/im/short.png"
head -c 60 "$images/$jpg" > "$tmp/im/short.jpg"
echo 'no image' > "$tmp/im/text.jpg"
mkfifo "$tmp/im/fifo.jpg"
ln -s nowhere "$tmp/im/link.jpg"
{
    printf '%s\n' good1.png missing.jpg empty.png folder.jpg short.png short.jpg text.jpg fifo.jpg link.jpg
    printf '%s\n' "$odd" good2.jpg
} > "$tmp/badimages"
demo 3 -r "$tmp/im" -l "$tmp/badimages" -o "$tmp/b.h5"
ok $? "bad images: exit 3, and the run goes to its end"
cp "$err" "$tmp/b.err"
check "bad images: nine of them, named with their row and reason" test "$(grep -c 'warning: image [0-9]* ' "$err")" -eq 9
check "bad images: the last line says how many and what to do" said "9 images could not be used; their rows are NaN and flagged in /status (--max-bad 9 accepts them)"
check "bad images: a hostile name is shown without control bytes" no_control_bytes "$err"
check "bad images: escaped instead" grep -qF 'es\x1b[31mc\x07' "$err"
holds "bad images: /status and NaN in every dataset" status "$tmp/b.h5" 1,2,3,2,3,3,3,2,2,2,1
holds "bad images: the good rows are those of a list without them" rows "$tmp/b.h5" 0,10 good1.png,good2.jpg
demo 3 -r "$tmp/im" -l "$tmp/badimages" -o "$tmp/b.h5" && said 'complete already'
ok $? "bad images: the finished file is still exit 3 when the command is repeated"
demo 0 -r "$tmp/im" -l "$tmp/badimages" -o "$tmp/b.h5" --max-bad 9
ok $? "--max-bad 9 accepts it"
demo 3 -r "$tmp/im" -l "$tmp/badimages" -o "$tmp/b.h5" --max-bad 8
ok $? "--max-bad 8 does not"
demo 0 -r "$tmp/im" -l "$tmp/badimages" -o "$tmp/b2.h5" --max-bad 9 && cmp "$tmp/b.h5" "$tmp/b2.h5"
ok $? "--max-bad 9: exit 0 and the same bytes"
{ cat "$tmp/badimages"; repeat 800 "$tmp/badimages"; } > "$tmp/manybad"
demo 75 -r "$tmp/im" -l "$tmp/manybad" -o "$tmp/b3.h5" --stop-after 0.05s -b 1 --progress none
ok $? "bad images, interrupted: exit 75"
check "bad images: at most ten are named" test "$(grep -c 'warning: image' "$err")" -le 10
demo 3 -r "$tmp/im" -l "$tmp/manybad" -o "$tmp/b3.h5" && said '7209 images could not be used'
ok $? "bad images, continued: those before the interruption count as well"
inspect_says() { "$extract" inspect "$1" > "$out" 2> "$err" && grep -qF "$2" "$out"; }
check "inspect counts them" inspect_says "$tmp/b.h5" "status ok 2 unreadable 5 decode_error 4"

# --- limit, dump, taps --------------------------------------------------------------------------------
check "--limit 7" demo 0 -r "$images" -l "$list" -o "$tmp/l7.h5" --limit 7
head -n 7 "$list" > "$tmp/seven"
holds "--limit 7: the first seven rows" plain "$tmp/l7.h5" "$tmp/seven"
check "--limit beyond the list is the list" demo 0 -r "$images" -l "$list" -o "$tmp/l99.h5" --limit 99999
check "--limit beyond the list: the same bytes" cmp "$tmp/a.h5" "$tmp/l99.h5"
for what in features logits; do
    demo 0 -r "$images" -l "$list" -o "$tmp/only_$what.h5" --dump $what
    ok $? "--dump $what"
    holds "--dump $what: that dataset alone, with the values of the full run" only "$tmp/only_$what.h5" "$tmp/a.h5" $what
done
taps='--limit 9'
for t in layer1 layer2 layer3 avgpool; do
    taps="$taps --tap $t --tap $t:mean --tap $t:sum --tap $t:max"
done
demo 0 -r "$images" -l "$list" -o "$tmp/t.h5" $taps
ok $? "--tap: every tap of the network, whole and reduced in three ways"
holds "--tap: shapes, and mean, sum, max against numpy" taps "$tmp/t.h5" layer1=16,32,32 layer2=32,16,16 layer3=64,8,8 avgpool=64
holds "--tap: features and logits are those of a run without" same "$tmp/t.h5" "$tmp/a.h5" features logits
demo 0 -r "$images" -l "$list" -o "$tmp/t2.h5" --limit 9 --tap layer2:map --tap layer2:max -b 4
ok $? "--tap: :map is the whole"
holds "--tap: one alone gives the values that all gave" same "$tmp/t2.h5" "$tmp/t.h5" taps/layer2 taps/layer2:max

# --- refusals of the command line: exit 2, one line, nothing written -------------------------------------
usage() { # usage WORDS ARGUMENTS...
    words=$1
    shift
    demo 2 -r "$images" -l "$list" -o "$tmp/no.h5" "$@" && said "$words" && one_line && nothing_at "$tmp/no.h5"
    ok $? "exit 2, one line with '$words', nothing written"
}
usage "no model 'dmo'; did you mean demo?" -m dmo
usage "no model 'resnet5'; did you mean resnet50?" -m resnet5
usage "demo has no tap 'laye1'; did you mean layer1?" --tap laye1
usage "'men' is not map, mean, sum or max" --tap layer1:men
usage "is asked for twice" --tap layer1 --tap layer1
usage "no 'feature'; features, logits" --dump feature
usage "unknown option '--thread'; did you mean --threads?" --thread 3
usage "no precision 'fp23'" -p fp23
usage "no preset 'cifr'; did you mean 'cifar'?" --prep cifr
usage "'gn' is not one of its values; did you mean 'gen'?" --list-format gn
usage "no device 'gpu'" -d gpu
usage "--batch" -b 0
usage "--batch" -b 4097
usage "--batch" -b x
usage "--limit" --limit 0
usage "--stop-after" --stop-after soon
usage "--progress" --progress loud
usage "resnet20 takes 32x32 images; this preprocessing gives 28x28" -m resnet20 --prep cifar:crop=28
usage "--prep: no key 'corp'" --prep cifar:corp=28
"$extract" run -m demo > "$out" 2> "$err"
[ $? -eq 2 ] && said '--weights' && one_line
ok $? "a required option that is missing: exit 2, named"
"$extract" rum > "$out" 2> "$err"
[ $? -eq 2 ] && said "did you mean" && said run
ok $? "a wrong command: exit 2, the near one offered"

# --- wrong checkpoints, devices, places ------------------------------------------------------------------
demo 4 -m resnet20 -r "$images" -l "$list" -o "$tmp/no.h5" && said 'not a checkpoint of resnet20; it looks like demo' &&
    one_line && nothing_at "$tmp/no.h5"
ok $? "a checkpoint of another network: exit 4, says of which, nothing written"
demo 4 -w "$list" -r "$images" -l "$list" -o "$tmp/no.h5" && one_line && nothing_at "$tmp/no.h5"
ok $? "a text file as checkpoint: exit 4"
demo 4 -w "$tmp/nofile" -r "$images" -l "$list" -o "$tmp/no.h5" && one_line && nothing_at "$tmp/no.h5"
ok $? "no checkpoint: exit 4"
head -c 100000 "$root/weights/demo.safetensors" > "$tmp/cut.safetensors"
demo 4 -w "$tmp/cut.safetensors" -r "$images" -l "$list" -o "$tmp/no.h5" && one_line && nothing_at "$tmp/no.h5"
ok $? "half a checkpoint: exit 4"
CUDA_VISIBLE_DEVICES='' demo 5 -d cuda -r "$images" -l "$list" -o "$tmp/no.h5" && one_line && said CUDA
ok $? "-d cuda without a device: exit 5, one line"
check "-d cuda without a device: nothing written" nothing_at "$tmp/no.h5"
demo 5 -r "$images" -l "$list" -o "$tmp/nodir/no.h5" && one_line
ok $? "an output folder that is not there: exit 5, one line"
for o in "$tmp/void" "$tmp/void/"; do
    demo 4 --force -r "$images" -l "$list" -o "$o" && said 'is a folder' && one_line && [ -z "$(ls -A "$tmp/void")" ] &&
        [ -z "$(ls -d "$tmp"/void.* 2>/dev/null)" ]
    ok $? "a folder as output, '${o##*/}': exit 4 at once, with --force too, nothing written"
done
demo 2 -r "$images" -l "$list" -o '' && said --out && one_line
ok $? "an empty output name: exit 2"
echo precious > "$tmp/p.h5"
demo 4 -r "$images" -l "$list" -o "$tmp/p.h5" && said 'is not a finished feature file' && test "$(cat "$tmp/p.h5")" = precious
ok $? "a foreign file at the output's name is kept"
mkdir "$tmp/ro" && chmod 555 "$tmp/ro"
if [ "$(id -u)" -ne 0 ]; then
    demo 5 -r "$images" -l "$list" -o "$tmp/ro/x.h5" && one_line
    ok $? "a read-only folder: exit 5, one line"
elif command -v setpriv > /dev/null; then
    chmod 755 "$tmp"
    setpriv --reuid 65534 --regid 65534 --clear-groups "$extract" run -m demo -w "$root/weights/demo.safetensors" \
        -r "$images" -l "$list" -o "$tmp/ro/x.h5" > "$out" 2> "$err"
    got=$?
    if [ "$got" -eq 126 ] || [ "$got" -eq 127 ]; then
        skip "a read-only folder: exit 5, one line" "another user cannot run the program where it is"
    else
        { [ "$got" -eq 5 ] || { [ "$got" -eq 4 ] && said 'ermission denied'; }; } && one_line && nothing_at "$tmp/ro/x.h5"
        ok $? "a read-only folder: exit 5, one line (got $got)"
    fi
else
    skip "a read-only folder: exit 5, one line" "root writes everywhere"
fi
mkdir "$tmp/disk"
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=16k tmpfs "$tmp/disk" 2> "$out"; then
    demo 5 -r "$images" -l "$list" -o "$tmp/disk/x.h5" && grep -qi 'no space' "$err" && one_line && nothing_at "$tmp/disk/x.h5"
    ok $? "a full disk: exit 5 before the first image, one line, nothing left"
    mount -o remount,size=4m "$tmp/disk" && demo 0 -r "$images" -l "$list" -o "$tmp/disk/x.h5" && cmp "$tmp/disk/x.h5" "$tmp/a.h5"
    ok $? "a full disk: once there is room the same command succeeds"
    rm "$tmp/disk/x.h5" && mount -o remount,ro "$tmp/disk" && demo 5 -r "$images" -l "$list" -o "$tmp/disk/x.h5" && one_line
    ok $? "a read-only disk: exit 5, one line"
    umount "$tmp/disk"
else
    skip "a full disk: exit 5" "needs root and mount"
    skip "a full disk: once there is room" "needs root and mount"
    skip "a read-only disk: exit 5" "needs root and mount"
fi

# --- finished files, other settings -------------------------------------------------------------------------
demo 0 -r "$images" -l "$list" -o "$tmp/a.h5" && said 'is complete already: 60 images' && cmp "$tmp/a.h5" "$tmp/q.h5"
ok $? "a finished file is recognised and left alone"
differs() { # differs WORDS ARGUMENTS...
    words=$1
    shift
    demo 4 -r "$images" -l "$list" -o "$tmp/a.h5" "$@" && said "$words" && said '--force' && one_line && cmp "$tmp/a.h5" "$tmp/q.h5"
    ok $? "other settings: exit 4, '$words', the file is kept"
}
differs 'list.rows is 60 there and 5 here' --limit 5
differs 'preprocess.preset is "cifar" there and "gen" here' --prep gen
differs 'outputs' --dump features
differs 'outputs' --tap layer1:mean
cp "$list" "$tmp/other.txt" && echo "$png 3" >> "$tmp/other.txt"
demo 4 -r "$images" -l "$tmp/other.txt" -o "$tmp/a.h5" && said 'list.' && cmp "$tmp/a.h5" "$tmp/q.h5"
ok $? "another list: exit 4, said so"
cp "$tmp/q.h5" "$tmp/force.h5"
demo 0 -r "$images" -l "$list" -o "$tmp/force.h5" --limit 7 --force && cmp "$tmp/force.h5" "$tmp/l7.h5"
ok $? "--force makes it anew"

# --- interruption -----------------------------------------------------------------------------------------
repeat 60 "$list" > "$tmp/long"
check "3,600 images unbroken" demo 0 -r "$images" -l "$tmp/long" -o "$tmp/whole.h5" --progress none -b 8
demo 75 -r "$images" -l "$tmp/long" -o "$tmp/s.h5" --stop-after 0.1s -b 8 && said 'stopped by --stop-after after' && said 'the same command continues'
ok $? "--stop-after: exit 75, says how to go on"
check "--stop-after: the unfinished file is not under the final name" test ! -e "$tmp/s.h5"
demo 4 -r "$images" -l "$tmp/long" -o "$tmp/s.h5" --prep gen && said 'preprocess.preset'
ok $? "an unfinished file with other settings: exit 4, says which"
demo 0 -r "$images" -l "$tmp/long" -o "$tmp/s.h5" -b 8 && said 'continuing after' && cmp "$tmp/s.h5" "$tmp/whole.h5"
ok $? "--stop-after: continued by the same command, the same bytes"
signalled() { # signalled SIGNAL...: starts a run, waits for its journal, sends them
    rm -f "$tmp"/s.h5*
    # the program listens to SIGINT although a background job of a script begins with it ignored
    "$extract" run -m demo -w "$root/weights/demo.safetensors" -r "$images" -l "$tmp/huge" -o "$tmp/s.h5" -b 8 \
        > "$out" 2> "$err" &
    pid=$!
    while [ ! -s "$tmp/s.h5.journal" ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
    sleep 0.1
    for s; do kill -"$s" $pid 2>/dev/null; done
    wait $pid
    got=$?
}
repeat 10 "$tmp/long" > "$tmp/huge"
for s in TERM USR1 HUP INT; do
    signalled $s
    [ "$got" -eq 75 ] && said "stopped by SIG$s after" && one_line
    ok $? "SIG$s: exit 75, one line"
done
demo 75 -r "$images" -l "$tmp/huge" -o "$tmp/s.h5" -b 8 --stop-after 0.1s && said 'continuing after'
ok $? "and the same command continues"
rm -f "$tmp"/s.h5*
demo 0 -r "$images" -l "$tmp/long" -o "$tmp/s.h5" -b 8 && cmp "$tmp/s.h5" "$tmp/whole.h5"
ok $? "a removed .part is started anew"
rm -f "$tmp"/s.h5*
# one batch of 4096: the first signal waits for its end, the second does not
"$extract" run -m demo -w "$root/weights/demo.safetensors" -r "$images" -l "$tmp/huge" -o "$tmp/s.h5" -b 4096 -t 1 \
    > "$out" 2> "$err" &
pid=$!
while [ ! -s "$tmp/s.h5.journal" ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
sleep 0.3
kill -INT $pid
sleep 0.1
kill -INT $pid
wait $pid
is $? 130 "a second SIGINT ends at once: exit 130"
rm -f "$tmp"/s.h5*

# --- progress ----------------------------------------------------------------------------------------------
demo 0 -r "$images" -l "$tmp/huge" -o "$tmp/p1.h5" --limit 3000 --progress json -b 16
ok $? "--progress json"
grep '^{' "$err" > "$tmp/json"
holds "--progress json: every line is JSON; done grows up to the total" progress "$tmp/json" 3000
demo 0 -r "$images" -l "$tmp/huge" -o "$tmp/p2.h5" --limit 2000 --progress none && one_line && said '2000 images, 0 bad'
ok $? "--progress none: the closing line only"
demo 0 -r "$images" -l "$tmp/huge" -o "$tmp/p3.h5" --limit 2000 --progress plain && no_control_bytes "$err"
ok $? "--progress plain: no control bytes"
demo 0 -r "$images" -l "$tmp/huge" -o "$tmp/p4.h5" --limit 2000 && no_control_bytes "$err"
ok $? "--progress auto, no terminal: no control bytes"
TERM=xterm demo 0 -r "$images" -l "$tmp/huge" -o "$tmp/p5.h5" --limit 2000 --progress bar && grep -q '%' "$err"
ok $? "--progress bar: a bar"
check "the way of reporting changes no byte" cmp "$tmp/p2.h5" "$tmp/p5.h5"
rm -f "$tmp"/p?.h5

# --- hostile names -----------------------------------------------------------------------------------------
odd=$(printf 'li\033[2Jst\b\r')
printf 'x\033]0;t\a y\n' > "$tmp/$odd"
demo 4 -r "$images" -l "$tmp/$odd" -o "$tmp/no.h5" && no_control_bytes "$err" && one_line
ok $? "a hostile list name and line: refused without a control byte"
demo 2 -m "$odd" -r "$images" -l "$list" -o "$tmp/no.h5" && no_control_bytes "$err" && one_line
ok $? "a hostile model name: likewise"
demo 2 --tap "$odd" -r "$images" -l "$list" -o "$tmp/no.h5" && no_control_bytes "$err" && one_line
ok $? "a hostile tap name: likewise"
demo 2 "--$odd" && no_control_bytes "$err" && one_line
ok $? "a hostile option: likewise"
demo 0 -r "$images" -l "$list" -o "$tmp/$odd.h5" --limit 2 && no_control_bytes "$err" && rm "$tmp/$odd.h5"
ok $? "a hostile output name: written, shown escaped"
"$extract" inspect "$tmp/b.h5" > "$out" 2> "$err" && no_control_bytes "$out"
ok $? "inspect of a file with hostile paths"
cp "$tmp/a.h5" "$tmp/$odd.h5"
"$extract" check "$tmp/$odd.h5" > "$out" 2> "$err" && no_control_bytes "$out" && no_control_bytes "$err"
ok $? "check of a file with a hostile name"
"$extract" inspect "$tmp/$odd.h5" > "$out" 2> "$err" && no_control_bytes "$out" && no_control_bytes "$err"
ok $? "inspect of a file with a hostile name"
rm -f "$tmp/$odd.h5"

# --- models, inspect, check ----------------------------------------------------------------------------------
"$extract" models > "$out" 2> "$err"
[ $? -eq 0 ] && [ ! -s "$err" ] && [ "$(grep -c '^[a-z]' "$out")" -ge 16 ]
ok $? "models: a line for each network"
# parameters and multiplications as torchvision counts them
for row in 'resnet18 11.69M 1.814 512' 'resnet50 25.56M 4.089 2048' 'mobilenet_v2 3.50M 0.301 1280' 'squeezenet1_0 1.25M 0.819 512'; do
    awk '{ print $1, $3, $4, $5 }' "$out" | grep -qxF "$row"
    ok $? "models: $row"
done
"$extract" models resnet50 > "$out" 2> "$err"
[ $? -eq 0 ] && grep -q '^input  *\[3,224,224\]' "$out" && grep -q '^parameters  *25557032,' "$out" && grep -q '^ *layer4  *\[2048,7,7\]' "$out"
ok $? "models resnet50: input, 25557032 parameters, taps with their shapes"
"$extract" models resnet5 > "$out" 2> "$err"
[ $? -eq 2 ] && said 'did you mean resnet50?' && one_line
ok $? "models resnet5: exit 2, did you mean resnet50"
for f in "$root/weights/demo.safetensors" "$tmp/a.h5"; do
    inspect_says "$f" "$(basename "$f" | sed 's/a\.h5/\/features/; s/demo.*/conv1.weight/')"
    ok $? "inspect ${f##*/}"
    "$extract" inspect "$f" --json > "$tmp/json" 2> "$err"
    ok $? "inspect --json ${f##*/}"
    holds "inspect --json ${f##*/}: valid JSON with what is in it" json "$tmp/json" "$f"
done
for f in cifar10_resnet20.legacy.th imagenet_squeezenet1_0_dc.pth cifar100_densenet_bc100_k12.legacy.pth.tar imagenet_squeezenet1_0_dc.safetensors; do
    if [ ! -e "$data/weights/$f" ]; then skip "inspect $f" "no $data/weights/$f"; continue; fi
    "$extract" inspect "$data/weights/$f" --json > "$tmp/json" 2> "$err"
    ok $? "inspect --json $f"
    holds "inspect --json $f: valid JSON, names and shapes" json "$tmp/json" "$data/weights/$f"
done
check "inspect names the network and the layout" inspect_says "$root/weights/demo.safetensors" \
    'network     demo (layout outpost), 10 classes'
check "another input size" demo 0 -r "$images" -l "$list" -o "$tmp/s28.h5" --prep cifar:crop=28 --limit 3
check "another input size: the layout is recorded" inspect_says "$tmp/s28.h5" '"layout":"outpost"'
"$extract" inspect "$list" > "$out" 2> "$err"
[ $? -eq 4 ] && one_line
ok $? "inspect of a text file: exit 4, one line"
"$extract" check "$tmp/a.h5" "$tmp/t.h5" > "$out" 2> "$err"
[ $? -eq 0 ] && [ "$(grep -c ': ok' "$out")" -eq 2 ]
ok $? "check: two intact files"
size=$(wc -c < "$tmp/a.h5")
missed=0
for part in 1 2 3 4 5 6 7 8 9 10 11 12; do
    at=$((size * part / 13))
    cp "$tmp/a.h5" "$tmp/flip.h5"
    byte=$(od -An -tu1 -j "$at" -N 1 "$tmp/a.h5" | tr -d ' ')
    printf "\\$(printf %o $((byte ^ (1 << (part % 8)))))" | dd of="$tmp/flip.h5" bs=1 seek="$at" conv=notrunc 2> /dev/null
    "$extract" check "$tmp/flip.h5" > "$out" 2> "$err"
    [ $? -eq 4 ] && one_line || { missed=$((missed + 1)); echo "# bit $((part % 8)) of byte $at"; }
done
is "$missed" 0 "check: 12 of 12 flipped bits found, exit 4, one line"
head -c $((size - 1)) "$tmp/a.h5" > "$tmp/flip.h5"
"$extract" check "$tmp/flip.h5" > "$out" 2> "$err"
[ $? -eq 4 ]
ok $? "check: a lost last byte is found"
"$extract" check "$tmp/flip.h5" "$tmp/a.h5" > "$out" 2> "$err"
[ $? -eq 4 ] && grep -q 'a.h5: ok' "$out"
ok $? "check: goes on after a damaged file, exit 4"
finish
