"""Makes the shipped image classifier `fashion-mnist`, from Debian package to model folder.

Stages (each leaves files in --work and is skipped when they are there already):
  data     the Debian package dataset-fashion-mnist, downloaded and unpacked
  train    a ResNet-20 (He et al., arXiv 1512.03385, option-A shortcuts) on 28x28 grey images,
           trained together with a linear classifier on the mean of every block's output
  export   weights, configuration and the first test images into --out; images for the ramps
           into --work

The classifiers of the blocks only shape the backbone: they are not exported. The ramps that ship
learn afterwards, from the frozen model's own answers, by `offramp train-ramps`; the README of the
model gives the command. The last 5,000 training images are kept from the model: on them thresholds
are fitted. The test images judge, and do nothing else.
"""
import argparse
import gzip
import json
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

LABELS = ["t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker",
          "bag", "ankle boot"]
MEAN, STD = 0.2860, 0.3530
TRAIN_IMAGES, BATCH = 55_000, 128
RAMP_IMAGES, SHIPPED_IMAGES = 20_000, 3_000
SHIFT_MAX = 2


# ---------------------------------------------------------------- data

def fetch(work):
    """Unpack the package once; give the folder of its four files."""
    root = work / "package"
    if not root.exists():
        subprocess.run(["apt-get", "download", "dataset-fashion-mnist"], cwd=work, check=True)
        package = next(work.glob("dataset-fashion-mnist_*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
    return root / "usr/share/datasets/fashion-mnist"


def load(folder, name):
    """Images as u8 [n, 1, 28, 28] and labels as i64 [n]."""
    images = gzip.open(folder / f"{name}-images-idx3-ubyte.gz").read()[16:]
    labels = gzip.open(folder / f"{name}-labels-idx1-ubyte.gz").read()[8:]
    images = np.frombuffer(images, np.uint8).reshape(-1, 1, 28, 28)
    return torch.tensor(images), torch.tensor(np.frombuffer(labels, np.uint8)).long()


def normalised(images):
    return (images.float() / 255 - MEAN) / STD


def augmented(images):
    """Mirrored by a coin, shifted by up to SHIFT_MAX, each image its own way."""
    count, side = len(images), images.shape[2]
    images = torch.where(torch.rand(count, 1, 1, 1) < 0.5, images.flip(3), images)
    padded = F.pad(images, (SHIFT_MAX,) * 4)[:, 0]
    top, left = torch.randint(0, 2 * SHIFT_MAX + 1, (2, count, 1))
    rows, columns = top + torch.arange(side), left + torch.arange(side)
    index = torch.arange(count)[:, None, None]
    return padded[index, rows[:, :, None], columns[:, None, :]][:, None]


# ---------------------------------------------------------------- model

class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut that drops pixels and adds empty channels."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.added, self.stride = outputs - inputs, stride

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.added:
            half = self.added // 2
            x = F.pad(x[:, :, ::self.stride, ::self.stride], (0, 0, 0, 0, half, half))
        return F.relu(y + x)


class ResNet20(nn.Module):
    """The model, and one linear classifier on the mean of every block but the last."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = [16, 32, 64]
        for index, (inputs, outputs) in enumerate(zip([16] + widths, widths), start=1):
            stride = 1 if index == 1 else 2
            blocks = [Block(inputs, outputs, stride)] + [Block(outputs, outputs, 1) for _ in "12"]
            setattr(self, f"layer{index}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)
        self.ramps = nn.ModuleList(nn.Linear(w, 10) for w in widths for _ in range(3))[:-1]

    def blocks(self):
        return [*self.layer1, *self.layer2, *self.layer3]

    def forward(self, x):
        """Logits of every ramp, the final ones last."""
        x, out = F.relu(self.bn1(self.conv1(x))), []
        for block, head in zip(self.blocks(), [*self.ramps, self.linear]):
            x = block(x)
            out.append(head(x.mean((2, 3))))
        return out


def loss(outputs, labels, ramp_weight):
    """The labels' loss of all exits; ramps also imitate the final exit."""
    final = outputs[-1]
    target = final.detach().softmax(1)
    own = F.cross_entropy(final, labels, label_smoothing=0.05)
    ramps = [F.cross_entropy(ramp, labels) + F.cross_entropy(ramp, target) for ramp in outputs[:-1]]
    return own + ramp_weight * sum(ramps) / len(ramps)


# ---------------------------------------------------------------- stages

def train(work, images, labels, test, epochs, ramp_weight):
    """Train and leave checkpoint.pt behind; prints the accuracy of every exit."""
    net = ResNet20().to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=5e-4,
                                nesterov=True)
    steps = TRAIN_IMAGES // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.2, total_steps=epochs * steps,
                                                   pct_start=0.2)
    for epoch in range(epochs):
        net.train()
        started, order = time.time(), torch.randperm(TRAIN_IMAGES)
        for step in range(steps):
            chosen = order[step * BATCH:(step + 1) * BATCH]
            x = augmented(normalised(images[chosen])).to(memory_format=torch.channels_last)
            optimiser.zero_grad()
            value = loss(net(x), labels[chosen], ramp_weight)
            value.backward()
            optimiser.step()
            schedule.step()
        shown = " ".join(f"{a:.2%}" for a in accuracy(net, *test))
        print(f"epoch {epoch}: loss {value.item():.3f}, {time.time() - started:.0f} s, {shown}",
              flush=True)
        torch.save(net.state_dict(), work / "running.pt")
    (work / "running.pt").rename(work / "checkpoint.pt")


