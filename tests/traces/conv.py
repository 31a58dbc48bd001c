"""Makes tests/traces/conv.nn: `test` items that compare each layer of std/conv.nn with PyTorch in f64, values and
derivatives, first and second.

Run with PyTorch installed: python3 conv.py. Sizes are odd; strides, dilations, paddings and groups vary.
"""
import pathlib
import torch
from torch import nn
import torch.nn.functional as F

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
here = pathlib.Path(__file__).parent
out = ["# Layers of std against PyTorch, written by conv.py: what they give and its derivatives, first and second, in f64.", ""]


def tensor(name, t):
    """The tensor in lines of its own: flat, so that lines can break between numbers."""
    flat = [f"{x:.12g}" for x in t.flatten().tolist()]
    flat = [x if any(c in x for c in ".e") else x + ".0" for x in flat]
    lines, line = [], ""
    for x in flat:
        if len(line) + len(x) > 110:
            lines, line = lines + [line.rstrip()], ""
        line += x + ", "
    lines.append(line.rstrip(", "))
    body = "\n    ".join(lines)
    shape = ", ".join(map(str, t.shape))
    return f"  let {name}_flat: f64[{t.numel()}] = [\n    {body}\n  ]\n  let {name} = reshape({name}_flat, [{shape}])"


def case(title, code, f, inputs, layer=None):
    """`code` of the named inputs is what `f` gives; so are the derivatives of the sum of its squares by each. `layer` is
    what `code` calls `f`."""
    inputs = {k: v.clone().requires_grad_() for k, v in inputs.items()}
    y = f(**inputs)
    (y**2).sum().backward()
    out.append(f'test "{title}" {{')
    if layer:
        out.append(f"  let f = {layer}")
    out.extend(tensor(k, v.detach()) for k, v in inputs.items())
    out.append(f"  let y = {code}")
    out.append(tensor("want", y.detach()))
    out.append("  assert close(y, want, 1e-9)")
    for k, v in inputs.items():
        out.append(tensor(f"d{k}", v.grad))
        out.append(f"  assert close(grad(sum(y**2), {k}), d{k}, 1e-8)")
    out.append("}\n")


def second(title, code, f, inputs, layer=None):
    """Derivatives of derivatives: with g the derivative of the sum of cubes by the first input, those of the sum of g^2."""
    inputs = {k: v.clone().requires_grad_() for k, v in inputs.items()}
    first = next(iter(inputs))
    (g,) = torch.autograd.grad((f(**inputs) ** 3).sum(), inputs[first], create_graph=True)
    (g**2).sum().backward()
    out.append(f'test "{title}, second derivatives" {{')
    if layer:
        out.append(f"  let f = {layer}")
    out.extend(tensor(k, v.detach()) for k, v in inputs.items())
    out.append(f"  let s = sum(grad(sum({code}**3), {first})**2)")
    for k, v in inputs.items():
        out.append(tensor(f"d{k}", v.grad))
        out.append(f"  assert close(grad(s, {k}) / max(abs(d{k})), d{k} / max(abs(d{k})), 1e-9)")
    out.append("}\n")


def args(**given):
    return "".join(f", {k}: {v}" for k, v in given.items())


r = torch.randn

