#!/bin/sh
# The feature file from outside: h5py on both sides, kill -9, failing system calls, full disks, hostile
# files.  HEAVY=1: the long forms (at least 200 random kills, every system call killed and failed).
# Environment: BUILD (build folder), OUTPOST_DATA, PYTHON (one with h5py and numpy).
BUILD=${BUILD:-build}
HERE=$(dirname "$0")
W=$BUILD/tools/feature_write
R=$BUILD/tools/feature_read
DATA=${OUTPOST_DATA:-$HOME/.cache/outpost-data}
[ -w /dev/shm ] && BASE=/dev/shm || BASE=${TMPDIR:-/tmp}
T=$(mktemp -d "$BASE/feature-cli-XXXXXX")
trap 'umount "$T/disk" 2>/dev/null; rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
n=0
failed=0
ok() { n=$((n + 1)); echo "ok $n - $1"; }
not_ok() { n=$((n + 1)); failed=1; echo "not ok $n - $1"; }
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; }
check() { if [ "$1" -eq 0 ]; then ok "$2"; else not_ok "$2"; fi; }
clean() { rm -f "$T"/out.h5*; }
same() { cmp -s "$T/out.h5" "$T/whole.h5" && [ "$(ls "$T" | grep -c '^out\.h5')" -eq 1 ]; }

for p in "$W" "$R"; do
    [ -x "$p" ] || { echo "1..0 # SKIP $p is not built"; exit 0; }
done

