"""Times ONNX Runtime, OpenVINO and torch (f32) against `offramp bench` on CNNs, on this CPU.

Writes ResNet-18, ResNet-50 (v1.5) and VGG-16 with random weights, and the same as ONNX. First it
sees that all engines give torch's logits for a few pictures, and fails where one does not. Then it
times them in turn, round after round, on pictures of 224x224. Theirs start from normalised numbers,
ours from bytes. Prints a table, or with --json one line for each (model, rows).

    python3 benches/peers/cpu_images.py --venv DIR/venv --work DIR --ours target/release/offramp
    ... --models resnet50 --rows 1 8 --rounds 5 --json
    ... --rounds 0                                          only the check
"""
import json
import sys

import common

MODELS, ROWS = ("resnet18", "resnet50", "vgg16"), (1, 8, 32)
PEERS = ("onnxruntime", "openvino", "torch")
SIDE, MEAN, STD = 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Largest difference of logits, and least difference of two pictures', as shares of the largest.
ERROR_MAX, SPREAD_MIN = 1e-3, 0.1
# Pictures that are checked, and those whose mean logits the head takes off.
CHECKED, CENTRED, TOP = 4, 8, 5


# ---------------------------------------------------------------- models

def write_model(folder, network):
    """The folder that `offramp` reads, made once."""
    from safetensors.torch import save_file
    pretrained = {"input_size": [3, SIDE, SIDE], "mean": MEAN, "std": STD, "crop_pct": 1.0,
                  "interpolation": "bilinear"}
    config = {"architecture": folder.name, "num_classes": 1000, "pretrained_cfg": pretrained}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if not (folder / "model.safetensors").exists():
        state = {name: value for name, value in network.state_dict().items()
                 if not name.endswith("num_batches_tracked")}
        save_file(state, folder / "model.safetensors", {"format": "pt"})


def export(folder, network):
    """ONNX with a free batch size, made once."""
    import torch
    path = folder / "model.onnx"
    if not path.exists():
        example = (torch.zeros(2, 3, SIDE, SIDE),)
        free = {"pixels": {0: "rows"}, "logits": {0: "rows"}}
        torch.onnx.export(network, example, str(path), input_names=["pixels"], dynamic_axes=free,
                          output_names=["logits"], opset_version=17, dynamo=False)
    return path


def pictures(rows):
    """Smooth blobs of colour, u8 [rows, height, width, channels]."""
    import torch
    coarse = torch.rand(rows, 3, 8, 8, generator=torch.Generator().manual_seed(rows)) * 255
    smooth = torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear")
    return smooth.round().byte().permute(0, 2, 3, 1).contiguous().numpy()


def feeds_of(images):
    """As the peers read them: f32 [rows, channels, height, width]."""
    import numpy as np
    scaled = (images.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    return {"pixels": np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))}


# ---------------------------------------------------------------- engines

class Peers:
    """One network, ready for each of the others' engines."""

    def __init__(self, args, name):
        import networks
        self.args, self.folder = args, args.work / name
        self.network = networks.build(name)
        networks.centre(self.network, feeds_of(pictures(CENTRED))["pixels"])
        write_model(self.folder, self.network)
        self.onnx = export(self.folder, self.network)

    def runner(self, engine, rows):
        """A function from feeds to logits."""
        if engine == "onnxruntime":
            return common.onnxruntime_runner(self.onnx, self.args.threads)
        if engine == "openvino":
            shapes = {"pixels": [rows, 3, SIDE, SIDE]}
            return common.openvino_runner(self.onnx, self.args.threads, shapes)
        return torch_runner(self.network, self.args.threads)


def torch_runner(network, threads):
    """A function from feeds to logits, channels last as oneDNN likes them."""
    import torch
    torch.set_num_threads(threads)
    network.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def call(feeds):
        x = torch.from_numpy(feeds["pixels"]).to(memory_format=torch.channels_last)
        return network(x).numpy()
    return call


def our_logits(args, folder, images):
    """Logits of `offramp classify`, [rows, classes]."""
    import numpy as np
    file = args.work / "pictures.u8"
    file.write_bytes(images.tobytes())
    shape = "x".join(map(str, images.shape[1:]))
    flags = ["--exits", "off", "--logits", "--batch", len(images), "--input", file,
             "--shape", shape]
    lines = common.ask_ours(args.ours, "classify", folder, args.threads, *flags).splitlines()
    return np.array([json.loads(line)["logits"] for line in lines], np.float32)


# ---------------------------------------------------------------- check

