#!/bin/sh
# Manual pages and bash completion: made from the tables, so they have every command and option; clean to mandoc.
. "$(dirname "$0")/e2e.sh"
"$root/tests/tools/pages.sh" "$build" 2> "$err"
ok $? "pages.sh makes them"
missing=0 pages=0
for p in extract score; do
    for c in $("$build/$p" --help | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p'); do
        pages=$((pages + 1))
        page=$build/man/outpost-$p-$c.1
        [ -s "$page" ] || { echo "# no $page"; missing=$((missing + 1)); continue; }
        "$build/$p" "$c" --help | grep -oE '^ *(-., )?--[a-z0-9-]+' | sed 's/.*--//' | while read -r o; do
            sed 's/\\//g' "$page" | grep -q "fB--${o}fR" || echo "# $p $c: no --$o in the page"
        done > "$tmp/lost"
        [ -s "$tmp/lost" ] && { cat "$tmp/lost"; missing=$((missing + 1)); }
    done
done
is "$missing" 0 "$pages commands: a page each, with every option"
if command -v mandoc > /dev/null; then
    mandoc -Tlint -W style "$build"/man/*.1 > "$out" 2>&1
    ok $? "mandoc -Tlint -W style has nothing to say"
    sed "s|$build/||; s/^/# /" "$out" | head -n 10
    mandoc -Tutf8 "$build/man/outpost-extract-run.1" | col -b | grep -q -- '-m, --model NAME'
    ok $? "outpost-extract-run(1) reads as it should"
else
    skip "mandoc -Tlint" "no mandoc"
    skip "outpost-extract-run(1) reads as it should" "no mandoc"
fi
if command -v bash > /dev/null; then
    complete() { # complete WORDS...: what bash would offer for the last of them
        bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); f=_outpost_${1##*/}; "$f" "$1"; echo "${COMPREPLY[@]}"' - \
            "$build/completion/outpost-${1##*/}" "$@"
    }
    is "$(complete "$extract" mo)" models "completion: a command"
    is "$(complete "$extract" run --shar)" --shard "completion: an option"
    is "$(complete "$extract" run --progress pl)" plain "completion: a value of a list"
    is "$(complete "$extract" run -m squeezenet1_0)" squeezenet1_0 "completion: a network, as the program lists them"
    is "$(complete "$score" run -m kl-mat | tr ' ' '\n' | head -n 1)" kl-matching "completion: a method"
    is "$(cd "$root" && complete "$extract" inspect READM)" README.md "completion: a file"
fi
finish
