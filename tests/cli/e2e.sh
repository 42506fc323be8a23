# What the end-to-end tests of extract and score share; sourced, not run.
#   OUTPOST_BUILD=build  where the programs are      OUTPOST_DATA  real images and checkpoints
#   OUTPOST_LONG=1       the long forms              PYTHON        one with h5py and numpy
LC_ALL=C
export LC_ALL
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
build=$(cd "$root" && cd "${OUTPOST_BUILD:-build}" 2>/dev/null && pwd)
extract=$build/extract
score=$build/score
data=${OUTPOST_DATA:-$HOME/.cache/outpost-data}
long=${OUTPOST_LONG:-}
helpers=$root/tests/cli
skip_all() { echo "1..0 # SKIP $1"; exit 0; }
[ -x "$extract" ] || skip_all "no $extract"
[ -x "$score" ] || skip_all "no $score"
# Built with a sanitizer: an order of magnitude slower.
sanitized=
grep -q '__[at]san_init\|__ubsan_handle' "$extract" 2>/dev/null && sanitized=1
python=
for p in "${PYTHON:-}" /usr/bin/python3 python3; do
    [ -n "$p" ] && "$p" -c 'import h5py, numpy' 2>/dev/null && python=$p && break
done
[ -w /dev/shm ] && base=/dev/shm || base=${TMPDIR:-/tmp}
tmp=$(mktemp -d "$base/outpost-e2e-XXXXXX") || exit 1
trap 'umount "$tmp/disk" 2>/dev/null; chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
out=$tmp/out
err=$tmp/err
n=0
failed=0
: > "$out"
: > "$err"
ok() { # ok STATUS SENTENCE
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then echo "ok $n - $2"; return; fi
    echo "not ok $n - $2"
    failed=1
    head -c 2000 "$err" | sed 's/^/# /'
}
check() { # check SENTENCE CONDITION...
    say=$1
    shift
    "$@"
    ok $? "$say"
}
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; }
is() { # is GOT WANTED SENTENCE
    [ "$1" = "$2" ]
    ok $? "$3"
    [ "$1" = "$2" ] || { echo "# got    $1"; echo "# wanted $2"; }
}
finish() { echo "1..$n"; exit "$failed"; }
said() { grep -qF -- "$1" "$err"; }
one_line() { [ "$(wc -l < "$err")" -eq 1 ]; }
nothing_at() { [ -z "$(ls -d "$1" "$1".* 2>/dev/null)" ]; }
no_control_bytes() { ! tr -d '\n\t' < "$1" | grep -q '[[:cntrl:]]'; }
# run WANTED ARGUMENTS...: extract run on the demo network; the exit status must be WANTED
demo() {
    want=$1
    shift
    "$extract" run -m demo -w "$root/weights/demo.safetensors" "$@" > "$out" 2> "$err"
    got=$?
    [ "$got" -eq "$want" ] || { echo "# exit $got, not $want: extract run $*"; return 1; }
}
demo_images() { # demo_images SCALE -> $images, $lists
    [ -x "$build/demo-images" ] || skip_all "no $build/demo-images"
    "$build/demo-images" "$tmp/demo" --scale "$1" > "$out" 2> "$err" || { echo "Bail out! demo-images"; exit 1; }
    images=$tmp/demo/images
    lists=$tmp/demo/lists
}
repeat() { # repeat TIMES FILE: FILE that often
    i=0
    while [ "$i" -lt "$1" ]; do cat "$2"; i=$((i + 1)); done
}
