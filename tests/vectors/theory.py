"""Known answers for tests/theory.rs, from 60-digit arithmetic: python3 theory.py > theory.csv

Inputs are printed exactly (hexadecimal floats); answers are correctly rounded to 17 digits. Columns:
kind, x, z, angle, supplement, then for the slopes 0, 0.3, 0.9: derivative dual, value dual.
"""
import random
from mpmath import acos, atan2, mp, mpf, pi, sin, cos, sqrt

mp.dps = 60
random.seed(2410)


def answers(x, z):
    d = len(x)
    x, z = [mpf(v) for v in x], [mpf(v) for v in z]
    p = sum(v * v for v in x) / d
    q = sum(v * v for v in z) / d
    c = sum(v * w for v, w in zip(x, z)) / d
    s2, t2 = 1 + p, 1 + q
    root = sqrt(max(s2 * t2 - (1 + c) ** 2, mpf(0)))
    angle = atan2(root, 1 + c)
    row = [angle, pi - angle]
    for g in (mpf(0), mpf(0.3), mpf(0.9)):
        phi = g + (1 - g) ** 2 * (pi - angle) / (2 * pi)
        sigma = g * (1 + c) + (1 - g) ** 2 * sqrt(s2 * t2) * (sin(angle) + (pi - angle) * cos(angle)) / (2 * pi)
        row += [phi, sigma]
    return row


def emit(kind, x, z):
    fmt = lambda v: " ".join(float(t).hex() for t in v)
    print(",".join([kind, fmt(x), fmt(z)] + [mp.nstr(v, 20) for v in answers(x, z)]))


def gauss(d, scale):
    return [random.gauss(0, 1) * scale for _ in range(d)]


for d in (1, 2, 7, 30):
    for exponent in (-8, -4, -2, 0, 2, 4, 8):
        scale = 10.0 ** exponent
        x = gauss(d, scale)
        emit("generic", x, gauss(d, scale))
        emit("opposite", x, [-v * (1 + 0.1 * random.random()) for v in x])
        emit("multiple", x, [v * 2.5 for v in x])
        emit("mixed", x, gauss(d, 1.0))
        for relative in (1e-2, 1e-4, 1e-6, 1e-9, 1e-12):
            noise = gauss(d, 1.0)
            size = sum(v * v for v in x) ** 0.5 / sum(v * v for v in noise) ** 0.5
            emit("near", x, [v + relative * size * e for v, e in zip(x, noise)])
            emit("nearly-opposite", x, [-v + relative * size * e for v, e in zip(x, noise)])
