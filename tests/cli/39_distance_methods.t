#!/bin/sh
# The methods over distances, covariances, subspaces and banks, against two oracles in Python: the formulas in f64, and
# the published steps in f32.
cd "$(dirname "$0")/../.." || exit 1
tool=${OUTPOST_BUILD:-build}/tools/score_arrays
if [ ! -x "$tool" ]; then
    echo "1..0 # SKIP no $tool (make it first)"
    exit 0
fi
for python in ${PYTHON:-} /usr/bin/python3 python3; do
    if "$python" -c 'import numpy, scipy, sklearn, torch' 2>/dev/null; then
        exec "$python" tests/score/oracle_distance.py "$tool"
    fi
done
echo "1..0 # SKIP no Python with numpy, scipy, scikit-learn and torch"
