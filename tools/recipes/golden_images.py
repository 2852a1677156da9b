"""Writes tiny random image networks and their expected outputs, for the engine's tests.

Every network gets a folder <out>/<name> with
  config.json, model.safetensors   (and preprocessor_config.json for some)
  cases.json   {"cases": [{"logits": [...], "sites": [[...], ...]}]}: what one picture gives; sites are
               the means over the map behind each segment, the last one included
  pixels.bin   the pictures of all cases end to end, u8, [height, width, channels] each

Pictures have the size that the network reads, so nothing is resized. Passes run in double precision on
`(pixel / 255 - mean) / std`. Needs torch, timm and transformers.
"""
import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import timm as timm_library
import torch
import torch.nn.functional as F
import transformers as hf
from safetensors.torch import load_file, save_file
from torch import nn

CLASSES = 5


# ---------------------------------------------------------------- networks

def conv(inputs, outputs, kernel, stride=1, bias=False):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias)


class Basic(nn.Module):
    """Two 3x3 convolutions."""

    def __init__(self, inputs, inner, stride, shortcut):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, inner, 3, stride), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = conv(inner, inner, 3), nn.BatchNorm2d(inner)
        self.width, self.stride = inner, stride
        add_shortcut(self, inputs, shortcut)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + around(self, x))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1; the stride is in the 3x3, or in the first with `v1`."""

    def __init__(self, inputs, inner, stride, shortcut, v1=False):
        super().__init__()
        self.width, self.stride = 4 * inner, stride
        self.conv1, self.bn1 = conv(inputs, inner, 1, stride if v1 else 1), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = conv(inner, inner, 3, 1 if v1 else stride), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = conv(inner, self.width, 1), nn.BatchNorm2d(self.width)
        add_shortcut(self, inputs, shortcut)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + around(self, x))


def add_shortcut(block, inputs, name):
    """A trained shortcut called `name`, where the size changes; "copy" has no weights."""
    block.added = block.width - inputs
    block.around = name if block.stride != 1 or block.added else "itself"
    if block.around not in ("itself", "copy"):
        trained = nn.Sequential(conv(inputs, block.width, 1, block.stride), nn.BatchNorm2d(block.width))
        setattr(block, name, trained)


def around(block, x):
    if block.around == "itself":
        return x
    if block.around == "copy":
        half = block.added // 2
        return F.pad(x[:, :, :: block.stride, :: block.stride], (0, 0, 0, 0, half, block.added - half))
    return getattr(block, block.around)(x)


class ResNet(nn.Module):
    """The names of torchvision, or of the CIFAR networks with a stem of 3x3."""

    def __init__(self, block, channels, depths, widths, shortcut="downsample", head="fc", small=False, **extra):
        super().__init__()
        self.small, self.head, inputs = small, head, widths[0]
        self.conv1 = conv(channels, inputs, 3) if small else conv(channels, inputs, 7, 2)
        self.bn1, self.stages = nn.BatchNorm2d(inputs), len(depths)
        for index, (depth, inner) in enumerate(zip(depths, widths)):
            blocks = []
            for place in range(depth):
                blocks.append(block(inputs, inner, 2 if index and not place else 1, shortcut, **extra))
                inputs = blocks[-1].width
            setattr(self, f"layer{index + 1}", nn.Sequential(*blocks))
        setattr(self, head, nn.Linear(inputs, CLASSES))

    def segments(self):
        return [block for index in range(self.stages) for block in getattr(self, f"layer{index + 1}")]

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        if not self.small:
            x = F.max_pool2d(x, 3, 2, 1)
        for block in self.segments():
            x = block(x)
        return getattr(self, self.head)(x.mean((2, 3)))


def features(channels, depths, widths, norm):
    layers, inputs = [], channels
    for depth, outputs in zip(depths, widths):
        for _ in range(depth):
            layers += [conv(inputs, outputs, 3, bias=True)]
            layers += [nn.BatchNorm2d(outputs)] if norm else []
            layers += [nn.ReLU()]
            inputs = outputs
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


class Vgg(nn.Module):
    """torchvision's: any map is brought to 7x7."""

    def __init__(self, channels, depths, widths, hidden, norm):
        super().__init__()
        self.features = features(channels, depths, widths, norm)
        self.classifier = nn.Sequential(
            nn.Linear(widths[-1] * 49, hidden), nn.ReLU(), nn.Dropout(),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, CLASSES))

    def segments(self):
        return [layer for layer in self.features if isinstance(layer, nn.MaxPool2d)]

    def forward(self, x):
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 7).flatten(1))


