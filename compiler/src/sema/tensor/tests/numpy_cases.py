"""Makes numpy_cases.nn: what NumPy computes, as assertions of `test` items. Run with NumPy at hand, in this folder.

The interpreter that runs tests computes floats in f64, so the expected values are NumPy's in f64 of operands that f32
holds. `same` in the made file compares zeros with their sign and takes NaN for NaN.
"""

import numpy as np

rng = np.random.default_rng(5)
out = ["""# Made by numpy_cases.py: what NumPy computes.

fn floats(x: [..S]) -> [..S] = x
fn ints(x: i32[..S]) -> i32[..S] = x
fn bools(x: bool[..S]) -> bool[..S] = x

## Equal everywhere, NaN to NaN and zeros by their sign.
fn same(a: [..S], b: [..S]) -> bool = all((a == b and 1 / a == 1 / b or a == b and a != 0) or (a != a and b != b))
"""]


def vec(x):
    """A tensor, by a function of the made file: a list alone would be static."""
    x = np.asarray(x)
    return f"{'bools' if x.dtype == bool else 'ints' if x.dtype.kind == 'i' else 'floats'}({lit(x)})"


def lit(x):
    if isinstance(x, (list, tuple, np.ndarray)):
        return "[" + ", ".join(lit(v) for v in x) + "]"
    if isinstance(x, (bool, np.bool_)):
        return "true" if x else "false"
    if isinstance(x, (int, np.integer)):
        return str(x)
    x = float(x)
    if np.isnan(x):
        return "(inf - inf)"
    if np.isinf(x):
        return "inf" if x > 0 else "-inf"
    text = repr(x)
    return text if "." in text or "e" in text else text + ".0"


def test(name, lines):
    out.append(f"test \"{name}\" {{\n" + "\n".join("  " + l for l in lines) + "\n}\n")


# Static numbers.
lines = []
for a in [-9, -8, -7, -1, 0, 1, 7, 8, 9, 2**62, -(2**62)]:
    for b in [-4, -3, -1, 1, 3, 4]:
        lines.append(f"assert {a} // {b} == {a // b} and {a} % {b} == {a % b}")
test("static whole numbers divide and leave remainders as Python's do", lines)
lines = []
for a in [-7.5, -1.0, -0.25, 0.0, 0.6, 1.0, 5.5, 1e20, -1e20]:
    for b in [-3.0, -0.1, 0.2, 2.5, 10.0]:
        lines.append(f"assert {lit(a)} // {lit(b)} == {lit(a // b)} and {lit(a)} % {lit(b)} == {lit(a % b)}")
test("static floats divide and leave remainders as Python's do", lines)
lines = []
for d, n in [("i8", np.int8), ("i16", np.int16), ("i32", np.int32), ("u8", np.uint8), ("u16", np.uint16), ("u32", np.uint32)]:
    for x in [-1, 127, 128, 255, 256, 300, -129, 65536, 2**31, 2**32 + 5, -(2**40) + 3]:
        wrapped = int(np.int64(x).astype(n))
        # A static number has to fit; what a tensor holds wraps.
        if wrapped == x:
            lines.append(f"assert (({x}) as {d}) == {x}")
        if abs(x) < 2**31:
            lines.append(f"assert all(ints([{x}]) as {d} == {wrapped})")
test("static whole numbers convert where they fit, and those of tensors wrap", lines)

# Tensors of floats.
with np.errstate(all="ignore"):
    special = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.75, 10.0, -10.0, 3e9, -3e9, 2.5e38, -2.5e38, 1e-40, np.inf, -np.inf, np.nan])
    special = special.astype(np.float32).astype(np.float64)
    lines = []
    for b in list(special) + [float(np.float32(v)) for v in rng.normal(0, 100, 6)]:
        x = np.concatenate([special, rng.normal(0, 1e3, 4).astype(np.float32), (rng.normal(0, 1, 4) * 10.0 ** rng.integers(-30, 30, 4)).astype(np.float32)])
        r = np.mod(x, b)
        x = x[np.isnan(r) | (r.astype(np.float32) == r)]
        lines.append(f"assert same({vec(x)} % {lit(b)}, {vec(np.mod(x, b))})")
        lines.append(f"assert same({vec(x)} % {vec(np.full_like(x, b))}, {vec(np.mod(x, b))})")
    test("remainders of floats", lines)
    lines = []
    for b in [-3.0, -0.25, 0.125, 2.5, 10.0, np.inf, -np.inf]:
        x = np.concatenate([special[:10], rng.normal(0, 1e3, 6).astype(np.float32)])
        lines.append(f"assert all({vec(x)} // {lit(b)} == {vec(np.floor_divide(x, b))})")
    x, b = np.array([1.0, -1.0, 0.0, 2.5]), 0.0
    lines.append(f"assert same({vec(x)} // {vec(np.zeros(4))}, {vec(np.floor_divide(x, b))})")
    test("floats divided and rounded down", lines)

# Tensors of ints.
lines = []
for b in [-7, -2, -1, 1, 2, 7]:
    x = np.concatenate([[-9, -8, -1, 0, 1, 8, 9, 2**31 - 1, -(2**31) + 1], rng.integers(-1000, 1000, 6)])
    lines.append(f"assert all({vec(x)} // {b} == {lit(x // b)}) and all({vec(x)} % {b} == {lit(x % b)})")
test("whole numbers divided and rounded down", lines)


