#!/usr/bin/python3
"""The polynomials of extract/cpu/curve_math.h: weighted minimax by linear programming, in double, over a
dense grid; the coefficients are then rounded to f32 one by one, from the constant on, and the rest
fitted again, so that what rounding spoils is made good by the higher ones.

    /usr/bin/python3 tests/golden/make_curves.py      (numpy, scipy)

prints the tables and the largest error of each, in double arithmetic with the rounded coefficients."""
import numpy as np
from scipy.optimize import linprog
from scipy.special import log_ndtr


def minimax(x, f, weight, fixed, degree):
    """Coefficients c of degree len(fixed).. that make max |weight (p - f)| smallest."""
    first = len(fixed)
    rest = f - sum(c * x**k for k, c in enumerate(fixed))
    scale = np.max(np.abs(x))
    a = (x[:, None] / scale) ** np.arange(first, degree + 1) * weight[:, None]
    one = np.ones((len(x), 1))
    b = rest * weight
    a, b = 1e7 * a, 1e7 * b  # the solver's tolerances are absolute
    r = linprog(np.r_[np.zeros(a.shape[1]), 1], np.r_[np.c_[a, -one], np.c_[-a, -one]],
                np.r_[b, -b], bounds=[(None, None)] * (a.shape[1] + 1), method="highs")
    assert r.status == 0, r.message
    return r.x[:-1] / scale ** np.arange(first, degree + 1)


def fit(x, f, weight, degree, fixed=()):
    fixed = list(fixed)
    while len(fixed) <= degree:
        fixed.append(float(np.float32(minimax(x, f, weight, fixed, degree)[0])))
    return fixed


def show(name, c, note):
    print(f"{name}: {note}\n    " + ", ".join(f"{np.float32(v):.9g}f" for v in c))


def main():
    # 2^r for |r| <= 1/2, relative; exactly 1 at 0
    r = np.cos(np.linspace(0, np.pi, 801)) / 2
    f = np.exp2(r)
    c = fit(r, f, 1 / f, 5, [1.0])
    error = np.max(np.abs(np.polyval(c[::-1], r) / f - 1))
    show("2^r", c, f"relative error {error:.2e}")
    # e^r for |r| <= ln(2) / 2
    r *= np.log(2)
    f = np.exp(r)
    c = fit(r, f, 1 / f, 6, [1.0])
    error = np.max(np.abs(np.polyval(c[::-1], r) / f - 1))
    show("e^r", c, f"relative error {error:.2e}")
    # log2 Phi(-a), 0 <= a <= 13: what counts is the error of a Phi(-a), or the relative one of the
    # tail; exactly 1/2 at 0
    a = 13 * (1 - np.cos(np.linspace(0, np.pi, 1601))) / 2
    f = log_ndtr(-a) / np.log(2)
    weight = np.log(2) * np.maximum(np.maximum(a, 0.3) * np.exp2(f), 2e-6)
    c = fit(a, f, weight, 9, [-1.0])
    d = np.exp2(np.polyval(c[::-1], a) - f) - 1
    error, tail = np.max(np.abs(d * a * np.exp2(f))), np.max(np.abs(d))
    show("log2 Phi(-a)", c, f"error of a Phi(-a) {error:.2e}, relative error {tail:.2e}")
    hi = np.float32(np.round(np.log(2) * 2**15) / 2**15)
    print(f"ln 2 = {hi:.9g}f + {np.float32(np.log(2) - float(hi)):.9g}f")


main()