class TimmVgg(nn.Module):
    """timm's: linear layers as convolutions; only a map below 7x7 is brought to that."""

    def __init__(self, channels, depths, widths, hidden, norm):
        super().__init__()
        self.features = features(channels, depths, widths, norm)
        self.pre_logits, self.head = nn.Module(), nn.Module()
        self.pre_logits.fc1 = nn.Conv2d(widths[-1], hidden, 7)
        self.pre_logits.fc2 = nn.Conv2d(hidden, hidden, 1)
        self.head.fc = nn.Linear(hidden, CLASSES)

    def segments(self):
        return [layer for layer in self.features if isinstance(layer, nn.MaxPool2d)]

    def forward(self, x):
        x = self.features(x)
        if x.shape[2] < 7 or x.shape[3] < 7:
            x = F.adaptive_avg_pool2d(x, (max(7, x.shape[2]), max(7, x.shape[3])))
        x = F.relu(self.pre_logits.fc2(F.relu(self.pre_logits.fc1(x))))
        return self.head.fc(x.mean((2, 3)))


class HuggingFace(nn.Module):
    """transformers' own."""

    def __init__(self, **settings):
        super().__init__()
        labels = {index: f"class {index}" for index in range(CLASSES)}
        label2id = {label: index for index, label in labels.items()}
        self.config = hf.ResNetConfig(id2label=labels, label2id=label2id, **settings)
        self.model = hf.ResNetForImageClassification(self.config)

    def segments(self):
        return [layer for stage in self.model.resnet.encoder.stages for layer in stage.layers]

    def forward(self, x):
        return self.model(pixel_values=x).logits


class Transformer(nn.Module):
    """timm's or transformers' own; sites are means over all tokens behind each layer."""

    def __init__(self, model, layers):
        super().__init__()
        self.model, self.layers = model, layers

    def segments(self):
        return list(self.layers)

    def forward(self, x):
        out = self.model(x)
        return getattr(out, "logits", out)


