#!/bin/sh
# The metrics against exact fractions and scikit-learn.
cd "$(dirname "$0")/../.." || exit 1
program=${OUTPOST_BUILD:-build}/tools/score_metrics
if [ ! -x "$program" ]; then
    echo "1..0 # SKIP no $program (make it first)"
    exit 0
fi
for python in ${PYTHON:-} /usr/bin/python3 python3; do
    if "$python" -c 'import numpy,sklearn' 2>/dev/null; then
        exec "$python" tests/score/metrics_oracle.py "$program" ${OUTPOST_LONG:+100000}
    fi
done
echo "1..0 # SKIP no Python with numpy,sklearn"