def accuracy(net, images, labels):
    """By exit, the share of right labels."""
    net.eval()
    right = 0
    with torch.no_grad():
        for part, expected in zip(images.split(500), labels.split(500)):
            outputs = torch.stack(net(normalised(part).to(memory_format=torch.channels_last)))
            right = right + (outputs.argmax(2) == expected).sum(1)
    return (right / len(labels)).tolist()


def write_idx(folder, name, images, labels):
    """A pair of IDX files, packed so that the same images give the same bytes."""
    count, _, height, width = images.shape
    sizes = np.array([count, height, width], ">u4").tobytes()
    parts = {"images-idx3": bytes([0, 0, 8, 3]) + sizes + images.numpy().tobytes(),
             "labels-idx1": bytes([0, 0, 8, 1]) + sizes[:4] + labels.byte().numpy().tobytes()}
    for kind, content in parts.items():
        packed = gzip.compress(content, compresslevel=9, mtime=0)
        (folder / f"{name}-{kind}-ubyte.gz").write_bytes(packed)


def export(work, out, images, labels, test):
    """Weights by their PyTorch names, the configuration, test images, images for the ramps."""
    out.mkdir(parents=True, exist_ok=True)
    state = torch.load(work / "checkpoint.pt", weights_only=True)
    keep = {name: tensor.float().contiguous() for name, tensor in state.items()
            if not name.startswith("ramps.") and not name.endswith("num_batches_tracked")}
    save_file(keep, out / "model.safetensors", {"format": "pt"})
    config = {
        "architecture": "resnet20", "num_classes": len(LABELS), "label_names": LABELS,
        "pretrained_cfg": {"input_size": [1, 28, 28], "mean": [MEAN], "std": [STD],
                           "crop_pct": 1.0, "interpolation": "bilinear"},
    }
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    write_idx(out, "test", test[0][:SHIPPED_IMAGES], test[1][:SHIPPED_IMAGES])
    write_idx(work, "ramps", images[:RAMP_IMAGES], labels[:RAMP_IMAGES])
    write_idx(work, "calibration", images[TRAIN_IMAGES:], labels[TRAIN_IMAGES:])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--ramp-weight", type=float, default=0.5)
    args = parser.parse_args()
    torch.manual_seed(7)
    args.work.mkdir(parents=True, exist_ok=True)
    folder = fetch(args.work)
    (images, labels), test = load(folder, "train"), load(folder, "t10k")
    if not (args.work / "checkpoint.pt").exists():
        train(args.work, images, labels, test, args.epochs, args.ramp_weight)
    export(args.work, args.out, images, labels, test)


if __name__ == "__main__":
    main()
