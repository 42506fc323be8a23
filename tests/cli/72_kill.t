#!/bin/sh
# kill -9 and SIGTERM at random instants of extract run, and two writers at once: after the resume the file
# is that of the unbroken run.  Real images and resnet18 where they are, else
# (and under a sanitizer) the demo's.
#   OUTPOST_LONG=1   50 kills of the run, 20 SIGTERMs, 100 races; else 6, 4, 10
# The instants come from SEED (default: the time, printed), so that a failure can be had again.
. "$(dirname "$0")/e2e.sh"
seed=${SEED:-$(date +%s)}
kills=6 terms=4 races=10
[ -n "$long" ] && kills=50 terms=20 races=100
if [ -z "$sanitized" ] && [ -e "$data/weights/imagenet_resnet18_small_blocks.safetensors" ] && [ -e "$data/lists/imagenette-train.txt" ]; then
    set -- -m resnet18 -w "$data/weights/imagenet_resnet18_small_blocks.safetensors" -r "$data/images" \
        -l "$data/lists/imagenette-train.txt" -b 4
    what="200 real images, resnet18"
    [ -n "$long" ] || { set -- "$@" --limit 100; what="100 real images, resnet18"; }
else
    demo_images 0.1
    times=40
    [ -z "$sanitized" ] || times=6
    repeat $times "$lists/train.txt" > "$tmp/list"
    set -- -m demo -w "$root/weights/demo.safetensors" -r "$images" -l "$tmp/list" -b 8
    what="$((150 * times)) images of the demo"
fi
echo "# $what, SEED=$seed"
x=$tmp/x.h5
clean() { rm -f "$tmp"/x.h5*; }
draw() { # draw LOW HIGH: the next random number, in seconds
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    awk -v s="$seed" -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", a + (b - a) * s / 2147483648 }'
}
seconds() { awk '{ print $1 }' /proc/uptime; }
since() { awk -v t="$1" '{ printf "%.2f", $1 - t }' /proc/uptime; }
whole() { cmp -s "$x" "$tmp/whole.h5" && [ "$(cd "$tmp" && echo x.h5*)" = x.h5 ]; }

"$extract" run "$@" -o "$tmp/whole.h5" > "$out" 2> "$err"
ok $? "unbroken: $(sed -n 's/.*h5: //p' "$err")"
t=$(seconds) # the second time, files are in memory
"$extract" run "$@" -o "$x" > "$out" 2> "$err" && whole
ok $? "unbroken again: the same bytes"
took=$(since "$t")
rows=$(sed -n 's/.*h5: \([0-9]*\) images, .*/\1/p' "$err")

# --- kill -9: of the run, of its resume, of the resume's resume -----------------------------------------
killed=0 deepest=0 wrong=0 odd=0 continued=0 rounds=0
while [ "$killed" -lt "$kills" ] && [ "$rounds" -lt $((4 * kills)) ]; do
    rounds=$((rounds + 1))
    clean
    deep=0
    last=0
    while [ "$deep" -lt 5 ]; do
        timeout -s KILL "$(draw 0.01 "$took")" \
            "$extract" run "$@" -o "$x" > "$out" 2> "$err"
        got=$?
        at=$(sed -n 's/.*continuing after \([0-9]*\) of.*/\1/p' "$err")
        if [ -n "$at" ]; then
            continued=$((continued + 1))
            [ "$at" -ge "$last" ] || { odd=$((odd + 1)); echo "# went back from $last to $at"; }
            last=$at
        fi
        [ "$got" -eq 137 ] || break
        [ ! -e "$x" ] || whole || { odd=$((odd + 1)); echo "# killed, and a file that is not the whole at the final name"; }
        deep=$((deep + 1)) killed=$((killed + 1))
        [ "$killed" -lt "$kills" ] || break
    done
    [ "$deep" -gt "$deepest" ] && deepest=$deep
    "$extract" run "$@" -o "$x" > "$out" 2> "$err"
    got=$?
    [ "$got" -eq 0 ] && whole || { wrong=$((wrong + 1)); echo "# exit $got after $deep kills: $(head -c 300 "$err")"; }