PYTHON=${PYTHON:-/usr/bin/python3}
if "$PYTHON" -c 'import h5py, numpy' 2>/dev/null; then
    "$W" "$T/ours.h5" 2500 33 > "$T/log" 2>&1 && "$PYTHON" "$HERE/feature_h5py.py" ours "$T/ours.h5" 2500 33
    check $? "h5py reads every value; hashlib finds the same digests"
    mkdir "$T/theirs"
    "$PYTHON" "$HERE/feature_h5py.py" make "$T/theirs" && "$R" --sums "$T"/theirs/* > "$T/list" &&
        "$PYTHON" "$HERE/feature_h5py.py" sums "$T/theirs" "$T/list"
    check $? "files of h5py are read as numpy reads them, or refused with file and rule"
    rm -rf "$T/theirs" "$T/ours.h5"
else
    skip "h5py reads every value" "no python with h5py"
    skip "files of h5py are read as numpy reads them" "no python with h5py"
fi

# --- kill -9 at random instants ------------------------------------------------------------------
"$W" "$T/whole.h5" 1500 40 > "$T/log" 2>&1
kills=20
[ -n "$HEAVY" ] && kills=250
died=0 wrong=0 left=$kills
while [ "$left" -gt 0 ]; do
    clean
    while [ "$left" -gt 0 ]; do
        left=$((left - 1))
        pause=$(awk -v s="$left" 'BEGIN { srand(s * 7919 + 1); printf "%.4f", 0.002 + rand() * 0.06 }')
        "$W" "$T/out.h5" 1500 40 --nap 500 > "$T/log" 2>&1 &
        pid=$!
        sleep "$pause"
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null # it is gone, lock and all, before the next one starts
        rc=$?
        [ "$rc" -eq 137 ] || break
        died=$((died + 1))
    done
    "$W" "$T/out.h5" 1500 40 > "$T/log" 2>&1 && same || { wrong=$((wrong + 1)); sed 's/^/# /' "$T/log"; }
done
echo "# $died of $kills runs killed"
[ "$wrong" -eq 0 ] && [ "$died" -gt $((kills / 3)) ]
check $? "killed at random and resumed: the same bytes as unbroken"

# --- system calls that fail ------------------------------------------------------------------------
SHIM=$T/faults.so
if grep -q __asan_init "$W" 2>/dev/null; then
    SHIM=
elif ! ${CC:-cc} -O1 -shared -fPIC -o "$SHIM" "$HERE/feature_faults.c" -ldl 2> "$T/log"; then
    SHIM=
fi
small="90 8 --batch 15 --every 2"
fault() { # CALL:N:WHAT -> rc
    FAULT=$1 LD_PRELOAD=$SHIM timeout 60 "$W" "$T/out.h5" $small > "$T/log" 2> "$T/err"
}
if [ -n "$SHIM" ]; then
    clean
    rm -f "$T/whole.h5"
    "$W" "$T/whole.h5" $small > "$T/log" 2>&1
    FAULT_COUNT=$T/count LD_PRELOAD=$SHIM "$W" "$T/out.h5" $small > "$T/log" 2>&1
    calls=$(awk '$1 == "any" { print $2 }' "$T/count")
    step=5
    [ -n "$HEAVY" ] && step=1
    wrong=0 tried=0 at=1
    while [ "$at" -le "$calls" ]; do
        clean
        fault "any:$at:kill"
        [ $? -eq 137 ] || wrong=$((wrong + 1))
        # the run that goes on is killed as well, a few calls later
        fault "any:$((at / 2 + 20)):kill"
        "$W" "$T/out.h5" $small > "$T/log" 2>&1 && same || { wrong=$((wrong + 1)); echo "# killed at call $at"; }
        tried=$((tried + 1)) at=$((at + step))
    done
    echo "# $tried of $calls calls"
    check "$wrong" "killed at a system call and resumed, twice: the same bytes"

    wrong=0 tried=0 at=20
    while [ "$at" -le "$calls" ]; do
        for seed in 1 2 3 4; do
            clean
            POWER_SEED=$seed$at fault "any:$at:power"
            [ $? -eq 137 ] || wrong=$((wrong + 1))
            "$W" "$T/out.h5" $small > "$T/log" 2> "$T/err"
            if [ $? -eq 0 ] && same; then :; else
                wrong=$((wrong + 1)); echo "# power lost at call $at, seed $seed: $(cat "$T/log" "$T/err")"
            fi
            tried=$((tried + 1))
        done
        at=$((at + step))
    done
    echo "# $tried power failures"
    check "$wrong" "unsynced sectors lost at a system call: the same bytes after going on"

    # ENOSPC 28, EIO 5, EDQUOT 122, EFBIG 27, ESTALE 116, EROFS 30, EINTR 4
    wrong=0 tried=0 ended=0
    for call in pwrite write fsync fdatasync rename fallocate ftruncate open link close; do
        most=$(awk -v c="$call" '$1 == c { print $2 }' "$T/count")
        for what in 28 5 122 27 116 30; do
            for once in "" "+"; do
                at=1 gap=1
                [ -n "$HEAVY" ] || gap=$((most / 6 + 1))
                while [ "$at" -le "$most" ]; do
                    clean
                    fault "$call:$at$once:$what"
                    rc=$?
                    bad=
                    case $rc in
                        0) [ -s "$T/err" ] && [ "$call" = pwrite ] && bad="success with words" ;;
                        5) ended=$((ended + 1)); [ "$(wc -l < "$T/err")" -eq 1 ] || bad="$(wc -l < "$T/err") lines of words" ;;
                        *) bad="exit $rc" ;;
                    esac
                    [ -e "$T/out.h5" ] && ! cmp -s "$T/out.h5" "$T/whole.h5" && bad="a wrong file"
                    [ "$rc" -eq 0 ] && ! cmp -s "$T/out.h5" "$T/whole.h5" && bad="success without a file"
                    "$W" "$T/out.h5" $small > "$T/log" 2>&1 && same || bad="$bad, not resumed"
                    [ -z "$bad" ] || { wrong=$((wrong + 1)); echo "# $call:$at$once:$what: $bad; $(head -c 300 "$T/err")"; }
                    tried=$((tried + 1)) at=$((at + gap))
                done
            done
        done
    done
    echo "# $tried failing calls, $ended of them ended the run"
    [ "$wrong" -eq 0 ] && [ "$ended" -gt $((tried / 3)) ]
    check $? "each call failing, once and from then on: exit 5 and one line, or the right file; resumable"

    wrong=0
    for f in pwrite:1+:short pwrite:3:4 fsync:1:4 fdatasync:2:4 fallocate:1:4; do
        clean
        fault "$f"
        [ $? -eq 0 ] && same || { wrong=$((wrong + 1)); echo "# $f: $(cat "$T/err")"; }
    done
    check "$wrong" "short writes and EINTR are gone over"

    clean
    fault fdatasync:3:5
    grep -q 'fdatasync failed, what was written may be lost' "$T/err"
    check $? "a failed sync ends the run with its reason"
else
    skip "killed at a system call and resumed" "no preloaded library in this build"
    skip "unsynced sectors lost" "no preloaded library in this build"
    skip "each call failing" "no preloaded library in this build"
    skip "short writes and EINTR" "no preloaded library in this build"
    skip "a failed sync ends the run" "no preloaded library in this build"
fi

# --- no room ----------------------------------------------------------------------------------------
clean
rm -f "$T/whole.h5"
"$W" "$T/whole.h5" 1500 40 > "$T/log" 2>&1
size=$(wc -c < "$T/whole.h5")
wrong=0
for blocks in 1 8 64 512 $((size / 512 - 1)); do
    (ulimit -f "$blocks" && "$W" "$T/out.h5" 1500 40 > "$T/log" 2> "$T/err")
    rc=$?
    { [ "$rc" -eq 5 ] && [ ! -e "$T/out.h5" ] && [ ! -e "$T/out.h5.part" ]; } ||
        { wrong=$((wrong + 1)); echo "# ulimit -f $blocks: exit $rc, $(cat "$T/err")"; }
done
"$W" "$T/out.h5" 1500 40 > "$T/log" 2>&1 && same || wrong=$((wrong + 1))
check "$wrong" "file size limit: exit 5 before the first row, nothing left behind"

mkdir "$T/disk"
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=64k tmpfs "$T/disk" 2> "$T/log"; then
    umount "$T/disk"
    wrong=0 tried=0 step=16
    [ -n "$HEAVY" ] && step=1
    kib=64
    while [ "$kib" -lt $((size / 1024 + 256)) ]; do
        mount -t tmpfs -o size=${kib}k tmpfs "$T/disk"
        "$W" "$T/disk/out.h5" 1500 40 > "$T/log" 2> "$T/err"
        rc=$?
        if [ "$rc" -eq 0 ]; then
            cmp -s "$T/disk/out.h5" "$T/whole.h5" || { wrong=$((wrong + 1)); echo "# $kib KiB: a wrong file"; }
        else
            { [ "$rc" -eq 5 ] && [ ! -e "$T/disk/out.h5" ] && [ "$(wc -l < "$T/err")" -eq 1 ]; } ||
                { wrong=$((wrong + 1)); echo "# $kib KiB: exit $rc, $(cat "$T/err")"; }
            [ -e "$T/disk/out.h5.part" ] && ! grep -q journal "$T/err" &&
                { wrong=$((wrong + 1)); echo "# $kib KiB: space not given back: $(cat "$T/err")"; }
        fi
        umount "$T/disk"
        tried=$((tried + 1)) kib=$((kib + 4 * step))
    done
    echo "# $tried disk sizes up to $kib KiB for a file of $size bytes"
    check "$wrong" "full disk of every size: the right file or exit 5 and none"
    mount -t tmpfs -o size=64k tmpfs "$T/disk"
    "$W" "$T/disk/out.h5" 1500 40 > "$T/log" 2> "$T/err"
    grep -q 'no space: needs [0-9]* bytes, [0-9]* are free, [0-9]* are missing' "$T/err"
    check $? "a full disk says how much is missing"
    umount "$T/disk"
else
    skip "full disk of every size" "needs root"
    skip "a full disk says how much is missing" "needs root"
fi

# --- two at once ------------------------------------------------------------------------------------
clean
"$W" "$T/out.h5" 1500 40 --nap 20000 > "$T/log" 2>&1 &
first=$!
while [ ! -e "$T/out.h5.journal" ] && kill -0 "$first" 2>/dev/null; do sleep 0.01; done
"$W" "$T/out.h5" 1500 40 > "$T/log2" 2> "$T/err"
rc=$?
[ "$rc" -eq 5 ] && grep -q "another process is writing it: pid $first on" "$T/err"
check $? "a second writer is refused and told who has it"
# readers see nothing, or an unfinished file that is refused
"$R" "$T/out.h5" "$T/out.h5.part" > "$T/list"
grep -q "out.h5	refused	4.*cannot open" "$T/list" && grep -q "part	refused	4.*has not finished" "$T/list"
check $? "readers beside the writer see no data that is not final"
kill -KILL "$first"
wait "$first" 2>/dev/null
"$W" "$T/out.h5" 1500 40 > "$T/log" 2>&1 && grep -q '^resumed' "$T/log" && same
check $? "the lock of a killed writer is taken over"
"$W" "$T/out.h5" 1500 40 > "$T/log" 2>&1 && grep -q '^complete 1500' "$T/log"
check $? "a finished file is recognised"
"$W" "$T/out.h5" 1500 40 --model other > "$T/log" 2> "$T/err"
[ $? -eq 4 ] && grep -q 'model is "m" there and "other" here' "$T/err" && same
check $? "another model's file is kept, with exit 4 and the setting that differs"
"$W" "$T/out.h5" 1500 40 --model other --force > "$T/log" 2>&1 && grep -q '^new' "$T/log" && ! cmp -s "$T/out.h5" "$T/whole.h5"
check $? "--force replaces it"
(umask 077 && clean && "$W" "$T/out.h5" 1500 40 <&- > "$T/log" 2>&1) && same
check $? "umask 077 and a closed stdin: the same bytes"

# --- hostile files ------------------------------------------------------------------------------------
if [ -d "$DATA/hostile/hdf5" ]; then
    find "$DATA/hostile/hdf5" -type f | sort > "$T/names"
    total=$(wc -l < "$T/names")
    tr '\n' '\0' < "$T/names" | timeout 600 xargs -0 "$R" > "$T/list" 2> "$T/err"
    rc=$?
    refused=$(awk -F '\t' '$2 == "refused" && $3 == 4 && index($4, $1 ": ") == 1 && length($4) > length($1) + 8' "$T/list" | wc -l)
    echo "# $refused of $total hostile files refused with file and rule"
    awk -F '\t' '$2 != "refused" || $3 != 4 { print "# " $0 }' "$T/list"
    [ "$rc" -eq 0 ] && [ "$refused" -eq "$total" ] && [ ! -s "$T/err" ] &&
        ! LC_ALL=C tr -d '\n\t' < "$T/list" | LC_ALL=C grep -q '[[:cntrl:]]'
    check $? "hostile HDF5 files: the reader lives and refuses all of them"
else
    skip "hostile HDF5 files" "no $DATA/hostile/hdf5"
fi

echo "1..$n"
exit "$failed"
