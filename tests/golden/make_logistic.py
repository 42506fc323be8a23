#!/usr/bin/env python3
"""Writes tests/unit/logistic_golden.h: coefficients by scikit-learn for tests/unit/test_logistic.c."""
import os

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV

i, j = np.arange(60)[:, None], np.arange(3)[None]
y = ((7 * i[:, 0]) % 11 < 5).astype(int)
x = np.sin(3 * i + 5 * j + i * j) + y[:, None] * (j + 1) / 4 - 10 * j
kind = dict(tol=1e-12, max_iter=100000)


def line(c, m):
    w = ", ".join(f"{v:.12g}" for v in [*m.coef_[0], m.intercept_[0]])
    return f"{{{c:.17g}, {{{w}}}}}"


here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "../unit/logistic_golden.h"), "w") as f:
    f.write("/* Written by tests/golden/make_logistic.py. */\n")
    f.write("    static const struct {\n        double c, w[4];\n    } known[] = {\n")
    for c in (1e-4, 0.01, 1, 100, 1e4):
        f.write(f"        {line(c, LogisticRegression(C=c, solver='newton-cholesky', **kind).fit(x, y))},\n")
    cv = LogisticRegressionCV(solver="newton-cholesky", **kind).fit(x, y)
    f.write(f"    }}, chosen = {line(cv.C_[0], cv)};\n")