def check(args, peers):
    """Every engine's logits against torch's; the end of the script where they differ."""
    images, name = pictures(CHECKED), peers.folder.name
    feeds = feeds_of(images)
    expected = peers.runner("torch", CHECKED)(feeds)
    spread = float(abs(expected - expected[::-1]).max() / abs(expected).max())
    if not spread > SPREAD_MIN:
        sys.exit(f"{name}: pictures differ by {spread:.1e} of the largest logit: too alike")
    others = [engine for engine in args.peers if engine != "torch"]
    found = {engine: peers.runner(engine, CHECKED)(feeds) for engine in others}
    if args.ours:
        found["offramp"] = our_logits(args, peers.folder, images)
    errors = {engine: error(name, engine, logits, expected) for engine, logits in found.items()}
    if not all(each <= ERROR_MAX for each in errors.values()):
        sys.exit(f"{name}: an error is above {ERROR_MAX:.0e}: {errors}")
    return errors


def error(name, engine, logits, expected):
    """Largest difference of logits as a share of the largest."""
    if logits.shape != expected.shape:
        sys.exit(f"{name}: {engine} gives logits {logits.shape}, expected {expected.shape}")
    share = float(abs(logits - expected).max() / abs(expected).max())
    agree = sum(top(ours) == top(theirs) for ours, theirs in zip(logits, expected))
    note(f"{name}: {engine} differs from torch by {share:.1e} of the largest logit, "
         f"top {TOP} agree for {agree} of {len(expected)}")
    return share


def top(logits):
    """The classes with the largest logits, in order."""
    return logits.argsort()[::-1][:TOP].tolist()


def note(text):
    """To people, not to programs."""
    print(text, file=sys.stderr, flush=True)


# ---------------------------------------------------------------- time

def timers(args, peers, rows):
    """Name and timing function of everything that takes part."""
    feeds, calls = feeds_of(pictures(rows)), max(1, args.images // rows)
    runners = {engine: peers.runner(engine, rows) for engine in args.peers}
    found = {engine: lambda call=call: common.time_python(call, feeds, calls=calls)
             for engine, call in runners.items()}
    if args.ours:
        rounds = max(1, args.images // max(rows, common.ROUND_ROWS))
        found["offramp"] = lambda: common.time_ours(
            args.ours, peers.folder, rows, args.threads, "--rounds", rounds)
    return found


def compare(args, peers, rows, errors):
    """One cell: all engines at one batch size."""
    cell = {"model": peers.folder.name, "rows": rows, "threads": args.threads,
            "rounds": args.rounds, "errors": errors}
    cell |= common.alternate(timers(args, peers, rows), args.rounds)
    theirs = {engine: ms for engine, ms in cell["median_ms"].items() if engine != "offramp"}
    cell["best_peer"] = min(theirs, key=theirs.get)
    if args.ours:
        ratio = cell["median_ms"]["offramp"] / theirs[cell["best_peer"]]
        cell["ours_to_best_peer"] = round(ratio, 3)
    return cell


def table(cells):
    """Medians in milliseconds as Markdown; n: how many calls."""
    if not cells:
        return
    engines = list(cells[0]["median_ms"])
    heads = ["model", "rows", *(f"{engine} ms (n)" for engine in engines), "offramp / best peer"]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for cell in cells:
        times = [f"{cell['median_ms'][engine]:.1f} ({cell['n'][engine]})" for engine in engines]
        ratio = f"{cell.get('ours_to_best_peer', '-')} ({cell['best_peer']})"
        print("| " + " | ".join([cell["model"], str(cell["rows"]), *times, ratio]) + " |")


def arguments():
    """The command line."""
    parser = common.parser(__doc__)
    add = parser.add_argument
    add("--models", nargs="+", default=MODELS, choices=MODELS)
    add("--peers", nargs="+", default=PEERS, choices=PEERS)
    add("--rows", nargs="+", type=int, default=ROWS, help="pictures of a pass")
    add("--images", type=int, default=96, help="pictures for each engine and turn")
    add("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


def main():
    """Everything, in order."""
    args, cells = arguments(), []
    common.enter(args)
    for name in args.models:
        peers = Peers(args, name)
        errors = check(args, peers)
        for rows in args.rows if args.rounds else ():
            cells.append(compare(args, peers, rows, errors))
            if args.json:
                print(json.dumps(cells[-1]), flush=True)
            else:
                note(f"{name}, {rows} rows: {cells[-1]['median_ms']}")
    if not args.json:
        table(cells)


if __name__ == "__main__":
    main()
