#!/bin/sh
# Methods over probes on real networks, from images to AUROC, beside PyTorch in float64: tests/golden/probe_table.py.
#   OUTPOST_LONG=1   only then: minutes of PyTorch
. "$(dirname "$0")/e2e.sh"
[ -n "$long" ] || skip_all "OUTPOST_LONG=1 runs it"
[ -d "$data/weights" ] || skip_all "no real checkpoints in $data"
"${python:-false}" -c 'import torch, torchvision, PIL, sklearn' 2> "$err" || skip_all "no Python with torch, torchvision, scikit-learn"
TMPDIR=$tmp "$python" "$root/tests/golden/probe_table.py" "$extract" "$score" "$data" --images 60
exit $?