def timm_vit(architecture, size, patch, **args):
    """A vision transformer by timm, and its configuration as timm saves it."""
    args = {"embed_dim": 32, "depth": 3, "num_heads": 4, "patch_size": patch, **args}
    model = timm_library.create_model(architecture, num_classes=CLASSES, img_size=size[1:], **args)
    config = {"architecture": architecture, "num_classes": CLASSES, "global_pool": "token", "model_args": args,
              "pretrained_cfg": {"input_size": size, "crop_pct": 1.0, "interpolation": "bicubic",
                                 "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}}
    return Transformer(model, model.blocks), config


def hugging_vit(kind, size, **settings):
    """A vision transformer of Hugging Face's, its configuration, and its preprocessor's."""
    labels = {index: f"class {index}" for index in range(CLASSES)}
    label2id = {label: index for index, label in labels.items()}
    sizes = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48,
                 image_size=size[1], num_channels=size[0])
    config = getattr(hf, f"{kind}Config")(id2label=labels, label2id=label2id, **sizes, **settings)
    model = getattr(hf, f"{kind}ForImageClassification")(config)
    body = getattr(model, kind.lower())
    layers = body.encoder.layer if hasattr(body, "encoder") else body.layers
    config = {**config.to_dict(), "architectures": [f"{kind}ForImageClassification"]}
    preprocessor = {"image_processor_type": "ViTImageProcessor", "do_resize": True,
                    "size": {"height": size[1], "width": size[2]}, "resample": 2, "do_normalize": True,
                    "image_mean": [0.5] * size[0], "image_std": [0.25] * size[0]}
    return Transformer(model, layers), config, preprocessor


# ---------------------------------------------------------------- recipes

RES, THIN = dict(depths=[1, 2, 1, 1], widths=[4, 8, 8, 16]), dict(depths=[1, 2, 1, 1], widths=[4, 4, 8, 8])
SMALL = dict(depths=[3, 3, 3], widths=[4, 6, 12])
VGG = dict(depths=[1, 1, 2, 2, 2], widths=[4, 8, 8, 12, 16], hidden_width=20)


def timm(architecture, size, mean=None, std=None, **extra):
    """A config.json by timm's keys, and our own."""
    pretrained = {"input_size": size, "crop_pct": 1.0, "interpolation": "bilinear"}
    if mean:
        pretrained |= {"mean": mean, "std": std}
    return {"architecture": architecture, "num_classes": CLASSES, "pretrained_cfg": pretrained, **extra}


def hugging(size, **settings):
    """A Hugging Face network, its configuration, and its preprocessor's."""
    network = HuggingFace(**settings)
    config = {**network.config.to_dict(), "architectures": ["ResNetForImageClassification"]}
    preprocessor = {"do_resize": True, "size": {"height": size[1], "width": size[2]}, "resample": 3, "crop_pct": 1.0,
                    "do_normalize": True, "image_mean": [0.5] * size[0], "image_std": [0.25] * size[0]}
    return network, config, preprocessor


def torch_vgg(kind, channels, norm):
    return kind(channels, VGG["depths"], VGG["widths"], VGG["hidden_width"], norm)


# By name: the network and its configuration, and how many pictures.
RECIPES = {
    "resnet-basic": lambda: (ResNet(Basic, 3, **RES), timm("resnet18", [3, 33, 29], **RES)),
    "resnet-bottleneck": lambda: (ResNet(Bottleneck, 3, **THIN), timm("resnet50", [3, 32, 32], **THIN)),
    "resnet-bottleneck-v1": lambda: (
        ResNet(Bottleneck, 3, **THIN, v1=True),
        timm("resnet50", [3, 33, 29], [0.4, 0.5, 0.6], [0.2, 0.25, 0.3], stride_in_1x1=True, channel_order="bgr",
             **THIN)),
    "resnet-cifar": lambda: (
        ResNet(Basic, 1, **SMALL, shortcut="copy", head="linear", small=True),
        timm("resnet20", [1, 28, 28], [0.286], [0.353], **SMALL)),
    "resnet-cifar-trained": lambda: (
        ResNet(Basic, 3, **SMALL, shortcut="shortcut", head="linear", small=True),
        timm("resnet20", [3, 15, 19], **SMALL)),
    "resnet-f16": lambda: (ResNet(Basic, 3, **RES), timm("resnet18", [3, 32, 32], **RES)),
    "resnet-folded": lambda: (ResNet(Basic, 3, **RES), timm("resnet18", [3, 32, 32], **RES)),
    "resnet-hf-basic": lambda: hugging(
        [3, 33, 29], embedding_size=4, hidden_sizes=[4, 8, 12], depths=[1, 2, 1], layer_type="basic"),
    "resnet-hf-bottleneck": lambda: hugging(
        [1, 32, 32], num_channels=1, embedding_size=4, hidden_sizes=[8, 16, 24], depths=[1, 2, 1],
        layer_type="bottleneck"),
    "resnet-hf-v1": lambda: hugging(
        [3, 40, 32], embedding_size=4, hidden_sizes=[8, 16], depths=[2, 2], layer_type="bottleneck",
        downsample_in_first_stage=True, downsample_in_bottleneck=True),
    "vgg": lambda: (torch_vgg(Vgg, 3, False), timm("vgg11", [3, 64, 40], **VGG)),
    "vgg-bn": lambda: (torch_vgg(Vgg, 1, True), timm("vgg11_bn", [1, 256, 224], **VGG)),
    "vgg-timm": lambda: (torch_vgg(TimmVgg, 3, True), timm("vgg11_bn", [3, 32, 32], **VGG)),
    "vgg-timm-large": lambda: (torch_vgg(TimmVgg, 1, False), timm("vgg11", [1, 256, 288], **VGG)),
    "vit-timm": lambda: timm_vit("vit_tiny_patch16_224", [3, 32, 40], 8),
    "deit-timm": lambda: timm_vit("deit_tiny_patch16_224", [3, 24, 24], 8, qkv_bias=False, mlp_ratio=2.0),
    "vit-hf": lambda: hugging_vit("ViT", [3, 30, 30], patch_size=10),
    "deit-hf": lambda: hugging_vit("DeiT", [1, 32, 32], patch_size=16, hidden_act="gelu_new"),
    "vit-f16": lambda: timm_vit("vit_tiny_patch16_224", [3, 32, 32], 8),
}
ONE_PICTURE = {"vgg-bn", "vgg-timm-large"}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
GREY_MEAN, GREY_STD = [0.449], [0.226]


@torch.no_grad()
def shake(network, inputs, generator):
    """Weights by which the logits follow the picture, and statistics as training leaves them."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            spread = (2 / module.weight[0].numel()) ** 0.5
            module.weight.copy_(spread * torch.randn(module.weight.shape, generator=generator))
            if module.bias is not None:
                module.bias.copy_(0.1 * torch.randn(module.bias.shape, generator=generator))
        if isinstance(module, nn.LayerNorm):
            module.weight.copy_(0.5 + torch.rand(module.weight.shape, generator=generator))
            module.bias.copy_(0.3 * torch.randn(module.bias.shape, generator=generator))
    learnt = ("cls_token", "pos_embed", "distillation_token", "position_embeddings")
    for name, tensor in network.named_parameters():
        if name.endswith(learnt):
            tensor.copy_(0.5 * torch.randn(tensor.shape, generator=generator))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
        norm.weight.copy_(0.5 + torch.rand(norm.num_features, generator=generator))
        norm.bias.copy_(0.3 * torch.randn(norm.num_features, generator=generator))
    network.train()(inputs)
    for norm in norms:
        norm.running_mean.add_(0.1 * torch.randn(norm.num_features, generator=generator))
        norm.running_var.mul_(0.8 + 0.4 * torch.rand(norm.num_features, generator=generator)).add_(0.01)


def folded(state):
    """Norms into weights and biases, under torchvision's names."""
    out = dict(state)
    for stem in [name[: -len(".running_var")] for name in state if name.endswith(".running_var")]:
        last = stem.split(".")[-1]
        conv_stem = stem[: -len(last)] + (last.replace("bn", "conv") if "bn" in last else "0")
        gamma, beta, mean, var = (out.pop(f"{stem}.{part}").double() for part in
                                  ("weight", "bias", "running_mean", "running_var"))
        out.pop(f"{stem}.num_batches_tracked")
        scale = gamma / (var + 1e-5).sqrt()
        out[f"{conv_stem}.weight"] = (out[f"{conv_stem}.weight"].double() * scale[:, None, None, None]).float()
        out[f"{conv_stem}.bias"] = (beta - mean * scale).float()
    return out


def state_of(name, network):
    """The tensors as they are saved; also sets the network to what was saved."""
    inner = network.model if isinstance(network, (HuggingFace, Transformer)) else network
    state = {key: value.clone().contiguous() for key, value in inner.state_dict().items()}
    if isinstance(network, Transformer) and hasattr(inner, "save_pretrained"):
        # Saved under other names than it has in memory.
        with tempfile.TemporaryDirectory() as folder:
            inner.save_pretrained(folder)
            state = load_file(f"{folder}/model.safetensors")
    if name.endswith("-f16"):
        state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
        inner.load_state_dict(state)
    if name == "resnet-folded":
        state = folded(state)
    if name == "resnet-bottleneck":
        state = {f"module.{key}": value for key, value in state.items()}
    return state


def scale_of(config, preprocessor, channels):
    """Mean and deviation, and whether channels are turned round."""
    if preprocessor:
        return preprocessor["image_mean"], preprocessor["image_std"], False
    usual = (GREY_MEAN, GREY_STD) if channels == 1 else (MEAN, STD)
    cfg = config["pretrained_cfg"]
    return cfg.get("mean", usual[0]), cfg.get("std", usual[1]), config.get("channel_order") == "bgr"


def plain(values):
    """A JSON list of the shortest decimals that round back to the same f32."""
    return [float(str(np.float32(x))) for x in values.flatten().tolist()]


def input_of(picture, mean, std, is_bgr):
    """What the network reads: [1, channels, height, width]."""
    x = torch.tensor(picture[:, :, ::-1].copy() if is_bgr else picture).double() / 255
    x = (x - torch.tensor(mean).double()) / torch.tensor(std).double()
    return x.permute(2, 0, 1)[None]


@torch.no_grad()
def run(network, picture, scale):
    """Logits of one u8 picture [height, width, channels], and the means behind each segment."""
    sites = []
    middle = lambda output: output.mean((2, 3)) if output.dim() == 4 else output.mean(1)
    keep = lambda module, inputs, output: sites.append(plain(middle(output[0] if isinstance(output, tuple) else output)))
    hooks = [segment.register_forward_hook(keep) for segment in network.segments()]
    logits = network(input_of(picture, *scale))
    for hook in hooks:
        hook.remove()
    return {"logits": plain(logits), "sites": sites}


def picture(rng, height, width, channels):
    """Soft blobs and noise: more like a picture than noise alone."""
    coarse = rng.uniform(-60, 315, (channels, 3, 3))
    soft = F.interpolate(torch.tensor(coarse)[None], (height, width), mode="bicubic")[0].numpy()
    noisy = soft + rng.normal(0, 25, soft.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8).transpose(1, 2, 0).copy()


def make(out, name, number):
    """Write one network and what it gives."""
    torch.manual_seed(number)
    network, config, *rest = RECIPES[name]()
    preprocessor, folder = (rest or [None])[0], out / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if preprocessor:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2) + "\n")
        channels, (height, width) = len(preprocessor["image_mean"]), preprocessor["size"].values()
    else:
        channels, height, width = config["pretrained_cfg"]["input_size"]
    rng, scale = np.random.default_rng(number), scale_of(config, preprocessor, channels)
    pictures = [picture(rng, height, width, channels) for _ in range(16)]
    shake(network, torch.cat([input_of(each, *scale) for each in pictures]).float(),
          torch.Generator().manual_seed(1000 + number))
    save_file(state_of(name, network), folder / "model.safetensors", {"format": "pt"})
    network, pictures = network.double().eval(), pictures[: 1 if name in ONE_PICTURE else 3]
    (folder / "pixels.bin").write_bytes(b"".join(each.tobytes() for each in pictures))
    lines = ",\n".join(json.dumps(run(network, each, scale)) for each in pictures)
    (folder / "cases.json").write_text('{"cases":[\n' + lines + "\n]}\n")


def main():
    """Make all networks, or those named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder that gets one folder per network")
    parser.add_argument("names", nargs="*", help="only these networks")
    args = parser.parse_args()
    for number, name in enumerate(RECIPES):
        if not args.names or name in args.names:
            make(args.out, name, number)
            print(name, sum(p.stat().st_size for p in (args.out / name).iterdir()), "bytes")


if __name__ == "__main__":
    main()