# Convolutions: n, batch, in, out, sizes, kernel, arguments by PyTorch's names and by ours.
for n, b, i, o, sizes, k, theirs, ours in [
    (1, 2, 3, 4, (7,), (3,), dict(stride=2, padding=1), dict(stride=2, pad=1)),
    (1, 1, 4, 6, (9,), (2,), dict(dilation=3, groups=2), dict(dilation=3, groups=2)),
    (2, 2, 2, 3, (5, 4), (3, 3), dict(padding=1), dict(pad=1)),
    (2, 1, 2, 3, (7, 6), (3, 2), dict(stride=(2, 3), padding=(1, 0)), dict(stride=2, stride_w=3, pad=1, pad_w=0)),
    (2, 1, 4, 4, (5, 7), (3, 3), dict(padding=2, dilation=2, groups=4), dict(pad=2, dilation=2, groups=4)),
    (2, 1, 4, 6, (6, 5), (2, 3), dict(stride=2, padding=1, groups=2), dict(stride=2, pad=1, groups=2)),
    (2, 1, 2, 2, (5, 6), (2, 2), dict(dilation=(2, 3)), dict(dilation=2, dilation_w=3)),
    (2, 2, 3, 2, (3, 3), (1, 1), dict(stride=2), dict(stride=2)),
    (3, 1, 2, 2, (3, 4, 3), (2, 3, 2), dict(padding=1, stride=2), dict(pad=1, stride=2)),
    (3, 1, 4, 4, (3, 3, 3), (2, 2, 2), dict(groups=2, padding=(0, 1, 0)), dict(groups=2, pad=0, pad_h=1, pad_w=0)),
    (3, 1, 2, 4, (3, 3, 4), (2, 2, 2), dict(groups=2, dilation=2), dict(groups=2, dilation=2)),
]:
    w = r(o, i // theirs.get("groups", 1), *k)
    f = getattr(F, f"conv{n}d")
    name = f"conv{n}d {b}x{i}x{'x'.join(map(str, sizes))}{args(**ours)}".replace(",", "")
    given = dict(x=r(b, i, *sizes), w=w)
    case(name, f"conv{n}d(x, w{args(**ours)})", lambda x, w: f(x, w, **theirs), given)
    second(name, f"conv{n}d(x, w{args(**ours)})", lambda x, w: f(x, w, **theirs), given)

for n, b, i, o, sizes, k, theirs, ours in [
    (1, 2, 3, 4, (5,), (4,), dict(stride=2, padding=1), dict(stride=2, pad=1)),
    (2, 1, 2, 3, (3, 4), (3, 3), dict(stride=2, padding=1, output_padding=1), dict(stride=2, pad=1, out_pad=1)),
    (2, 1, 4, 6, (3, 2), (2, 3), dict(stride=3, groups=2), dict(stride=3, groups=2)),
    (2, 1, 2, 2, (4, 3), (3, 2), dict(dilation=2, padding=(3, 0)), dict(dilation=2, pad=3, pad_w=0)),
    (2, 1, 2, 2, (5, 5), (1, 2), dict(padding=1), dict(pad=1)),
    (3, 1, 2, 2, (2, 3, 2), (2, 2, 3), dict(stride=2, padding=1), dict(stride=2, pad=1)),
]:
    w = r(i, o // theirs.get("groups", 1), *k)
    f = getattr(F, f"conv_transpose{n}d")
    name = f"conv_transpose{n}d {b}x{i}x{'x'.join(map(str, sizes))}{args(**ours)}".replace(",", "")
    given = dict(x=r(b, i, *sizes), w=w)
    case(name, f"conv_transpose{n}d(x, w{args(**ours)})", lambda x, w: f(x, w, **theirs), given)
    second(name, f"conv_transpose{n}d(x, w{args(**ours)})", lambda x, w: f(x, w, **theirs), given)

# Layers without parameters, and norms, whose parameters begin as 1 and 0.
for title, decl, layer, shape in [
    ("MaxPool 1", "MaxPool(3, stride: 2, pad: 1)", nn.MaxPool1d(3, 2, 1), (2, 2, 7)),
    ("MaxPool 2", "MaxPool(2)", nn.MaxPool2d(2), (1, 2, 5, 4)),
    ("MaxPool 2 padded", "MaxPool(3, stride: 2, pad: 1)", nn.MaxPool2d(3, 2, 1), (1, 2, 6, 5)),
    ("MaxPool 2 dilated", "MaxPool(2, stride: 1, dilation: 2, kw: 3)", nn.MaxPool2d((2, 3), 1, 0, 2), (1, 1, 5, 6)),
    ("MaxPool 3", "MaxPool(2, stride: 1, pad: 1)", nn.MaxPool3d(2, 1, 1), (1, 1, 2, 3, 3)),
    ("AvgPool 1", "AvgPool(3, stride: 2, pad: 1)", nn.AvgPool1d(3, 2, 1), (2, 2, 7)),
    ("AvgPool 2", "AvgPool(3, stride: 2, pad: 1)", nn.AvgPool2d(3, 2, 1), (1, 2, 6, 5)),
    ("AvgPool 2 wide", "AvgPool(2, kw: 3, stride: 1)", nn.AvgPool2d((2, 3), 1), (1, 2, 4, 5)),
    ("AvgPool 3", "AvgPool(2)", nn.AvgPool3d(2), (1, 2, 4, 5, 2)),
    ("Upsample nearest", "Upsample(3)", nn.Upsample(scale_factor=3), (1, 2, 2, 3)),
    ("Upsample linear", "Upsample(3, mode: \"bilinear\")", nn.Upsample(scale_factor=3, mode="linear"), (1, 2, 4)),
    ("Upsample bilinear", "Upsample(2, mode: \"bilinear\")", nn.Upsample(scale_factor=2, mode="bilinear"), (1, 2, 3, 4)),
    ("GroupNorm", "GroupNorm[6](3)", nn.GroupNorm(3, 6), (2, 6, 3, 2)),
    ("GroupNorm of vectors", "GroupNorm[6](2, eps: 0.1)", nn.GroupNorm(2, 6, eps=0.1), (2, 6)),
    ("InstanceNorm", "InstanceNorm[3]", nn.InstanceNorm2d(3), (2, 3, 3, 2)),
]:
    x = r(*shape)
    case(title, "f(x)", lambda x: layer(x), dict(x=x), decl)
    second(title, "f(x)", lambda x: layer(x), dict(x=x), decl)

average = lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1)
case("GlobalAvgPool", "f(x)", average, dict(x=r(2, 3, 3, 2)), "GlobalAvgPool")
columns = lambda x: F.unfold(x, (2, 3), padding=1, stride=2)
case("unfold", "unfold(x, 2, stride: 2, pad: 1, kw: 3)", columns, dict(x=r(1, 2, 4, 5)))
images = lambda x: F.fold(x, (4, 5), (2, 3), padding=1, stride=2)
case("fold", "fold[4, 5](x, 2, stride: 2, pad: 1, kw: 3)", images, dict(x=r(1, 12, 9)))

(here / "conv.nn").write_text("\n".join(out))
print(len(out), "lines")
