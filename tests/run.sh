#!/bin/sh
# Runs test programs and scripts under prove and closes with one plain line:
#   N passed, N failed, N skipped
#   run.sh BUILD TEST...
set -u
build=$1
shift
logs=$build/tap
rm -rf "$logs"
mkdir -p "$logs"
export OUTPOST_BUILD="$build" OUTPOST_TAP_LOGS="$logs" CMOCKA_MESSAGE_OUTPUT=TAP
# One BLAS thread per test: two tests run side by side.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
prove -j2 --timer --exec 'sh tests/tee.sh' "$@"
status=$?
awk '
/^ok/ { if ($0 ~ /# *SKIP/) skipped++; else passed++ }
/^not ok/ { if ($0 ~ /# *(SKIP|TODO)/) skipped++; else { failed++; print FILENAME ": " $0 } }
/^1\.\.0/ { skipped++ }
END { printf "%d passed, %d failed, %d skipped\n", passed, failed + 0, skipped + 0 }
' "$logs"/*.tap > "$logs/summary"
grep -h '# *SKIP' "$logs"/*.tap | sort -u | sed 's/^/skip: /'
if [ "$status" != 0 ] && grep -q ', 0 failed,' "$logs/summary"; then
    # a test that died or planned wrongly printed no "not ok"
    sed -i 's/, 0 failed,/, 1 failed,/' "$logs/summary"
fi
cat "$logs/summary"
exit "$status"
