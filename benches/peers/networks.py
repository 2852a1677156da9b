"""ResNet-18, ResNet-50 (v1.5) and VGG-16 in plain torch, under torchvision's names, untrained."""
import torch
import torch.nn.functional as F
from torch import nn

CLASSES, SEED = 1000, 7
WIDTHS = (64, 128, 256, 512)
VGG_DEPTHS, VGG_WIDTHS, VGG_HIDDEN = (2, 2, 3, 3, 3), (64, 128, 256, 512, 512), 4096
# Share that a residual path adds at first: at 1 each of 16 blocks would double the variance.
PATH_SHARE = 0.5


def build(name):
    """The network for pictures [rows, 3, 224, 224], always with the same weights."""
    makers = {"resnet18": lambda: ResNet(Basic, (2, 2, 2, 2)),
              "resnet50": lambda: ResNet(Bottleneck, (3, 4, 6, 3)),
              "vgg16": Vgg}
    with torch.device("meta"):
        network = makers[name]()
    network = network.to_empty(device="cpu").eval().requires_grad_(False)
    fill(network, torch.Generator().manual_seed(SEED))
    return network


def conv(inputs, outputs, kernel, stride=1):
    """Without a bias: a norm follows."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


# ---------------------------------------------------------------- networks

class Basic(nn.Module):
    """Two 3x3 convolutions."""
    EXPANSION = 1

    def __init__(self, inputs, inner, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, inner, 3, stride), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = conv(inner, inner, 3), nn.BatchNorm2d(inner)
        self.downsample = shortcut(inputs, inner, stride)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1; the stride is in the 3x3, which makes it v1.5."""
    EXPANSION = 4

    def __init__(self, inputs, inner, stride):
        super().__init__()
        outputs = inner * self.EXPANSION
        self.conv1, self.bn1 = conv(inputs, inner, 1), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = conv(inner, inner, 3, stride), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = conv(inner, outputs, 1), nn.BatchNorm2d(outputs)
        self.downsample = shortcut(inputs, outputs, stride)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def shortcut(inputs, outputs, stride):
    """Trained where the size changes."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """He et al., arXiv 1512.03385."""

    def __init__(self, block, depths):
        super().__init__()
        self.conv1, self.bn1, inputs = conv(3, 64, 7, 2), nn.BatchNorm2d(64), 64
        for number, (depth, inner) in enumerate(zip(depths, WIDTHS), 1):
            blocks = []
            for place in range(depth):
                blocks.append(block(inputs, inner, 2 if number > 1 and place == 0 else 1))
                inputs = inner * block.EXPANSION
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Vgg(nn.Module):
    """Simonyan and Zisserman, arXiv 1409.1556. At 224x224 the map is 7x7 without a last mean."""

    def __init__(self):
        super().__init__()
        layers, inputs = [], 3
        for depth, outputs in zip(VGG_DEPTHS, VGG_WIDTHS):
            for _ in range(depth):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
                inputs = outputs
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(inputs * 49, VGG_HIDDEN), nn.ReLU(), nn.Dropout(),
            nn.Linear(VGG_HIDDEN, VGG_HIDDEN), nn.ReLU(), nn.Dropout(),
            nn.Linear(VGG_HIDDEN, CLASSES))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


# ---------------------------------------------------------------- weights

def fill(network, generator):
    """He's initialisation, and norms as if something had been learnt."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.weight.normal_(0, (2 / module.weight[0].numel()) ** 0.5, generator=generator)
            if module.bias is not None:
                module.bias.normal_(0, 0.1, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            fill_norm(module, generator)
    for module in network.modules():
        if isinstance(module, (Basic, Bottleneck)):
            last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
            last.weight.mul_(PATH_SHARE)


def fill_norm(norm, generator):
    """Around the identity."""
    norm.weight.uniform_(0.8, 1.2, generator=generator)
    norm.bias.normal_(0, 0.1, generator=generator)
    norm.running_mean.normal_(0, 0.1, generator=generator)
    norm.running_var.uniform_(0.7, 1.3, generator=generator)
    norm.num_batches_tracked.zero_()


@torch.no_grad()
def centre(network, pixels):
    """Takes the mean logits of some pictures off the head's bias.

    Pictures share most of what an untrained network makes of them: the rest would hardly count.
    """
    head = network.fc if isinstance(network, ResNet) else network.classifier[-1]
    head.bias -= network(torch.from_numpy(pixels)).mean(0)
