"""Times torch (cuBLAS, its attention, whole encoders) on a GPU, and sets our times beside it.

    python3 benches/peers/gpu.py measure --out peers.json
    python3 benches/peers/gpu.py table --ours ours.json --peers peers.json --out gpu.md

`table` takes several files of each kind, one from each turn in which ours and theirs ran: it
reports the medians of their medians. `measure --device cpu --tiny` tries the script without a GPU.
"""
import argparse
import json
import math
import statistics
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
SECTIONS = ("gemm", "attention", "encoder")
BACKENDS = ("FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION", "MATH")

# What ours should reach on an H100: milliseconds of a forward by model and rows; share of cuBLAS.
FORWARD_TARGETS_MS = {("bert-base", 1): 0.36, ("bert-base", 8): 0.56, ("bert-base", 32): 1.5,
                      ("bert-base", 128): 5.2}
GEMM_TARGET = 0.70


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

class Clock:
    """Times calls on the device by events around them, or by the host's clock on a CPU."""

    def __init__(self, torch, device, warm_ups, runs):
        self.torch, self.device, self.warm_ups, self.runs = torch, device, warm_ups, runs

    def quantiles_us(self, call, count=1):
        """Median and tenth part of the time of one of the `count` steps of a call."""
        for _ in range(self.warm_ups):
            call()
        times = sorted(self.once_us(call) / count for _ in range(self.runs))
        return {"p50": round(times[len(times) // 2], 4), "p10": round(times[len(times) // 10], 4)}

    def once_us(self, call):
        """One call."""
        if self.device == "cpu":
            start = time.perf_counter()
            call()
            return (time.perf_counter() - start) * 1e6
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
        except RuntimeError as error:
            result["error"] = str(error).splitlines()[0]
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


def forwards(args, torch, clock, model, rows):
    """A whole forward in every mode; a mode that fails says why."""
    torch.manual_seed(0)
    ids = torch.randint(0, SIZES[model][4], (rows, args.tokens), device=args.device)
    feeds = (ids, torch.zeros_like(ids))
    for mode in args.modes:
        result = {"section": "encoder", "model": model, "rows": rows, "row_tokens": args.tokens,
                  "mode": mode, "precision": "f16", "runs": clock.runs}
        try:
            result["pass_us"] = clock.quantiles_us(prepared(args, torch, clock, model, mode, feeds))
        except Exception as error:  # compilers fail in many ways, and the other modes still count
            result["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
        yield result


def prepared(args, torch, clock, model, mode, feeds):
    """A call that runs the encoder once over the feeds."""
    net = encoder(torch, model).to(args.device, torch.float16).eval()

    if mode == "compiled":
        import torch._inductor.config
        torch._dynamo.reset()
        torch._inductor.config.freezing = True
        net = torch.compile(net, mode="max-autotune-no-cudagraphs", fullgraph=True, dynamic=False)
    call = lambda: net(*feeds)
    if mode == "eager":
        return call
    return clock.graphed(call)


# ---------------------------------------------------------------- measure

def measure(args):
    """Everything asked for, as one JSON file that grows with every result."""
    torch = load_torch(args.device)
    clock = Clock(torch, args.device, args.warm_ups, args.runs)
    report = {"machine": machine(torch, args.device), "warm_up_runs": args.warm_ups, "results": []}
    measures = {"gemm": gemm, "attention": attention, "encoder": forwards}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for section in args.sections:
        for model in args.models:
            for rows in args.rows:
                with torch.inference_mode():
                    for result in measures[section](args, torch, clock, model, rows):
                        report["results"].append(result)
                        print(json.dumps(result), flush=True)
                        args.out.write_text(json.dumps(report, indent=1) + "\n")


# ---------------------------------------------------------------- table

def ours(reports):
    """Our times in microseconds by what was measured, a list of medians for each."""
    found = {}
    for report in reports:
        precision = report["precision"]
        for cell in report["kernels"]:
            key = (cell["model"], cell["rows"], cell["row_tokens"], precision, cell["kernel"])
            found.setdefault(key, []).append(cell["time_us"]["p50"])
        for cell in report["forwards"]:
            is_off = cell["exits"] == "off"
            way = "off" if is_off else f"{cell['exits']} {cell['after_exit']}"
            key = (cell["model"], cell["rows"], cell["row_tokens"], precision, f"forward {way}")
            found.setdefault(key, []).append(cell["pass_ms"]["p50"] * 1e3)
    return {key: statistics.median(times) for key, times in found.items()}


def theirs(reports):
    """Their times in the same way, by how they were reached; and what failed."""
    found, failed = {}, {}
    for report in reports:
        for cell in report["results"]:
            key = (cell["model"], cell["rows"], cell["row_tokens"], cell["precision"],
                   cell.get("kernel", "forward"))
            way = cell.get("mode") or cell.get("backend") or "cuBLAS"
            if "error" in cell:
                failed[(*key, way)] = cell["error"]
            else:
                time_us = cell.get("time_us") or cell["pass_us"]
                found.setdefault(key, {}).setdefault(way, []).append(time_us["p50"])
    middle = lambda ways: {way: statistics.median(times) for way, times in ways.items()}
    return {key: middle(ways) for key, ways in found.items()}, failed


def kernel_rows(our, their):
    """Our kernels beside the quickest of theirs; the ratio is ours to theirs."""
    for key, ways in their.items():
        model, rows, tokens, precision, kernel = key
        if kernel == "forward" or key not in our:
            continue
        way = min(ways, key=ways.get)
        mine, share = our[key], ways[way] / our[key]
        target = verdict(share >= GEMM_TARGET, f">= {GEMM_TARGET:.0%}") if way == "cuBLAS" else ""
        yield [model, f"{rows} x {tokens}", precision, kernel, f"{mine:.2f}", f"{ways[way]:.2f}",
               way, f"{mine / ways[way]:.2f}", f"{share:.0%}", target]


def forward_rows(our, their):
    """Our forwards beside each mode of theirs."""
    for (model, rows, tokens, precision, name), mine in our.items():
        ways = their.get((model, rows, tokens, precision, "forward"))
        if not name.startswith("forward ") or ways is None:
            continue
        exits, target_ms = name.removeprefix("forward "), FORWARD_TARGETS_MS.get((model, rows))
        has_target = exits == "off" and target_ms is not None and tokens == 128
        target = verdict(mine <= target_ms * 1e3, f"<= {target_ms} ms") if has_target else ""
        beside = lambda theirs: f"{theirs / 1e3:.3f} (x{mine / theirs:.2f})"
        cells = [beside(ways[mode]) if mode in ways else "-" for mode in MODES]
        yield [model, f"{rows} x {tokens}", precision, exits, f"{mine / 1e3:.3f}", *cells, target]


def verdict(is_met, target):
    """A target and whether it is met."""
    return f"{target}: {'met' if is_met else 'missed'}"


def markdown(title, header, rows):
    """A table as GitHub reads it."""
    line = lambda cells: "| " + " | ".join(cells) + " |"
    return "\n".join([f"## {title}", "", line(header), "|" + "---|" * len(header),
                      *map(line, rows), ""])


NOTES = """\
Medians, and medians of them over turns. Ours / theirs below 1 means that ours is quicker. Kernels:
operands take turns over more memory than the caches hold; our products include bias, activation
and residual, theirs do not. Forwards: ours from the start of a pass to its end on the host's clock,
upload of the rows and all answers included; theirs by events around a call whose input is in place
(eager: as the device sees it). Ours runs the last layer for the tokens that the head reads, theirs
for all. Targets are those for an H100.
"""


def table(args):
    """One table of kernels, one of forwards, and what failed."""
    our_reports, their_reports = ([json.loads(path.read_text()) for path in paths]
                                  for paths in (args.ours, args.peers))
    our, (their, failed) = ours(our_reports), theirs(their_reports)
    kernels, passes = list(kernel_rows(our, their)), list(forward_rows(our, their))
    if not kernels and not passes:
        sys.exit("gpu.py: ours and theirs measured nothing in common")
    text = "\n".join([heading(our_reports[0]["machine"], their_reports[0]["machine"]), NOTES,
                      markdown("Kernels", ["model", "rows", "precision", "kernel", "ours us",
                                           "theirs us", "theirs", "ours / theirs", "of their speed",
                                           "target"], kernels),
                      markdown("Forwards", ["model", "rows", "precision", "exits", "ours ms",
                                            *(f"{mode} ms" for mode in MODES), "target"], passes)])
    for key, error in failed.items():
        text += f"- failed: {' '.join(map(str, key))}: {error}\n"
    args.out.write_text(text)
    print(text)


def heading(mine, peer):
    """Machine, driver and versions of both sides."""
    return (f"# {mine['gpu']}: offramp and torch {peer['torch']}\n\n"
            f"Ours: {mine['driver']}; {mine['date']} UTC. Theirs: {peer['gpu']}, "
            f"CUDA {peer.get('cuda')}, cuDNN {peer.get('cudnn')}; {peer['date']} UTC.\n")


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
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("measure", help="time torch")
    verb.add_argument("--out", type=Path, required=True)
    verb.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    verb.add_argument("--tiny", action="store_true", help="a small model and few runs")
    verb.add_argument("--sections", type=listed(SECTIONS), default=SECTIONS)
    verb.add_argument("--modes", type=listed(MODES), default=MODES)
    verb.add_argument("--models", type=listed(SIZES))
    verb.add_argument("--rows", type=counts)
    verb.add_argument("--tokens", type=int)
    verb.add_argument("--runs", type=int)
    verb = verbs.add_parser("table", help="set ours beside theirs")
    verb.add_argument("--ours", type=Path, nargs="+", required=True)
    verb.add_argument("--peers", type=Path, nargs="+", required=True)
    verb.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    return sized(args) if args.verb == "measure" else args


def sized(args):
    """Fills in what was left out."""
    tiny = args.tiny
    args.models = args.models or (["tiny"] if tiny else ["minilm", "bert-base"])
    args.rows = args.rows or ([1, 3] if tiny else [1, 8, 32, 128])
    args.tokens = args.tokens or (8 if tiny else 128)
    args.runs = args.runs or (4 if tiny else 200)
    args.warm_ups = 2 if tiny else 20
    args.cold_bytes = 100_000 if tiny else COLD_BYTES
    return args


def main():
    """Runs a verb."""
    args = arguments()
    measure(args) if args.verb == "measure" else table(args)


if __name__ == "__main__":
    main()
