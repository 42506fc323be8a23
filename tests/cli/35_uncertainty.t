#!/bin/sh
# The intervals of the metrics against numpy, scipy and scikit-learn.
cd "$(dirname "$0")/../.." || exit 1
program=${OUTPOST_BUILD:-build}/tools/score_uncertainty
if [ ! -x "$program" ]; then
    echo "1..0 # SKIP no $program (make it first)"
    exit 0
fi
for python in ${PYTHON:-} /usr/bin/python3 python3; do
    if "$python" -c 'import numpy,scipy,sklearn' 2>/dev/null; then
        exec "$python" tests/score/uncertainty_oracle.py "$program"
    fi
done
echo "1..0 # SKIP no Python with numpy,scipy,sklearn"
