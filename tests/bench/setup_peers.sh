#!/bin/sh
# Makes the Python environment with the peers of `make bench`, once: $OUTPOST_PEERS or
# ~/.cache/outpost-peers.  About 6 GB, from the package index pip is configured for.
set -eu
at=${OUTPOST_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/outpost-peers}
packages="torch torchvision timm onnxruntime onnx numpy scipy h5py scikit-learn pillow faiss-cpu"
check='import torch, torchvision, timm, onnxruntime, onnx, numpy, scipy, h5py, sklearn, PIL, faiss'
if [ -x "$at/bin/python" ] && "$at/bin/python" -c "$check" 2>/dev/null; then
    echo "peers are ready in $at"
    exit 0
fi
python=${PYTHON:-python3}
"$python" -m venv "$at"
"$at/bin/python" -m pip install --quiet $packages
"$at/bin/python" -c "$check"
"$at/bin/python" - <<'PY'
import onnxruntime, numpy, PIL, sklearn, timm, torch, torchvision
print("torch", torch.__version__, "torchvision", torchvision.__version__, "timm", timm.__version__, "onnxruntime",
      onnxruntime.__version__, "numpy", numpy.__version__, "Pillow", PIL.__version__,
      "scikit-learn", sklearn.__version__)
PY
echo "peers are ready in $at"
