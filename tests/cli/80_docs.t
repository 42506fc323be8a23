#!/bin/sh
# The documents say what is: the README's commands run, its table is what the demo prints, paths exist, and
# options in documents and options in --help are the same.
# Environment: OUTPOST_BUILD or BUILD (build), PYTHON (one with h5py).
# The commands run in a copy of the tree with a copy of the build, so nothing here can disturb other tests.
LC_ALL=C
export LC_ALL
NO_COLOR=1
export NO_COLOR
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
cd "$root" || exit 1
build=${OUTPOST_BUILD:-${BUILD:-build}}
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL BUILD OUTPOST_BUILD
for f in extract score demo-images flags; do
    if [ ! -e "$build/$f" ]; then echo "1..0 # SKIP no $build/$f"; exit 0; fi
done
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
n=0
failed=0
check() { # check STATUS SENTENCE [FILE with the reason]
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; else
        failed=1
        echo "not ok $n - $2"
        [ -z "${3:-}" ] || sed 's/^/# /' "$3" | head -40
    fi
}
skip() { n=$((n + 1)); echo "ok $n # SKIP $1"; }

# shellcheck disable=SC2012
documents=$(ls README.md docs/*.md ./*/README.md datalists/*/README.md | sed 's|^\./||' | sort -u)

# ---- a copy of the tree that builds nothing anew ---------------------------------------------------
# Times are kept, and the flags are taken as they were, so make finds everything up to date.
copy_tree() {
    mkdir "$T/tree" "$T/tree/build" &&
        tar cf - --exclude=./build* --exclude=./outputs/* --exclude=./.git . | tar xf - -C "$T/tree" &&
        mkdir -p "$T/tree/outputs" && cp -p outputs/README.md "$T/tree/outputs" &&
        (cd "$build" && tar cf - extract score demo-images flags lib*.a obj/common obj/extract obj/score \
            obj/kernels obj/datalists) | tar xf - -C "$T/tree/build" &&
        cat > "$T/tree/config.mk" <<'CONFIG'
override FLAGS_NOW := $(shell cat build/flags)
CUDA = 0
CONFIG
}
copy_tree 2> "$T/log"
check $? "the tree is copied" "$T/log"

# ---- commands of the README ------------------------------------------------------------------------
# Each fence behind a line `<!-- run -->` goes into $T/block.N; its first line says sh or python.
awk -v out="$T/block." '
/^<!-- run -->$/ { armed = 1; next }
armed && /^```/ { armed = 0; on = 1; k++; file = out k; print "# " substr($0, 4) " line " NR > file; next }
on && /^```$/ { on = 0; close(file); next }
on { print > file }
armed && NF { print "line " NR ": no fence behind <!-- run -->" > "/dev/stderr"; exit 1 }
' README.md 2> "$T/log"
check $? "README.md: every run mark has its fence" "$T/log"
blocks=$(find "$T" -name 'block.*' | wc -l)
[ "$blocks" -ge 4 ]
check $? "README.md: there are commands to run ($blocks blocks)"
python=
for p in ${PYTHON:-} /usr/bin/python3 python3; do
    if [ -z "$python" ] && "$p" -c 'import h5py' 2>/dev/null; then python=$p; fi
done
i=0
while [ "$i" -lt "$blocks" ]; do
    i=$((i + 1))
    block=$T/block.$i
    what="README.md $(sed -n '1s/^# //p' "$block")"
    case $what in
    *python*)
        if [ -z "$python" ]; then skip "no Python with h5py"; continue; fi
        (cd "$T/tree" && "$python" "$block") > "$T/out.$i" 2> "$T/log"
        check $? "$what: exit status 0" "$T/log" ;;
    *)
        if grep -q '^make ' "$block" && ! tests/deps.sh check 2> "$T/log"; then
            skip "make would install packages: $(cat "$T/log")"
            continue
        fi
        (cd "$T/tree" && sh -e "$block") > "$T/out.$i" 2> "$T/log"
        check $? "$what: exit status 0" "$T/log" ;;
    esac
done
# What a python block prints is in the comment at the end of its last line.
i=0
while [ "$i" -lt "$blocks" ]; do
    i=$((i + 1))
    if [ -z "$python" ] || ! grep -q '^# python' "$T/block.$i"; then continue; fi
    sed -n '$s/.*)   *# //p' "$T/block.$i" > "$T/said"
    if [ -s "$T/said" ]; then
        cmp -s "$T/said" "$T/out.$i"
        check $? "README.md: the python block prints what its comment says" "$T/out.$i"
    fi
done

# ---- the demo's table ------------------------------------------------------------------------------
# Numbers of the fence behind `<!-- output -->` against what the first block printed: the same words, AUROC
# within 0.05, FPR95 within 1 (three images of 300), for processors that round otherwise.
awk '/^<!-- output -->$/ { armed = 1; next } armed && /^```/ { armed = 0; on = 1; next }
     on && /^```$/ { exit } on' README.md > "$T/said"
sed -n '/^model /,$p' "$T/out.1" > "$T/is" 2> "$T/log"
if [ -s "$T/is" ]; then
    awk '
    function number(s) { return s ~ /^[0-9]+\.[0-9]+$/ }
    NR == FNR { said[NR] = $0; lines = NR; next }
    FNR <= lines {
        a = split(said[FNR], x); b = split($0, y)
        bad = a != b
        for (i = 1; i <= a && !bad; i++) {
            d = x[i] - y[i]; d = d < 0 ? -d : d
            room = i % 2 == 0 ? 0.05 : 1
            bad = number(x[i]) && number(y[i]) ? d > room : x[i] != y[i]
        }
        if (bad) { print "said " said[FNR]; print "is   " $0; wrong = 1 }
    }
    END { exit wrong || FNR < lines || lines < 17 }' "$T/said" "$T/is" > "$T/log"
    check $? "README.md: the table is the one that make demo prints" "$T/log"
else
    skip "make demo was not run"
fi

# ---- networks and methods --------------------------------------------------------------------------
"$build/extract" models | awk 'NR > 1 { about = $6; for (i = 7; i <= NF; i++) about = about " " $i
    printf "| `%s` | %s | %s | %s | %s | %s |\n", $1, $2, $3, $4, $5, about }' > "$T/is"
sed -n '/^<!-- models -->$/,/^$/p' README.md | grep '^| `' > "$T/said"
diff "$T/said" "$T/is" > "$T/log"
check $? "README.md: the networks are those of extract models" "$T/log"
"$build/score" methods | awk '{ print $1 }' > "$T/is"
sed -n '/^## Methods$/,/^## /p' README.md | grep -oE '`[a-z0-9+-]+( [a-z0-9+-]+){4,}`' | tr -d '`' | tr ' ' '\n' > "$T/said"
diff "$T/said" "$T/is" > "$T/log"
check $? "README.md: the methods are those of score methods, in their order" "$T/log"

# ---- paths -----------------------------------------------------------------------------------------
# Words in backticks that begin with a folder of the tree; patterns may match anything.
: > "$T/log"
for d in $documents; do
    # shellcheck disable=SC2016
    grep -o '`[^` ]*`' "$d" | tr -d '`' |
        grep -E '^(\.ci|common|extract|score|kernels|tests|weights|datalists|docs)/[]A-Za-z0-9_./*[-]+$|^(README\.md|Makefile|LICENSE|VERSION|\.clang-format)$' |
        sort -u | while read -r p; do
        # shellcheck disable=SC2086
        ls -d $p >/dev/null 2>&1 || echo "$d: $p"
    done >> "$T/log"
    # Links, relative to the document.
    grep -o '](\([^)#]*\)[)#]' "$d" | sed 's/^](//; s/[)#]$//' | grep -v '^https\{0,1\}:' | grep . |
        while read -r p; do
            [ -e "$(dirname "$d")/$p" ] || echo "$d: link to $p"
        done >> "$T/log"
done
[ ! -s "$T/log" ]
check $? "every path and link in the documents exists" "$T/log"
: > "$T/log"
for d in docs/*.md; do
    grep -qF "]($d)" README.md || echo "$d"
done >> "$T/log"
[ ! -s "$T/log" ]
check $? "README.md leads to every document" "$T/log"

# ---- C in the documents --------------------------------------------------------------------------
# Fences of C are quotations: each piece between lines `...` stands in some file, blanks aside.
find common extract score kernels -name '*.[ch]' | sort > "$T/sources"
perl -e '
    my $all = "";
    open my $l, "<", $ARGV[0] or die; while (my $p = <$l>) { chomp $p; open my $f, "<", $p or die; local $/; $all .= <$f> . "\0" }
    sub bare { my $s = shift; $s =~ s/[\s\\]+//g; $s }
    $all = bare($all); my $quotes = 0;
    for my $d (@ARGV[1 .. $#ARGV]) {
        open my $f, "<", $d or die; local $/; my $text = <$f>;
        while ($text =~ /^```c\n(.*?)^```/msg) {
            for my $piece (split /^\s*\.\.\.\s*$/m, $1) {
                my $want = bare($piece); $quotes++;
                print "$d: in no file:\n$piece" if index($all, $want) < 0;
            }
        }
    }
    print "no quotation found\n" if $quotes < 8;
' "$T/sources" docs/*.md > "$T/log" 2>&1
[ ! -s "$T/log" ]
check $? "C code in the documents is the code" "$T/log"

# ---- commands and options --------------------------------------------------------------------------
commands() { "$build/$1" --help | sed -n 's/^  \([a-z-]*\)  .*/\1/p'; }
options() { "$build/$1" "$2" --help | sed -n 's/^  \(-[a-zA-Z]\)\{0,1\},\{0,1\} *\(--[a-z-]*\).*/\1 \2/p'; }
cat README.md docs/commands.md > "$T/words"
: > "$T/log"
: > "$T/known"
for program in extract score; do
    for c in $(commands "$program"); do
        grep -q "$program $c" "$T/words" || echo "$program $c" >> "$T/log"
        options "$program" "$c" > "$T/list"
        [ -s "$T/list" ] || echo "$program $c: no options in its help" >> "$T/log"
        while read -r letter long; do
            [ -n "$long" ] || { long=$letter; letter=; }
            echo "$program $c $letter $long" >> "$T/known"
            grep -qE -- "$long([^a-z-]|\$)" "$T/words" || echo "$program $c $long" >> "$T/log"
        done < "$T/list"
    done
done
[ ! -s "$T/log" ]
check $? "every command and option of --help is in README.md or docs/commands.md" "$T/log"

# The other way: `extract COMMAND ...` and `score COMMAND ...` in any document, continued lines joined.
# shellcheck disable=SC2086
sed -e ':a' -e '/\\$/N; s/\\\n/ /; ta' $documents | awk -v known="$T/known" '
BEGIN { while ((getline line < known) > 0) { split(line, f); has[line] = 1; n = split(line, f)
    for (i = 3; i <= n; i++) ok[f[1] " " f[2] " " f[i]] = 1; cmd[f[1] " " f[2]] = 1 } }
{
    line = $0
    while (match(line, /(extract|score)"? (run|models|inspect|check|bench|methods)[^`|;#\x27]*/)) {
        text = substr(line, RSTART, RLENGTH); line = substr(line, RSTART + RLENGTH)
        gsub(/[][",()]/, " ", text)
        n = split(text, w, /[ =]+/)
        for (i = 3; i <= n; i++)
            if (w[i] ~ /^--?[a-z][a-z-]*$/ && !((w[1] " " w[2] " " w[i]) in ok)) print w[1], w[2], w[i] ": " $0
    }
}' > "$T/log"
[ ! -s "$T/log" ]
check $? "every option that a document gives to a command exists" "$T/log"
# Options alone in backticks in docs/commands.md.
: > "$T/log"
# shellcheck disable=SC2016
grep -oE '`--?[a-z][a-z-]*`' docs/commands.md | tr -d '`' | sort -u | while read -r o; do
    grep -qE -- " $o( |\$)" "$T/known" || case $o in --version | --json) ;; *) echo "$o" ;; esac
done > "$T/log"
[ ! -s "$T/log" ]
check $? "docs/commands.md: every option exists" "$T/log"

# ---- grammar of lists, and targets -----------------------------------------------------------------
: > "$T/log"
grep -oE 'refuse\(r, "[a-z]+"|list-[a-z]+: there is no' common/list.c | sed 's/.*"\([a-z]*\)"/list-\1/; s/:.*//' | sort -u |
    while read -r rule; do
        grep -q "\`$rule\`" datalists/README.md || echo "not in datalists/README.md: $rule"
    done >> "$T/log"
# shellcheck disable=SC2016
grep -oE '`list-[a-z]+`' datalists/README.md | tr -d '`' | sed 's/^list-//' | sort -u | while read -r rule; do
    grep -qE "\"$rule\"|list-$rule:" common/list.c || [ "$rule" = format ] || echo "not in common/list.c: $rule"
done >> "$T/log"
[ ! -s "$T/log" ]
check $? "datalists/README.md names the rules of common/list.c" "$T/log"
make -s help | sed -n 's/^  \([a-z-]*\) .*/\1/p' > "$T/targets"
: > "$T/log"
# shellcheck disable=SC2086,SC2016
grep -ohE '(`|^ *)make [a-z-]+( |`|$)' $documents | sed 's/.*make //; s/[ `]$//' | sort -u | while read -r t; do
    grep -qxF -e "$t" "$T/targets" || echo "make $t"
done > "$T/log"
[ -s "$T/targets" ] && [ ! -s "$T/log" ]
check $? "every make target in the documents is in make help" "$T/log"
# Words that have no place in a document that is shipped.
# shellcheck disable=SC2086
grep -nE 'TODO|FIXME|/(root|work|home|tmp/[a-z]+\.[A-Za-z0-9]{6})(/|$)' $documents > "$T/log"
[ ! -s "$T/log" ]
check $? "no places of one machine, nothing left to do" "$T/log"
echo "1..$n"
exit $failed
