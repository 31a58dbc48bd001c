"""Prints the polynomial coefficients of the functions in this folder.

Method: the Remez exchange algorithm in 60 digits (E. Remez, 1934; second algorithm), on a weighted relative error, with
the leading coefficients that must be exact taken out of the polynomial first. Needs mpmath only.
"""
import struct
from mpmath import mp, mpf, matrix, lu_solve, exp, log, sin, cos, tanh, erf, erfc, sqrt, pi, atanh, expm1, log1p, linspace

mp.dps = 60


def f32(x):
    return struct.unpack("<f", struct.pack("<f", float(x)))[0]


def bits(x):
    return struct.unpack("<I", struct.pack("<f", float(x)))[0]


def bits64(x):
    return struct.unpack("<Q", struct.pack("<d", float(x)))[0]


def remez(f, w, lo, hi, n):
    """Coefficients of the degree n polynomial that minimizes max |w(x) (f(x) - p(x))| on [lo, hi]."""
    lo, hi = mpf(lo), mpf(hi)
    m = n + 2
    xs = [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(pi * i / (m - 1)) for i in range(m)]
    for _ in range(20):
        a = matrix(m, m)
        b = matrix(m, 1)
        for i, x in enumerate(xs):
            for k in range(n + 1):
                a[i, k] = x**k
            a[i, n + 1] = (-1) ** i / w(x)
            b[i] = f(x)
        c = lu_solve(a, b)
        p = [c[k] for k in range(n + 1)]
        err = lambda x: w(x) * (f(x) - mp.polyval(p[::-1], x))
        grid = [lo + (hi - lo) * (1 - mp.cos(pi * i / 600)) / 2 for i in range(601)]
        es = [err(x) for x in grid]
        ext = [(grid[0], es[0])]
        for x, e in zip(grid[1:], es[1:]):
            if (e > 0) == (ext[-1][1] > 0):
                if abs(e) > abs(ext[-1][1]):
                    ext[-1] = (x, e)
            else:
                ext.append((x, e))
        while len(ext) > m:
            ext.pop(0 if abs(ext[0][1]) < abs(ext[-1][1]) else -1)
        if len(ext) < m:
            break
        top, low = max(abs(e) for _, e in ext), min(abs(e) for _, e in ext)
        xs = [x for x, _ in ext]
        if top - low < top * mpf("1e-4"):
            break
    return p, max(abs(e) for e in es)


def show(name, f, w, lo, hi, n):
    p, e = remez(f, w, lo, hi, n)
    print(f"{name}: error 2^{float(mp.log(e, 2)):.1f}")
    for c in p:
        print(f"    {f32(c):.9e}, // {bits(c):#010x}")


def show64(name, f, w, lo, hi, n):
    p, e = remez(f, w, lo, hi, n)
    print(f"{name}: error 2^{float(mp.log(e, 2)):.1f}")
    for c in p:
        print(f"    f64::from_bits({bits64(c):#018x}), // {float(c):.17e}")


def near0(g, limit):
    """g away from 0, its limit at 0."""
    return lambda x: mpf(limit) if abs(x) < mpf("1e-12") else g(x)


h = log(mpf(2)) / 2 * mpf("1.002")
show("exp: e^r = 1 + r + r^2 q(r)", near0(lambda r: (exp(r) - 1 - r) / r**2, 0.5), lambda r: r**2 / exp(r) + mpf("1e-9"), -h, h, 4)
show("expm1: e^r - 1 = r + r^2 q(r)", near0(lambda r: (exp(r) - 1 - r) / r**2, 0.5), lambda r: near0(lambda t: t**2 / expm1(t), 0)(r) * (1 if r > 0 else -1) + mpf("1e-9"), -h, h, 5)
lo, hi = sqrt(mpf(1) / 2) - 1, sqrt(mpf(2)) - 1
show("log: log(1+f) = f - f^2/2 + f^3 q(f)", near0(lambda t: (log1p(t) - t + t**2 / 2) / t**3, mpf(1) / 3), lambda t: near0(lambda u: abs(u**3 / log1p(u)), 0)(t) + mpf("1e-9"), lo, hi, 8)
q = (pi / 4 * mpf("1.01")) ** 2
rt = lambda z: sqrt(z) if z > 0 else mpf(0)
show("sin: sin r = r + r^3 q(r^2)", near0(lambda z: (sin(rt(z)) / rt(z) - 1) / z, mpf(-1) / 6), lambda z: z + mpf("1e-9"), 0, q, 3)
show("cos: cos r = 1 - r^2/2 + r^4 q(r^2)", near0(lambda z: (cos(rt(z)) - 1 + z / 2) / z**2, mpf(1) / 24), lambda z: z**2 + mpf("1e-9"), 0, q, 2)
show("tanh: tanh x = x + x^3 q(x^2), |x| < 0.625", near0(lambda z: (tanh(rt(z)) / rt(z) - 1) / z, mpf(-1) / 3), lambda z: z + mpf("1e-9"), 0, mpf("0.625") ** 2, 4)
show("erf: erf x = x + x q(x^2), |x| < 0.925", near0(lambda z: erf(rt(z)) / rt(z) - 1, 2 / sqrt(pi) - 1), lambda z: mpf(1), 0, mpf("0.925") ** 2, 6)
show("erfc: log erfc a = q(a), 0.92 <= a <= 4", lambda a: log(erfc(a)), lambda a: erfc(a) / erf(a), mpf("0.92"), mpf("4.0"), 7)
a = (mpf(3) - 2 * sqrt(mpf(2))) ** 2 * mpf("1.001")
show("log for pow: log m = 2 s + s^3 q(s^2)", near0(lambda z: 2 * (atanh(rt(z)) / rt(z) - 1) / z, mpf(2) / 3), lambda z: z / 2 + mpf("1e-9"), 0, a, 3)

