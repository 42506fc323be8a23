#!/bin/sh
# Builds and runs the libFuzzer targets of the array readers: run.sh [SECONDS [TARGET...]]
# Needs clang (CLANG=clang-14).  Corpus and findings stay in build/fuzz; exit 1 when something was found.
set -u
seconds=${1:-60}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- arrays pickle list
clang=${CLANG:-clang-14}
out=build/fuzz
status=0
for t in "$@"; do
    mkdir -p "$out/$t.corpus" "$out/$t.seeds"
    case $t in
    arrays) cp tests/golden/arrays/* "$out/$t.seeds"; max=20000 ;;
    pickle) cp tests/golden/arrays/*.pkl "$out/$t.seeds"; max=4096 ;;
    *) printf 'a b.jpg 1 2\nc.png 3 4\r\n' > "$out/$t.seeds/mos"; printf 'a/b.png 7\n' > "$out/$t.seeds/gen"; max=512 ;;
    esac
    "$clang" -g -O1 -std=c11 -I. -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
        "tests/fuzz/fuzz_$t.c" common/arrays/*.c common/digest.c common/list.c \
        common/err.c common/mem.c common/log.c -o "$out/$t" -lzip -ljansson -lcrypto -lz -lm -lpthread || exit 1
    "$out/$t" -max_total_time="$seconds" -max_len=$max -timeout=10 -rss_limit_mb=1500 -print_final_stats=1 \
        -artifact_prefix="$out/$t.found." "$out/$t.corpus" "$out/$t.seeds" > "$out/$t.log" 2>&1 || status=1
    grep -e '^stat::number_of_executed_units' -e '^stat::peak_rss' -e 'ERROR' -e 'runtime error' "$out/$t.log" |
        sed "s/^/$t: /"
done
exit $status
