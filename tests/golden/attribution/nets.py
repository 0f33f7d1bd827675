"""Five small nets with what attribution methods trip over, one quirk each."""
import torch
import torch.nn.functional as F
from torch import nn
from zennit.layer import Sum

CLASSES = 6


class Join(nn.Module):
    """a + b; as Zennit's Sum while `as_sum` is set, so that Zennit sees it (the export keeps the plain sum)."""
    as_sum = False

    def __init__(self):
        super().__init__()
        self.sum = Sum()

    def forward(self, a, b):
        return self.sum(torch.stack([a, b], -1)) if Join.as_sum else a + b


def conv(i, o, k=3, **options):
    return nn.Conv2d(i, o, k, padding=k // 2, **options)


class Plain(nn.Sequential):
    """Overlapping max pool, average pool, two fully connected layers."""

    def __init__(self):
        super().__init__(conv(3, 8), nn.ReLU(), nn.MaxPool2d(3, 2), conv(8, 12), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
                         nn.Linear(12 * 3 * 3, 16), nn.ReLU(), nn.Linear(16, CLASSES))


class Block(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1, self.relu1 = conv(i, o, stride=stride, bias=False), nn.BatchNorm2d(o), nn.ReLU()
        self.conv2, self.bn2 = conv(o, o, bias=False), nn.BatchNorm2d(o)
        self.down = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o)) if stride > 1 else nn.Sequential()
        self.join, self.relu2 = Join(), nn.ReLU()

    def forward(self, x):
        return self.relu2(self.join(self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x))))), self.down(x)))


class Residual(nn.Sequential):
    """BatchNorms kept as nodes; an identity and a projected shortcut."""

    def __init__(self):
        super().__init__(conv(3, 8, bias=False), nn.BatchNorm2d(8), nn.ReLU(), Block(8, 8, 1), Block(8, 12, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, CLASSES))


class Fire(nn.Module):
    def __init__(self, i, s, e):
        super().__init__()
        self.squeeze, self.relu0 = conv(i, s, 1), nn.ReLU()
        self.one, self.relu1, self.three, self.relu3 = conv(s, e, 1), nn.ReLU(), conv(s, e), nn.ReLU()

    def forward(self, x):
        x = self.relu0(self.squeeze(x))
        return torch.cat([self.relu1(self.one(x)), self.relu3(self.three(x))], 1)


class Concat(nn.Sequential):
    """Branches that fork and concatenate; a convolution for a classifier, with a ReLU and a global pool after it."""

    def __init__(self):
        super().__init__(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), Fire(8, 6, 8), Fire(16, 6, 8), nn.Conv2d(16, CLASSES, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Depthwise(nn.Module):
    """An inverted residual: expansion, depthwise and linear projection, with ReLU6 and folded BatchNorms."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(conv(3, 8, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.block = nn.Sequential(conv(8, 24, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU6(), conv(24, 24, groups=24, bias=False), nn.BatchNorm2d(24), nn.ReLU6(),
                                   conv(24, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.join = Join()
        self.tail = nn.Sequential(conv(8, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES))

    def forward(self, x):
        x = self.stem(x)
        return self.tail(self.join(self.block(x), x))


class Reused(nn.Module):
    """One in-place ReLU module used three times, in-place functions, and one convolution used twice."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.relu = conv(3, 8), conv(8, 8), nn.ReLU(inplace=True)
        self.hidden, self.fc = nn.Linear(8 * 3 * 4, 16), nn.Linear(16, CLASSES)

    def forward(self, x):
        x = self.relu(self.a(x))
        x = F.relu_(self.b(x))
        x = F.max_pool2d(x, 2)
        y = self.relu(self.b(x))
        y = F.relu(y + x, inplace=True)
        return self.fc(self.relu(self.hidden(torch.flatten(F.avg_pool2d(y, 2), 1))))


class Unrolled(nn.Module):
    """Reused with a module of its own for every step: what Reused means."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.again = conv(3, 8), conv(8, 8), conv(8, 8)
        self.hidden, self.fc = nn.Linear(8 * 3 * 4, 16), nn.Linear(16, CLASSES)
        self.relus, self.join = nn.ModuleList(nn.ReLU() for _ in range(5)), Join()
        self.max, self.avg = nn.MaxPool2d(2), nn.AvgPool2d(2)

    def forward(self, x):
        r = self.relus
        x = self.max(r[1](self.b(r[0](self.a(x)))))
        y = r[3](self.join(r[2](self.again(x)), x))
        return self.fc(r[4](self.hidden(torch.flatten(self.avg(y), 1))))


# name: (module the references come from, module that is exported, keep BatchNorm nodes, last convolution, its node's name)
NETS = {
    'plain': (Plain, Plain, False, lambda n: n[3], '/3/Conv'),
    'residual': (Residual, Residual, True, lambda n: n[4].conv2, '/4/conv2/Conv'),
    'concat': (Concat, Concat, False, lambda n: n[5], '/5/Conv'),
    'depthwise': (Depthwise, Depthwise, False, lambda n: n.tail[0], '/tail/tail.0/Conv'),
    'reused': (Unrolled, Reused, False, lambda n: n.again, '/b_1/Conv'),
}
