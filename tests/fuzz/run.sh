#!/bin/sh
# Builds and runs the libFuzzer targets of every reader of untrusted bytes: run.sh [SECONDS [TARGET...]]
# Targets: arrays pickle list journal bench results image entropy record.  Needs clang (CLANG=clang-14).  Corpus and findings stay in
# build/fuzz; exit 1 when something was found.
set -u
seconds=${1:-60}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- arrays pickle list journal bench results image entropy record
clang=${CLANG:-clang-14}
out=build/fuzz
hdf5=$(pkg-config --cflags hdf5-serial 2>/dev/null)
flags="-g -O1 -std=c11 -I. -D_GNU_SOURCE -DH5_USE_110_API -DOUTPOST_VERSION=\"fuzz\" $hdf5 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all"
status=0

compile() { # compile SOURCE: its object, made once; vector files get their flags by name as in the Makefile,
    # kernels are their CPU twins
    object=$out/obj/$(echo "$1" | tr / _).o
    case $1 in
    *_avx512.c) vector="-mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mbmi2" ;;
    *_avx2.c) vector="-mavx2 -mfma -mf16c -mbmi -mbmi2 -mlzcnt" ;;
    *.cu) vector="-x c" ;;
    *) vector= ;;
    esac
    # shellcheck disable=SC2086,SC3013 # dash, bash and busybox have -nt
    [ "$object" -nt "$1" ] || "$clang" $flags $vector -c "$1" -o "$object" || exit 1
    objects="$objects $object"
}

for t in "$@"; do
    mkdir -p "$out/$t.corpus" "$out/$t.seeds" "$out/obj"
    objects=
    extra=
    case $t in
    arrays) cp tests/golden/arrays/* "$out/$t.seeds"; max=20000 ;;
    pickle) cp tests/golden/arrays/*.pkl "$out/$t.seeds"; max=4096 ;;
    image) extra=$(ls extract/images/*.c); max=4000
        [ -d "$out/images" ] || build/demo-images "$out/images" --scale 0.02
        find "$out/images" -name '*.jpg' -size -4k -o -name '*.png' -size -4k | head -n 40 |
            while read -r f; do cp "$f" "$out/$t.seeds/$(basename "$(dirname "$f")")-$(basename "$f")"; done ;;
    entropy) extra=$(ls extract/images/*.c); max=4000
        build/unit/test_jpeg_entropy "$out/$t.seeds" || exit 1 ;;
    record) extra=$(ls extract/images/*.c extract/record_run.c kernels/*.cu); max=4000
        build/unit/test_jpeg_entropy "$out/$t.seeds" || exit 1 ;;
    journal) max=4096 ;;
    bench) cp datalists/*.yaml "$out/$t.seeds"; max=4096 ;;
    results) extra="score/result_json.c score/published.c score/metrics.c"; head -n 3 docs/published/vim.csv > "$out/$t.seeds/csv"
        printf '{"format":"outpost-results","version":1,"model":"m","id_accuracy":0.5,"rows":[{"method":"a","ood":"o","params":{"m":1},"auroc":0.5}],"mean":[{"method":"a","group":"near","auroc":0.5}],"full_spectrum":{"rows":[],"mean":[]}}' \
            > "$out/$t.seeds/json"
        max=2048 ;;
    *) printf 'a b.jpg 1 2\nc.png 3 4\r\n' > "$out/$t.seeds/mos"; printf 'a/b.png 7\n' > "$out/$t.seeds/gen"; max=512 ;;
    esac
    for f in "tests/fuzz/fuzz_$t.c" common/*.c common/*/*.c $extra; do compile "$f"; done
    # shellcheck disable=SC2086,SC2046
    "$clang" -fsanitize=fuzzer,address,undefined $objects -o "$out/$t" $(pkg-config --libs hdf5-serial) \
        -lzip -ljansson -lyaml -lcrypto -lpng -ljpeg -lz -lm -lpthread || exit 1
    "$out/$t" -max_total_time="$seconds" -max_len=$max -timeout=10 -rss_limit_mb=1500 -print_final_stats=1 \
        -artifact_prefix="$out/$t.found." "$out/$t.corpus" "$out/$t.seeds" > "$out/$t.log" 2>&1 || status=1
    grep -e '^stat::number_of_executed_units' -e '^stat::peak_rss' -e 'ERROR' -e 'runtime error' "$out/$t.log" |
        sed "s/^/$t: /"
done
exit $status
