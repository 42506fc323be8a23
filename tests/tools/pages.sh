#!/bin/sh
# pages.sh BUILD: manual pages and completions of both programs below BUILD/man and BUILD/completion.
set -eu
mkdir -p "$1/man" "$1/completion"
for p in extract score; do
    "$1/$p" --man > "$1/man/outpost-$p.1"
    "$1/$p" --completion > "$1/completion/outpost-$p"
    "$1/$p" --help | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p' | while read -r c; do
        "$1/$p" --man "$c" > "$1/man/outpost-$p-$c.1"
    done
done
