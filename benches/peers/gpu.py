"""Times torch on a GPU: cuBLAS, its attention, whole encoders, ResNet-50.

    python3 benches/peers/gpu.py --out peers.json

gpu_table.py sets our times beside these. `--device cpu --tiny` tries the script without a GPU.
"""
import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path

# As in benches/gpu: layers, width, heads, inner width, vocabulary, classes.
SIZES = {"minilm": (6, 384, 12, 1536, 30522, 6), "bert-base": (12, 768, 12, 3072, 30522, 6),
         "tiny": (3, 64, 2, 128, 200, 3)}
POSITIONS, KINDS, EPS = 512, 2, 1e-12
COLD_BYTES, SETS_MAX, CALLS_MIN = 120_000_000, 64, 32
MODES = ("eager", "graph", "compiled")
SECTIONS = ("gemm", "attention", "encoder", "images")
NETWORKS = {"resnet50": 224, "tiny-images": 32}
# How hard torch's compiler tries: on the many shapes of a network over images, all it knows would
# take longer than all else together.
COMPILING = {"encoder": "max-autotune-no-cudagraphs", "images": "default"}
BACKENDS = ("FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION", "MATH")


# ---------------------------------------------------------------- machine

def load_torch(device):
    """torch, or the end of the program where it or the device is missing."""
    try:
        import torch
    except ImportError as error:
        sys.exit(f"gpu.py: torch is needed: {error}")
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"gpu.py: torch {torch.__version__} finds no CUDA device")
    return torch


def machine(torch, device):
    """What was measured on and with."""
    date = subprocess.run(["date", "-u", "+%Y-%m-%d %H:%M"], capture_output=True, text=True)
    found = {"torch": torch.__version__, "date": date.stdout.strip(), "gpu": "none"}
    if device == "cuda":
        found.update(gpu=torch.cuda.get_device_name(), cuda=torch.version.cuda,
                     cudnn=torch.backends.cudnn.version())
    return found


# ---------------------------------------------------------------- clocks

