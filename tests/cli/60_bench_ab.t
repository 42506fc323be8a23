#!/bin/sh
# ab, the harness of `make bench`: its arithmetic on commands whose cost is known.
# BUILD: the build folder [build].
set -u
ab=${BUILD:-build}/bench/ab
[ -x "$ab" ] || { echo "1..0 # SKIP $ab is not built (make bench)"; exit 0; }
n=0
failed=0
check() { # check 'sentence' ACTUAL EXPECTED
    n=$((n + 1))
    if [ "$2" = "$3" ]; then echo "ok $n - $1"; else
        echo "not ok $n - $1"
        echo "# got '$2', expected '$3'"
        failed=1
    fi
}
say() { echo "printf 'noise\noutpost-bench cpu=$1 wall=$2 items=$3\n'"; }

echo 1..10
got=$("$ab" -t -u 0 -r 3 -- "$(say 2 3 100)" -- "$(say 8 3 200)" | cut -f 3,6,7 | tr '\t\n' '  ')
check "cost per item and ratio from the printed section" "$got" "0.02 50 1 0.04 25 2 "
got=$("$ab" -t -u 0 -r 1 -m cpu,wall -- "$(say 2 3 1)" -- "$(say 2 12 1)" | cut -f 2,7 | tr '\t\n' '  ')
check "a list of metrics gives a block of rows each" "$got" "cpu 1 cpu 1 wall 1 wall 4 "
counter=$(mktemp)
trap 'rm -f "$counter"' EXIT
step="k=\$((\$(wc -c <$counter) + 1)); printf x >>$counter; printf 'outpost-bench cpu=%d wall=1 items=1\n' \$k"
got=$("$ab" -t -u 0 -r 3 -- "$(say 1 1 1)" -- "$step" | tail -n 1 | cut -f 3-5,8,9 | tr '\t' ' ')
check "median, range and spread of pairs over the rounds" "$got" "2 1 3 1 3"
: >"$counter"
"$ab" -u 0 -r 2 -- "printf a >>$counter" -- "printf b >>$counter" >/dev/null
check "commands run interleaved" "$(cat "$counter")" abab
: >"$counter"
"$ab" -u 1 -r 2 -- "printf a >>$counter" >/dev/null
check "warm-up runs are extra" "$(cat "$counter")" aaa
got=$("$ab" -t -u 0 -r 1 -m rss -- true -- "head -c 300000000 /dev/zero | sort -z -S 300M >/dev/null; true" | tail -n 1 | cut -f 3)
got=$(awk -v v="${got:-0}" 'BEGIN { print (v > 1e8) ? "over 100 MB" : v }')
check "peak memory includes the command's children" "$got" "over 100 MB"
got=$("$ab" -t -W -u 0 -r 1 -m wall -- "sleep 0.2; $(say 90 90 1)" | cut -f 3)
got=$(awk -v v="$got" 'BEGIN { print (v >= 0.2 && v < 30) ? "slept" : v }')
check "-W times the whole process" "$got" slept
"$ab" -u 0 -r 1 -- true -- 'echo words; exit 3' >/dev/null 2>"$counter"
check "a failing command ends the comparison with 1" $? 1
check "and its words are shown" "$(tail -n 1 "$counter")" words
"$ab" -m watts -- true >/dev/null 2>&1
check "an unknown metric is a usage error" $? 2
exit $failed
