"""Makes the stored numbers that tests/wide.rs compares a model of std layers in f64 against, in 50 digits: data, initial
weights, ten losses, the loss and a metric in evaluation mode, and what training leaves in the weights and states.

Run with mpmath and numpy installed: python3 wide.py. wide.nn beside it describes the same model. The formulas are PyTorch's;
gradients come from the reverse mode written out here.
"""
import json, pathlib, random, struct
import numpy as np
from mpmath import mp, mpf, exp, log, sqrt, tanh, erf, cos, pi

mp.dps = 50
here = pathlib.Path(__file__).parent


class Var:
    def __init__(self, value, parents=()):
        self.value, self.parents, self.grad = mpf(value), parents, mpf(0)

    def __add__(self, o):
        o = var(o)
        return Var(self.value + o.value, ((self, mpf(1)), (o, mpf(1))))

    def __mul__(self, o):
        o = var(o)
        return Var(self.value * o.value, ((self, o.value), (o, self.value)))

    def apply(self, value, slope):
        return Var(value, ((self, slope),))

    def inverse(self):
        return self.apply(1 / self.value, -1 / self.value**2)

    def root(self):
        r = sqrt(self.value)
        return self.apply(r, 1 / (2 * r))

    __radd__, __rmul__ = __add__, __mul__
    __neg__ = lambda self: self * -1
    __sub__ = lambda self, o: self + -var(o)


def var(x):
    return x if isinstance(x, Var) else Var(x)


def backward(y):
    order, seen, todo = [], set(), [(y, False)]
    while todo:
        v, done = todo.pop()
        if done:
            order.append(v)
        elif id(v) not in seen:
            seen.add(id(v))
            todo.append((v, True))
            todo.extend((p, False) for p, _ in v.parents)
    y.grad = mpf(1)
    for v in reversed(order):
        for p, slope in v.parents:
            p.grad += v.grad * slope


def total(xs):
    out = Var(0)
    for x in xs:
        out = out + x
    return out


random.seed(11)
N, STEPS = 16, 10
f32 = lambda v: struct.unpack("f", struct.pack("f", v))[0]
a = [[random.uniform(-2, 2) for _ in range(3)] for _ in range(N)]
b = [[random.uniform(-2, 2) for _ in range(2)] for _ in range(N)]
ids = [random.randrange(4) for _ in range(N)]
label = [random.randrange(3) for _ in range(N)]
lines = [",".join([*map(repr, ra + rb), str(i), str(l)]) + "\n" for ra, rb, i, l in zip(a, b, ids, label)]
(here / "wide.csv").write_text("".join(lines))
rows = [[mpf(v) for v in ra] + [mpf(f32(v)) for v in rb] for ra, rb in zip(a, b)]
draw = lambda *shape: np.array([random.uniform(-0.8, 0.8) for _ in range(int(np.prod(shape)))]).reshape(shape)
start = {
    "fc.weight": draw(6, 5), "bn.weight": 1 + draw(6), "bn.bias": draw(6),
    "bn.running_mean": draw(6), "bn.running_var": 1 + draw(6), "emb.weight": draw(4, 6),
    "ln.weight": 1 + draw(6), "ln.bias": draw(6), "head.weight": draw(3, 6), "head.bias": draw(3),
}  # fmt: skip


def safetensors(path, tensors):
    header, body = {}, b""
    for name, t in tensors.items():
        bytes_ = t.astype("<f8").tobytes()
        header[name] = {"dtype": "F64", "shape": list(t.shape), "data_offsets": [len(body), len(body) + len(bytes_)]}
        body += bytes_
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


safetensors(here / "wide.safetensors", start)
lift = lambda t: [lift(x) for x in t] if isinstance(t, list) else Var(t)
w = {k: lift(v.tolist()) for k, v in start.items()}
running = {k: [v.value for v in w.pop(k)] for k in ["bn.running_mean", "bn.running_var"]}
EPS = mpf(1e-5)