def host_time_us(call):
    """One call by the host's clock."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e6


class Clock:
    """Times calls on the device by events around them, or by the host's clock on a CPU."""

    def __init__(self, torch, device, warm_ups, runs):
        self.torch, self.device, self.warm_ups, self.runs = torch, device, warm_ups, runs

    def quantiles_us(self, call, count=1):
        """Median and tenth part of the time of one of the `count` steps of a call."""
        return self.quantiles(self.once_us, call, count)

    def host_us(self, call):
        """The same by the host's clock: of a call that waits for what it gives."""
        return self.quantiles(host_time_us, call, 1)

    def quantiles(self, once_us, call, count):
        """By a clock that takes the time of one call."""
        for _ in range(self.warm_ups):
            call()
        times = sorted(once_us(call) / count for _ in range(self.runs))
        return {"p50": round(times[len(times) // 2], 4), "p10": round(times[len(times) // 10], 4)}

    def once_us(self, call):
        """One call."""
        if self.device == "cpu":
            return host_time_us(call)
        start, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) * 1e3

    def graphed(self, call):
        """The same work as one CUDA graph; the call itself on a CPU."""
        if self.device == "cpu":
            return call
        torch = self.torch
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                call()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        return graph.replay

    def turns_us(self, make, set_bytes, cold_bytes):
        """Time of one call where successive calls have operands of their own, and their count."""
        sets = max(1, min(SETS_MAX, math.ceil(cold_bytes / set_bytes)))
        calls = [make() for _ in range(sets)]
        count = max(sets, CALLS_MIN if self.device == "cuda" else 1)

        def turn():
            for index in range(count):
                calls[index % sets]()

        return self.quantiles_us(self.graphed(turn), count), sets


# ---------------------------------------------------------------- kernels

def products(size):
    """Outputs and inputs of the products of a layer, by our names."""
    _, width, _, inner, _, _ = SIZES[size]
    return {"linear qkv": (3 * width, width), "linear out": (width, width),
            "linear ffn1": (inner, width), "linear ffn2": (width, inner)}


def gemm(args, torch, clock, model, rows):
    """The product alone, without bias, activation or residual, which ours includes."""
    m = rows * args.tokens
    for name, (n, k) in products(model).items():
        for dtype in ("f16", "bf16"):
            kind = dict(device=args.device, dtype=dtype_of(torch, dtype))

            def make(n=n, k=k, kind=kind):
                x, weight = torch.randn(m, k, **kind), torch.randn(n, k, **kind) / math.sqrt(k)
                out = torch.empty(m, n, **kind)
                return lambda: torch.mm(x, weight.t(), out=out)

            time_us, sets = clock.turns_us(make, 2 * (m * k + n * k + m * n), args.cold_bytes)
            yield {"section": "gemm", "model": model, "rows": rows, "row_tokens": args.tokens,
                   "kernel": name, "n": n, "k": k, "precision": dtype, "time_us": time_us,
                   "tflops": round(2 * m * n * k / time_us["p50"] / 1e6, 1), "sets": sets}


def attention(args, torch, clock, model, rows):
    """Every backend that takes the shape, over the packed queries, keys and values of ours."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    _, width, heads, _, _, _ = SIZES[model]
    for backend in BACKENDS:
        kind = dict(device=args.device, dtype=torch.float16)

        def make(kind=kind):
            qkv = torch.randn(rows, args.tokens, 3, heads, width // heads, **kind)
            return lambda: attend(torch, qkv)

        result = {"section": "attention", "model": model, "rows": rows, "kernel": "attention",
                  "row_tokens": args.tokens, "precision": "f16", "backend": backend}
        try:
            with sdpa_kernel(getattr(SDPBackend, backend)):
                set_bytes = 8 * rows * args.tokens * width
                result["time_us"], result["sets"] = clock.turns_us(make, set_bytes, args.cold_bytes)
        except Exception as error:
            # No such backend in this version, or it does not take the shape.
            result["error"] = (str(error) or repr(error)).splitlines()[0]
        yield result


def attend(torch, qkv):
    """Attention within each row; `[rows, tokens, 3, heads, head_dim]` in."""
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    return torch.nn.functional.scaled_dot_product_attention(query, key, value)


def dtype_of(torch, name):
    """torch's name of a format."""
    return {"f16": torch.float16, "bf16": torch.bfloat16}[name]


# ---------------------------------------------------------------- encoder

def encoder(torch, model):
    """A BERT classifier with random weights: every token runs through all layers."""
    nn, functional = torch.nn, torch.nn.functional
    layers, width, heads, inner, vocab, classes = SIZES[model]

    class Layer(nn.Module):
        """Attention and feed-forward block, each with residual and norm."""

        def __init__(self):
            super().__init__()
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.ffn1, self.ffn2 = nn.Linear(width, inner), nn.Linear(inner, width)
            self.norm1, self.norm2 = nn.LayerNorm(width, EPS), nn.LayerNorm(width, EPS)

        def forward(self, x):
            rows, tokens, _ = x.shape
            qkv = self.qkv(x).view(rows, tokens, 3, heads, width // heads)
            mixed = attend(torch, qkv).transpose(1, 2).reshape(rows, tokens, width)
            x = self.norm1(x + self.out(mixed))
            return self.norm2(x + self.ffn2(functional.gelu(self.ffn1(x))))

    class Encoder(nn.Module):
        """Embeddings, layers, pooler and head."""

        def __init__(self):
            super().__init__()
            self.word, self.position = nn.Embedding(vocab, width), nn.Embedding(POSITIONS, width)
            self.kind, self.norm = nn.Embedding(KINDS, width), nn.LayerNorm(width, EPS)
            self.layers = nn.ModuleList(Layer() for _ in range(layers))
            self.pooler, self.head = nn.Linear(width, width), nn.Linear(width, classes)

        def forward(self, ids, kinds):
            x = self.word(ids) + self.position.weight[: ids.shape[1]] + self.kind(kinds)
            x = self.norm(x)
            for layer in self.layers:
                x = layer(x)
            return self.head(torch.tanh(self.pooler(x[:, 0])))

    return Encoder()


def encoders(args, torch, clock, model, rows):
    """The forward of an encoder in every mode."""
    torch.manual_seed(0)
    net = encoder(torch, model).to(args.device, torch.float16).eval()
    ids = torch.randint(0, SIZES[model][4], (rows, args.tokens))
    place = {"section": "encoder", "model": model, "row_tokens": args.tokens}
    yield from forwards(args, torch, clock, net, (ids, torch.zeros_like(ids)), place)


def images(args, torch, clock, model, rows):
    """The forward of a network over images, channels last; an image counts as one token."""
    import networks
    net = networks.build("resnet50").to(args.device, torch.float16)
    net = net.to(memory_format=torch.channels_last)
    pixels = torch.randn(rows, 3, NETWORKS[model], NETWORKS[model], dtype=torch.float16)
    pixels = pixels.to(memory_format=torch.channels_last)
    place = {"section": "images", "model": model, "row_tokens": 1}
    yield from forwards(args, torch, clock, net, (pixels,), place)


# ---------------------------------------------------------------- forwards

def forwards(args, torch, clock, net, feeds, place):
    """A network over feeds on the host, in every mode; a mode that fails says why.

    Twice: by the device's clock around a call whose input is in place; and by the host's, with the
    copy of the feeds there and of the logits back.
    """
    for mode in args.modes:
        result = {**place, "rows": len(feeds[0]), "mode": mode, "precision": "f16",
                  "runs": clock.runs}
        try:
            ready = compiled(torch, net, place["section"]) if mode == "compiled" else net
            call, whole = prepared(args, torch, clock, ready, mode, feeds)
            result["device_us"] = clock.quantiles_us(call)
            result["host_us"] = clock.host_us(whole)
        except Exception as error:  # compilers fail in many ways, and the other modes still count
            result["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        yield result


def compiled(torch, net, section):
    """The network by torch's own compiler, its weights folded in."""
    import torch._inductor.config
    torch._dynamo.reset()
    torch._inductor.config.freezing = True
    return torch.compile(net, mode=COMPILING[section], fullgraph=True, dynamic=False)


def prepared(args, torch, clock, net, mode, feeds):
    """A call that runs the network over what is in place; and one from host to host."""
    inputs = [feed.to(args.device, memory_format=torch.preserve_format) for feed in feeds]
    logits = {}

    def call():
        logits["device"] = net(*inputs)

    run = call if mode == "eager" else clock.graphed(call)
    run()
    is_cuda = args.device == "cuda"
    sources = [feed.pin_memory() if is_cuda else feed for feed in feeds]
    answer = torch.empty_like(logits["device"], device="cpu", pin_memory=is_cuda)

    def whole():
        for to, source in zip(inputs, sources):
            to.copy_(source, non_blocking=True)
        run()
        answer.copy_(logits["device"], non_blocking=True)
        if is_cuda:
            torch.cuda.current_stream().synchronize()

    return run, whole


# ---------------------------------------------------------------- measure

def measure(args):
    """Everything asked for, as one JSON file that grows with every result."""
    torch = load_torch(args.device)
    clock = Clock(torch, args.device, args.warm_ups, args.runs)
    report = {"machine": machine(torch, args.device), "warm_up_runs": args.warm_ups, "results": []}
    measures = {"gemm": gemm, "attention": attention, "encoder": encoders, "images": images}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for section in args.sections:
        for model in args.networks if section == "images" else args.models:
            for rows in args.rows:
                with torch.inference_mode():
                    for result in measures[section](args, torch, clock, model, rows):
                        report["results"].append(result)
                        print(json.dumps(result), flush=True)
                        write(args.out, report)


def write(path, report):
    """In the place of what was there, whole at any time."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(report, indent=1) + "\n")
    new.replace(path)


# ---------------------------------------------------------------- command line

def listed(choices):
    """Reads a list with commas of known words."""
    def read(text):
        words = text.split(",")
        unknown = [word for word in words if word not in choices]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown {unknown}: expected {', '.join(choices)}")
        return words
    return read


def counts(text):
    """Reads a list with commas of numbers above 0."""
    numbers = [int(word) for word in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError("numbers must be at least 1")
    return numbers


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=Path, required=True)
    add("--device", choices=("cuda", "cpu"), default="cuda")
    add("--tiny", action="store_true", help="a small model and few runs")
    add("--sections", type=listed(SECTIONS), default=SECTIONS)
    add("--modes", type=listed(MODES), default=MODES)
    add("--models", type=listed(SIZES))
    add("--rows", type=counts)
    add("--tokens", type=int)
    add("--runs", type=int)
    return sized(parser.parse_args())


def sized(args):
    """Fills in what was left out."""
    tiny = args.tiny
    args.models = args.models or (["tiny"] if tiny else ["minilm", "bert-base"])
    args.networks = ["tiny-images" if tiny else "resnet50"]
    args.rows = args.rows or ([1, 3] if tiny else [1, 8, 32, 128])
    args.tokens = args.tokens or (8 if tiny else 128)
    args.runs = args.runs or (4 if tiny else 200)
    args.warm_ups = 2 if tiny else 20
    args.cold_bytes = 100_000 if tiny else COLD_BYTES
    return args


if __name__ == "__main__":
    measure(arguments())