done
check "$killed kill -9 in $rounds rounds, up to $deepest in a row: the same bytes each time" test "$wrong" -eq 0
check "as many kills as asked for" test "$killed" -ge "$kills"
check "no resume went back, no unfinished file under the final name" test "$odd" -eq 0
echo "# $continued resumes went on from committed rows"

# --- SIGTERM: exit 75 within 10 s, and the resume -------------------------------------------------------
stopped=0 finished=0 wrong=0 slowest=0 round=0
while [ "$round" -lt "$terms" ]; do
    round=$((round + 1))
    clean
    "$extract" run "$@" -o "$x" > "$out" 2> "$err" &
    pid=$!
    sleep "$(draw 0 "$took")"
    t=$(seconds)
    kill -TERM $pid 2> /dev/null
    wait $pid
    got=$?
    slowest=$(awk -v a="$slowest" -v b="$(since "$t")" 'BEGIN { print (a > b ? a : b) }')
    case $got in
        75) stopped=$((stopped + 1)); said 'stopped by SIGTERM after' || { wrong=$((wrong + 1)); echo "# no words"; } ;;
        0) finished=$((finished + 1)) ;;
        143) ;; # before it listens: nothing had begun
        *) wrong=$((wrong + 1)); echo "# exit $got: $(head -c 300 "$err")" ;;
    esac
    after=$(sed -n 's/.*stopped by SIGTERM after \([0-9]*\) of.*/\1/p' "$err")
    "$extract" run "$@" -o "$x" > "$out" 2> "$err"
    got=$?
    [ "$got" -eq 0 ] && whole || { wrong=$((wrong + 1)); echo "# resume: exit $got: $(head -c 300 "$err")"; }
    [ "${after:-0}" -eq 0 ] || grep -q "continuing after $after of $rows images" "$err" ||
        { wrong=$((wrong + 1)); echo "# images lost: stopped after $after, $(head -n 1 "$err")"; }
done
check "$terms SIGTERM: $stopped stopped with 75, $finished had ended; no image lost, the same bytes" test "$wrong" -eq 0
check "the slowest answer came in $slowest s of 10" awk -v s="$slowest" 'BEGIN { exit s > 10 }'

# --- two writers ------------------------------------------------------------------------------------------
wrong=0 round=0 refused=0
while [ "$round" -lt "$races" ]; do
    round=$((round + 1))
    clean
    "$extract" run "$@" -o "$x" --stop-after 0.3s > "$tmp/out1" 2> "$tmp/err1" &
    one=$!
    "$extract" run "$@" -o "$x" --stop-after 0.3s > "$tmp/out2" 2> "$tmp/err2" &
    two=$!
    wait $one
    a=$?
    wait $two
    b=$?
    loser=
    case "$a $b" in
        "75 5" | "0 5") loser=$tmp/err2 ;;
        "5 75" | "5 0") loser=$tmp/err1 ;;
        # one after the other, when the machine is that slow
        "75 75" | "75 0" | "0 75" | "0 0") grep -q 'continuing\|complete' "$tmp/err1" "$tmp/err2" || { wrong=$((wrong + 1)); echo "# both proceeded"; } ;;
        *) wrong=$((wrong + 1)); echo "# exits $a and $b: $(head -c 300 "$tmp/err1") $(head -c 300 "$tmp/err2")" ;;
    esac
    [ -z "$loser" ] && continue
    refused=$((refused + 1))
    [ "$(wc -l < "$loser")" -eq 1 ] && grep -q 'another process is writing it' "$loser" ||
        { wrong=$((wrong + 1)); echo "# words: $(head -c 300 "$loser")"; }
done
[ "$wrong" -eq 0 ] && [ "$refused" -gt 0 ]
ok $? "two writers at once: one proceeds, the other exits 5 and says who ($refused of $races races)"
"$extract" run "$@" -o "$x" > "$out" 2> "$err"
whole
ok $? "and what they leave is continued to the same bytes"
finish