def linear(x, name):
    bias = w.get(name + ".bias", [Var(0)] * len(w[name + ".weight"]))
    return [total(p * q for p, q in zip(row, x)) + b for row, b in zip(w[name + ".weight"], bias)]


def gelu(x):
    v = x.value
    return x.apply(v * (1 + erf(v / sqrt(mpf(2)))) / 2, (1 + erf(v / sqrt(mpf(2)))) / 2 + v * exp(-v * v / 2) / sqrt(2 * pi))


def forward(training):
    h = [linear([Var(v) for v in row], "fc") for row in rows]
    for c in range(6):
        if training:
            mean = total(r[c] for r in h) * (mpf(1) / N)
            variance = total((r[c] - mean) * (r[c] - mean) for r in h) * (mpf(1) / N)
            m, s = running["bn.running_mean"], running["bn.running_var"]
            tenth = mpf(0.1)
            m[c] = (1 - tenth) * m[c] + tenth * mean.value
            s[c] = (1 - tenth) * s[c] + tenth * variance.value * N / (N - 1)
        else:
            mean, variance = Var(running["bn.running_mean"][c]), Var(running["bn.running_var"][c])
        scale = (variance + EPS).root().inverse()
        for r in h:
            r[c] = (r[c] - mean) * scale * w["bn.weight"][c] + w["bn.bias"][c]
    out = []
    for r, i in zip(h, ids):
        r = [x.apply(tanh(x.value), 1 - tanh(x.value) ** 2) + e for x, e in zip(r, w["emb.weight"][i])]
        mean = total(r) * (mpf(1) / 6)
        r = [x - mean for x in r]
        scale = (total(x * x for x in r) * (mpf(1) / 6) + EPS).root().inverse()
        out.append(linear([gelu(x * scale * g + s) for x, g, s in zip(r, w["ln.weight"], w["ln.bias"])], "head"))
    return out


def loss_of(scores):
    nll = []
    for row, l in zip(scores, label):
        z = total(x.apply(exp(x.value), exp(x.value)) for x in row)
        nll.append(z.apply(log(z.value), 1 / z.value) - row[l])
    squares = [x * x for row in w["fc.weight"] for x in row]
    return total(nll) * (mpf(1) / N) + total(squares) * (mpf(0.01) / len(squares))


def leaves(t):
    return [x for part in t for x in leaves(part)] if isinstance(t, list) else [t]


params = [x for t in w.values() for x in leaves(t)]
m, v = [mpf(0)] * len(params), [mpf(0)] * len(params)
b1, b2, eps, peak = map(mpf, (0.9, 0.999, 1e-8, 0.05))
losses = []
for t in range(1, STEPS + 1):
    for p in params:
        p.grad = mpf(0)
    loss = loss_of(forward(True))
    losses.append(float(loss.value))
    backward(loss)
    norm = sqrt(sum(p.grad**2 for p in params))
    clip = min(mpf(1), mpf(0.5) / (norm + mpf(1e-6)))
    lr = peak / 2 * (1 + cos(pi * mpf(t) / STEPS))
    for k, p in enumerate(params):
        g = p.grad * clip
        m[k] = b1 * m[k] + (1 - b1) * g
        v[k] = b2 * v[k] + (1 - b2) * g * g
        p.value -= lr * (m[k] / (1 - b1**t)) / (sqrt(v[k] / (1 - b2**t)) + eps)
scores = forward(False)
size = sum(x.value**2 for row in scores for x in row) / (3 * N)
number = lambda t: [number(x) for x in t] if isinstance(t, list) else float(getattr(t, "value", t))
after = {k: number(t) for k, t in {**w, **running}.items()}
out = {"losses": losses, "eval": {"loss": float(loss_of(scores).value), "size": float(size), "root": float(sqrt(size))}, "after": after}
(here / "wide.json").write_text(json.dumps(out, indent=1) + "\n")
print(losses[0], losses[-1], out["eval"])
