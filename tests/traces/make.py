"""Makes the stored PyTorch numbers that tests/traces.rs compares against: initial weights, data and ten losses each.

Run with PyTorch, numpy and safetensors installed: python3 make.py. The .nn files beside it describe the same models.
Every epoch is one step on the full batch, so the order of examples does not matter.
"""
import json, pathlib
import numpy as np, torch
from torch import nn
import torch.nn.functional as F
from safetensors.numpy import save_file

here = pathlib.Path(__file__).parent


class Rbf(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(20, 8)
        self.fc1, self.fc2 = nn.Linear(32, 16), nn.Linear(16, 1)

    def forward(self, x):
        return self.fc2(F.silu(self.fc1(self.table(x).flatten(1))))


def trace(name, model, data, loss, opt, clip=None):
    save_file({k: v.detach().numpy().copy() for k, v in model.state_dict().items()}, here / f"{name}.safetensors")
    np.savez(here / f"{name}.npz", **{k: v.numpy() for k, v in data.items()})
    losses = []
    for _ in range(10):
        opt.zero_grad()
        l = loss(model, data)
        l.backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        opt.step()
        losses.append(l.item())
    (here / f"{name}.json").write_text(json.dumps(losses, indent=1) + "\n")
    print(name, losses[0], losses[-1])


def afterwards(name, model, data):
    """The state after the steps, statistics included, and the loss in evaluation mode."""
    save_file({k: v.detach().numpy().copy() for k, v in model.state_dict().items()}, here / f"{name}.after.safetensors")
    model.eval()
    (here / f"{name}.eval.json").write_text(json.dumps(F.cross_entropy(model(data["x"]), data["y"].long()).item()) + "\n")


torch.manual_seed(0)
m = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
d = dict(x=torch.randn(48, 64), y=torch.randint(0, 10, (48,), dtype=torch.int32))
trace("mlp", m, d, lambda m, d: F.cross_entropy(m(d["x"]), d["y"].long()), torch.optim.Adam(m.parameters(), lr=1e-2))

torch.manual_seed(1)
m = nn.Sequential(nn.LayerNorm(30), nn.Linear(30, 24), nn.GELU(), nn.Linear(24, 5))
d = dict(x=torch.randn(40, 30) * 3 + 1, y=torch.randint(0, 5, (40,), dtype=torch.int32))
decay = [p for p in m.parameters() if p.ndim >= 2]
rest = [p for p in m.parameters() if p.ndim < 2]
opt = torch.optim.AdamW([dict(params=decay, weight_decay=0.1), dict(params=rest, weight_decay=0.0)], lr=1e-2)
trace("norm", m, d, lambda m, d: F.cross_entropy(m(d["x"]), d["y"].long(), label_smoothing=0.1), opt, clip=0.5)

torch.manual_seed(2)
m = Rbf()
d = dict(x=torch.randint(0, 20, (50, 4), dtype=torch.int32), y=torch.randn(50, 1) * 2)
opt = torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3)
trace("embed", m, d, lambda m, d: F.huber_loss(m(d["x"]), d["y"]), opt)

# Batch norm over vectors and over images: the statistics are part of the state dict, before and after the ten steps.
# Not Adam: the gradient of a bias before batch norm is rounding noise around 0, which Adam scales up to whole steps.
torch.manual_seed(3)
m = nn.Sequential(
    nn.Linear(6, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Unflatten(1, (2, 3, 4)), nn.BatchNorm2d(2, momentum=0.2), nn.Flatten(),
    nn.Linear(24, 4),
)
d = dict(x=torch.randn(36, 6) * 2 - 1, y=torch.randint(0, 4, (36,), dtype=torch.int32))
trace("batch_norm", m, d, lambda m, d: F.cross_entropy(m(d["x"]), d["y"].long()), torch.optim.SGD(m.parameters(), lr=0.1))
afterwards("batch_norm", m, d)

# A convolutional network with one of each: plain, depthwise, grouped and strided, dilated, transposed; all norms and pools.
torch.manual_seed(4)
m = nn.Sequential(
    nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(8, 16, 3, padding=1, groups=8), nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=4), nn.SiLU(),
    nn.Conv2d(16, 8, 2, dilation=2, padding=1), nn.InstanceNorm2d(8, affine=True, track_running_stats=True), nn.SiLU(),
    nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1), nn.GroupNorm(3, 6), nn.ReLU(), nn.AvgPool2d(2),
    nn.Conv2d(6, 9, (1, 3), padding=(0, 1)), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(9, 5),
)
x = torch.randn(24, 2, 15, 13) * 2 + torch.randn(24, 1, 1, 1)
d = dict(x=x, y=(x.mean((1, 2, 3)).argsort().argsort() * 5 // 24).int())
sgd = torch.optim.SGD(m.parameters(), lr=1.0, momentum=0.9)
trace("cnn", m, d, lambda m, d: F.cross_entropy(m(d["x"]), d["y"].long()), sgd)
afterwards("cnn", m, d)

# Volumes and signals: grouped, transposed and strided convolutions of three axes and of one, pools, and a longer signal.
torch.manual_seed(5)
m = nn.Sequential(
    nn.Conv3d(2, 4, 3, padding=1), nn.SiLU(), nn.MaxPool3d(2), nn.Conv3d(4, 4, 2, padding=1, groups=4), nn.BatchNorm3d(4),
    nn.ConvTranspose3d(4, 4, 2, stride=2), nn.SiLU(), nn.Conv3d(4, 6, (1, 3, 3), stride=(1, 2, 2), groups=2), nn.AvgPool3d(2),
    nn.Flatten(2), nn.Conv1d(6, 6, 5, stride=2, padding=2, groups=3), nn.SiLU(), nn.Upsample(scale_factor=3, mode="linear"),
    nn.ConvTranspose1d(6, 4, 3, stride=2, padding=1), nn.MaxPool1d(3, 2, 1), nn.Upsample(scale_factor=2), nn.GroupNorm(2, 4),
    nn.SiLU(), nn.Flatten(), nn.LazyLinear(5),
)
x = torch.randn(12, 2, 5, 6, 7) * 2
d = dict(x=x, y=(x[:, 0].mean((1, 2, 3)).argsort().argsort() * 5 // 12).int())
m(d["x"])
m[4].reset_running_stats()
trace("signals", m, d, lambda m, d: F.cross_entropy(m(d["x"]), d["y"].long()), torch.optim.SGD(m.parameters(), lr=0.1))
afterwards("signals", m, d)


class Recurrent(nn.Module):
    """An RNN, a GRU and an LSTM one after another, over sequences; the last cell counts too."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 6)
        self.rnn = nn.RNN(6, 5, batch_first=True)
        self.gru = nn.GRU(5, 7, batch_first=True)
        self.lstm = nn.LSTM(7, 8, batch_first=True)
        self.head = nn.Linear(8, 11)

    def forward(self, x):
        h, _ = self.rnn(self.table(x))
        h, _ = self.gru(h)
        h, (_, c) = self.lstm(h)
        return self.head(h), c[0]


def recurrent_loss(m, d):
    z, c = m(d["x"])
    return F.cross_entropy(z.flatten(0, 1), d["y"].long().flatten()) + 0.1 * (c ** 2).mean()


torch.manual_seed(6)
m = Recurrent()
d = dict(x=torch.randint(0, 11, (9, 13), dtype=torch.int32), y=torch.randint(0, 11, (9, 13), dtype=torch.int32))
trace("recurrent", m, d, recurrent_loss, torch.optim.Adam(m.parameters(), lr=1e-2))
