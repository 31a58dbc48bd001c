"""Prints arguments and correctly rounded f64 results of the functions in this folder, for their tests.

A line is the function, the bits of its arguments, the bits of the result. `points.py 240 > points.txt` wrote the file that the
tests read; a larger number makes a denser file, which `NN_POINTS` makes them read instead. Needs mpmath only.
"""
import math
import random
import struct
import sys
from mpmath import mp, mpf

mp.dps = 400
random.seed(1)
N = int(sys.argv[1]) if len(sys.argv) > 1 else 240


def bits(x):
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def real(b):
    return struct.unpack("<d", struct.pack("<Q", b))[0]


def rounded(v):
    """The nearest f64, ties to even, through a fraction of integers so that subnormal results round once."""
    if mp.isinf(v):
        return math.inf if v > 0 else -math.inf
    if v == 0:
        return 0.0
    sign, man, exp, bc = v._mpf_
    lsb = max(exp + bc - 53, -1074)
    shift = lsb - exp
    if shift > 0:
        q, r = man >> shift, man & ((1 << shift) - 1)
        half = 1 << (shift - 1)
        q += r > half or (r == half and q & 1)
    else:
        q = man << -shift
    try:
        y = math.ldexp(q, lsb)
    except OverflowError:
        y = math.inf
    return -y if sign else y


EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, math.inf, -math.inf, math.nan, 5e-324, -5e-324, 2.2250738585072014e-308,
         1.7976931348623157e308, -1.7976931348623157e308, 1e-300, -1e-17, 1e-9, 0.99999999999999989, 1.0000000000000002]


def spread(lo, hi):
    """Both signs, exponents even in lo..hi."""
    return [random.choice([1, -1]) * real(random.randint(bits(lo), bits(hi))) for _ in range(N)]


def even(lo, hi):
    return [random.uniform(lo, hi) for _ in range(N)]


def exp(x):
    if x != x:
        return x
    if x > 800:
        return math.inf
    if x < -800:
        return 0.0
    return rounded(mp.exp(mpf(x)))


def expm1(x):
    if x != x or x == 0:
        return x
    if x > 800:
        return math.inf
    if x < -800:
        return -1.0
    return rounded(mp.expm1(mpf(x)))


def log(x):
    if x != x or x < 0:
        return math.nan
    if x == 0:
        return -math.inf
    return x if x == math.inf else rounded(mp.log(mpf(x)))


def log1p(x):
    if x != x or x < -1:
        return math.nan
    if x == -1:
        return -math.inf
    if x == 0:
        return x
    return x if x == math.inf else rounded(mp.log(1 + mpf(x)))


def tanh(x):
    if x != x or x == 0:
        return x
    return math.copysign(1.0, x) if abs(x) > 100 else rounded(mp.tanh(mpf(x)))


def erf(x):
    if x != x or x == 0:
        return x
    return math.copysign(1.0, x) if abs(x) > 30 else rounded(mp.erf(mpf(x)))


def sin(x):
    if x != x or abs(x) == math.inf:
        return math.nan
    return x if x == 0 else rounded(mp.sin(mpf(x)))


def cos(x):
    return math.nan if x != x or abs(x) == math.inf else rounded(mp.cos(mpf(x)))


def power(x, y):
    try:
        special = math.pow(x, y)
    except (OverflowError, ValueError):
        special = None
    if x == 1 or y == 0 or x != x or y != y or abs(x) == math.inf or abs(y) == math.inf or x == 0 or abs(x) == 1:
        if special is not None:
            return special
        if x == 0:
            odd = y == math.floor(y) and math.fmod(y, 2) != 0
            return math.copysign(math.inf, x) if odd else math.inf
        return math.nan
    if x < 0 and y != math.floor(y):
        return math.nan
    l = mpf(y) * mp.log(abs(mpf(x)))
    negative = x < 0 and math.fmod(y, 2) != 0
    v = math.inf if l > 800 else 0.0 if l < -800 else rounded(mp.exp(l))
    return -v if negative else v


def show(name, f, *args):
    y = f(*args)
    print(name, *(f"{bits(a):x}" for a in args), f"{bits(y):x}")


# Near multiples of pi / 2: the second is the double that is nearest to one.
HARD = [6381956970095103.0 * 2.0**797, 5.31937264832654141671e255, 3.0, 22.0, 355.0, 1.5707963267948966, 3.141592653589793]
for name, f, parts in [
    ("exp", exp, even(-750, 712) + spread(1e-20, 700)),
    ("expm1", expm1, even(-40, 712) + spread(1e-20, 40) + even(-1, 1)),
    ("log", log, [abs(x) for x in spread(5e-324, 1e308)] + even(0.4, 2.2)),
    ("log1p", log1p, spread(1e-20, 1e20) + even(-0.9999, 2) + [-1 + 2.0**-i for i in range(1, 53, 3)]),
    ("tanh", tanh, spread(1e-20, 30) + even(-22, 22) + even(-1, 1)),
    ("erf", erf, spread(1e-20, 7) + even(-6.2, 6.2) + even(-1.2, 1.2)),
    ("sin", sin, spread(1e-20, 1e308) + even(-30, 30) + spread(1e3, 1e9) + HARD),
    ("cos", cos, spread(1e-20, 1e308) + even(-30, 30) + spread(1e3, 1e9) + HARD),
]:
    for x in EDGES + parts:
        show(name, f, x)
some = [0.0, 1.0, 2.0, 3.0, 0.5, 1e-310, 1e300, 9007199254740991.0, 9007199254740992.0, 4503599627370495.5, math.inf]
for x in some:
    for y in some:
        for a, b in [(x, y), (-x, y), (x, -y), (-x, -y)]:
            if random.random() < 0.5:
                show("pow", power, a, b)
show("pow", power, math.nan, 0.0)
show("pow", power, 1.0, math.nan)
show("pow", power, math.nan, 2.0)
show("pow", power, 2.0, math.nan)
for _ in range(N):
    # Results over the whole exponent range, where the error is largest.
    x = real(random.randint(bits(1e-300), bits(1e300)))
    show("pow", power, x, random.uniform(-1074, 1024) / math.log2(x))
    x = random.uniform(0.5, 2.0)
    show("pow", power, x, random.uniform(-1074, 1024) / math.log2(x))
    show("pow", power, random.uniform(-9, 9), float(random.randint(-40, 40)))
    show("pow", power, random.uniform(0, 9), random.uniform(-9, 9))