print("In f64")
show64("exp: e^r = 1 + r + r^2 q(r)", near0(lambda r: (exp(r) - 1 - r) / r**2, 0.5), lambda r: r**2 / exp(r) + mpf("1e-19"), -h, h, 9)
show64("expm1: e^r - 1 = r + r^2 q(r)", near0(lambda r: (exp(r) - 1 - r) / r**2, 0.5), lambda r: near0(lambda t: t**2 / expm1(t), 0)(r) * (1 if r > 0 else -1) + mpf("1e-19"), -h, h, 10)
show64("log: log(1+f) = f - f^2/2 + f^3 q(f)", near0(lambda t: (log1p(t) - t + t**2 / 2) / t**3, mpf(1) / 3), lambda t: near0(lambda u: abs(u**3 / log1p(u)), 0)(t) + mpf("1e-19"), lo - mpf("1e-5"), hi + mpf("1e-5"), 18)
show64("sin: sin r = r + r^3 q(r^2)", near0(lambda z: (sin(rt(z)) / rt(z) - 1) / z, mpf(-1) / 6), lambda z: z + mpf("1e-19"), 0, q, 5)
show64("cos: cos r = 1 - r^2/2 + r^4 q(r^2)", near0(lambda z: (cos(rt(z)) - 1 + z / 2) / z**2, mpf(1) / 24), lambda z: z**2 + mpf("1e-19"), 0, q, 5)
show64("tanh: tanh x = x + x^3 q(x^2), |x| < 0.625", near0(lambda z: (tanh(rt(z)) / rt(z) - 1) / z, mpf(-1) / 3), lambda z: z + mpf("1e-19"), 0, mpf("0.625") ** 2, 10)
show64("erf: erf x = x + x q(x^2), |x| < 1", near0(lambda z: erf(rt(z)) / rt(z) - 1, 2 / sqrt(pi) - 1), lambda z: mpf(1), 0, mpf("1.001") ** 2, 11)
center = mpf("2.5")


def scaled(t):
    """e^(a^2) erfc a where t = (a - 2.5) / (a + 2.5)."""
    a = center * (1 + t) / (1 - t)
    return exp(a * a) * erfc(a)


def share(t):
    a = center * (1 + t) / (1 - t)
    return exp(-a * a) / erf(a)


show64("erfc: e^(a^2) erfc a = q((a - 2.5) / (a + 2.5)), 1 <= a <= 6", scaled, share, (mpf("0.999") - center) / (mpf("0.999") + center), (6 - center) / (6 + center), 13)
show64("log for pow: log m = 2 s + s^3 (2/3 + s^2 q(s^2))", near0(lambda z: (2 * (atanh(rt(z)) / rt(z) - 1) / z - mpf(2) / 3) / z, mpf(2) / 5), lambda z: z**2 / 2 + mpf("1e-22"), 0, a, 6)

for name, c, n in (("ln 2", log(mpf(2)), 3), ("pi / 2", pi / 2, 4)):
    print(name, "in f32 parts")
    for _ in range(n):
        t = f32(c)
        print(f"    {t:.9e}, // {bits(t):#010x}")
        c -= mpf(t)
for name, c, n in (("ln 2", log(mpf(2)), 3), ("pi / 2", pi / 2, 3), ("1 / ln 2", 1 / log(mpf(2)), 1), ("2 / pi", 2 / pi, 1), ("2 / 3", mpf(2) / 3, 2)):
    print(name, "in f64 parts")
    for _ in range(n):
        t = float(c)
        print(f"    {bits64(t):#018x} // {t:.17e}")
        c -= mpf(t)
print("1 / ln 2", f"{f32(1 / log(mpf(2))):.9e}", "2 / pi", f"{f32(2 / pi):.9e}")
mp.dps = 120
digits = int(mp.floor(2 / pi * mpf(2) ** 224))
print("2 / pi in words:", " ".join(f"{(digits >> (224 - 32 * (i + 1))) & 0xffffffff:#010x}" for i in range(7)))
mp.dps = 400
print("2 / pi in chunks of 48 bits, 34 zeros first:")
print(", ".join(str(int(mp.floor(2 / pi * mpf(2) ** (48 * (j + 1) - 34))) % 2**48) for j in range(25)))
