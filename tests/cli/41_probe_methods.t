#!/bin/sh
# The methods over tables of /probes, end to end against the formulas in f64.
cd "$(dirname "$0")/../.." || exit 1
program=${OUTPOST_BUILD:-build}/score
if [ ! -x "$program" ]; then
    echo "1..0 # SKIP no $program (make it first)"
    exit 0
fi
for python in ${PYTHON:-} /usr/bin/python3 python3; do
    if "$python" -c 'import numpy, scipy, sklearn, h5py' 2>/dev/null; then
        exec "$python" tests/score/oracle_probes.py "$program"
    fi
done
echo "1..0 # SKIP no Python with numpy, scipy, scikit-learn and h5py"