# The largest k: NaN first, then by value, of equal ones the earlier.
def top_k(row, k):
    key = [(not np.isnan(v), -v if not np.isnan(v) else 0.0, i) for i, v in enumerate(row)]
    order = [i for _, _, i in sorted(key)][:k]
    return [row[i] for i in order], order


lines = []
for n in range(40):
    rows = rng.choice([0.0, 1.0, 2.0, -1.0, -np.inf, np.inf, np.nan], (2, 5), p=[0.2, 0.15, 0.1, 0.1, 0.25, 0.1, 0.1])
    k = 1 + n % 5
    v, i = zip(*(top_k(r, k) for r in rows))
    lines.append(f"let (v{n}, i{n}) = top_k({vec(rows)}, {k})")
    lines.append(f"assert same(v{n}, {vec(v)}) and all(i{n} == {lit(i)})")
lines.append("let (vi, ii) = top_k(ints([-2147483648, 5, -2147483648, 2147483647]), 4)")
lines.append("assert all(vi == [2147483647, 5, -2147483648, -2147483648]) and all(ii == [3, 1, 0, 2])")
test("the largest k", lines)

# Reductions, over nothing too.
lines = ["let none = floats([[1.0, 2.0], [3.0, 4.0]])[:, 0:0]", "let no = none > 0"]
lines += [
    "assert all(any(no, 1) == [false, false]) and all(all(no, 1) == [true, true])",
    "assert all(max(no, axis: 1) == [false, false]) and all(min(no, axis: 1) == [true, true])",
    "assert all(sum(none, 1) == [0.0, 0.0]) and all(prod(none, 1) == [1.0, 1.0]) and not any(no) and all(no)",
    "assert all(max(none, axis: 1) == [-inf, -inf]) and all(min(none, axis: 1) == [inf, inf])",
    "assert all(sum(no, 1) == [0, 0]) and all(logsumexp(none, 1) == [-inf, -inf])",
]
for n in range(30):
    shape = tuple(rng.integers(1, 5, rng.integers(1, 4)))
    axis = int(rng.integers(0, len(shape)))
    x = rng.integers(-4, 5, shape)
    for name in ["sum", "prod", "max", "min", "argmax"]:
        lines.append(f"assert all({name}({vec(x)}, axis: {axis}) == {lit(getattr(np, name)(x, axis=axis))})")
    b = x > 2
    for name, f in [("any", np.any), ("all", np.all), ("max", np.max), ("min", np.min)]:
        lines.append(f"assert all({name}({vec(b)}, axis: {axis}) == {lit(f(b, axis=axis))})")
test("reductions", lines)


# Accesses at computed places: outside of the axis there is 0, and nothing is added.
def at(x, i, axis=0):
    inside = (i >= 0) & (i < x.shape[axis])
    taken = np.take(x, np.where(inside, i, 0), axis=axis)
    return taken * inside.reshape(inside.shape + (1,) * (x.ndim - axis - 1))


lines = []
for n in range(40):
    rows, cols = rng.integers(1, 5, 2)
    x = rng.integers(1, 9, (rows, cols)).astype(float)
    i = rng.integers(-3, rows + 3, rng.integers(1, 6))
    lines.append(f"let x{n} = {vec(x)}")
    lines.append(f"let i{n} = {vec(i)}")
    lines.append(f"assert all(x{n}[i{n}] == {lit(at(x, i))})")
    j = rng.integers(-2, cols + 2, rows)
    inside = (j >= 0) & (j < cols)
    picked = np.where(inside, x[np.arange(rows), np.where(inside, j, 0)], 0)
    lines.append(f"assert all(pick(x{n}, {lit(j)}) == {lit(picked)})")
    lines.append(f"assert all(pick(x{n} > 4, {lit(j)}) == {lit(picked > 4)})")
    hot = np.array([[c == v for c in range(cols)] for v in j])
    lines.append(f"assert all(one_hot[{cols}]({vec(j)}) == {lit(hot)})")
    a, b = rng.integers(-2, rows + 2, 4), rng.integers(-2, cols + 2, 4)
    ok = (a >= 0) & (a < rows) & (b >= 0) & (b < cols)
    both = np.where(ok, x[np.where(ok, a, 0), np.where(ok, b, 0)], 0)
    lines.append(f"let a{n} = {vec(a)}")
    lines.append(f"let b{n} = {vec(b)}")
    lines.append(f"let y{n}[k] = x{n}[a{n}[k], b{n}[k]]")
    lines.append(f"assert all(y{n} == {lit(both)})")
    s = np.zeros((3, cols))
    ids = rng.integers(-2, 5, rows)
    for r, k in enumerate(ids):
        if 0 <= k < 3:
            s[k] += x[r]
    lines.append(f"assert all(segment_sum[3](x{n}, {vec(ids)}) == {lit(s)})")
    # Derivatives: of a gather's sum, one for each time that an element is read.
    count = np.zeros((rows, cols))
    for v in i:
        if 0 <= v < rows:
            count[v] += 1
    lines.append(f"assert all(grad(sum(x{n}[i{n}]), x{n}) == {lit(count)})")
    both = np.zeros((rows, cols))
    for p, q in zip(a[ok], b[ok]):
        both[p, q] += 1
    lines.append(f"assert all(grad(sum(y{n}), x{n}) == {lit(both)})")
test("accesses at computed places", lines)

open("numpy_cases.nn", "w").write("\n".join(out))
