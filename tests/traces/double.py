"""Makes the stored numbers that tests/double.rs compares an f64 model against: data and ten losses, in 50 digits.

Run with mpmath installed: python3 double.py. double.nn beside it describes the same model: tanh, a sum over products, mean
squared error, gradients written out by hand, PyTorch's Adam. Every epoch is one step on the full batch.
"""
import json, pathlib, random
from mpmath import mp, mpf, tanh, sqrt

mp.dps = 50
here = pathlib.Path(__file__).parent
random.seed(7)
N, I, H = 24, 3, 4
x = [[random.uniform(-2, 2) for _ in range(I)] for _ in range(N)]
y = [random.uniform(-1, 1) for _ in range(N)]
(here / "double.csv").write_text("".join(",".join(repr(v) for v in [*row, t]) + "\n" for row, t in zip(x, y)))
w = [[0.3, -0.2, 0.7, 0.1], [-0.5, 0.4, 0.25, -0.9], [0.6, 0.15, -0.35, 0.8]]
b = [0.05, -0.1, 0.2, 0.0]
v = [0.9, -0.7, 0.45, 0.33]
real = lambda t: [real(a) for a in t] if isinstance(t, list) else mpf(t)
x, y, w, b, v = map(real, (x, y, w, b, v))
params = [a for row in w for a in row] + b + v
m = [mpf(0)] * len(params)
s = [mpf(0)] * len(params)
lr, b1, b2, eps = map(mpf, (0.05, 0.9, 0.999, 1e-8))
losses = []
for t in range(1, 11):
    w = [params[H * i : H * i + H] for i in range(I)]
    b, v = params[I * H : I * H + H], params[I * H + H :]
    g = [mpf(0)] * len(params)
    loss = mpf(0)
    for row, want in zip(x, y):
        h = [tanh(sum(row[i] * w[i][j] for i in range(I)) + b[j]) for j in range(H)]
        d = sum(h[j] * v[j] for j in range(H)) - want
        loss += d * d / N
        for j in range(H):
            dh = 2 * d / N * v[j] * (1 - h[j] ** 2)
            g[I * H + H + j] += 2 * d / N * h[j]
            g[I * H + j] += dh
            for i in range(I):
                g[H * i + j] += dh * row[i]
    losses.append(float(loss))
    for k in range(len(params)):
        m[k] = b1 * m[k] + (1 - b1) * g[k]
        s[k] = b2 * s[k] + (1 - b2) * g[k] ** 2
        params[k] -= lr * (m[k] / (1 - b1**t)) / (sqrt(s[k] / (1 - b2**t)) + eps)
(here / "double.json").write_text(json.dumps(losses, indent=1) + "\n")
print(losses[0], losses[-1])
