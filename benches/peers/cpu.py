"""Times ONNX Runtime and OpenVINO (f32) against `offramp bench` on BERT-sized encoders, on this CPU.

Makes a virtual environment with pinned packages, writes random-weight checkpoints, exports them to ONNX, and
times all engines in turn, round after round, so that a disturbance of the machine meets all of them. Prints one
line of JSON per (model, rows), and a table at the end.

    python3 benches/peers/cpu.py --venv DIR/venv --work DIR --ours target/release/offramp
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path

PINS = ["torch==2.15.0", "transformers==5.23.0", "safetensors==0.8.0", "numpy==2.4.6", "onnx==1.23.2",
        "onnxscript==0.7.2", "onnxruntime==1.32.0", "openvino==2026.4.1"]
SIZES = {"minilm": dict(num_hidden_layers=6, hidden_size=384, num_attention_heads=12, intermediate_size=1536),
         "bert-base": dict(num_hidden_layers=12, hidden_size=768, num_attention_heads=12, intermediate_size=3072)}
ROWS, INPUTS = (1, 8, 32), ("input_ids", "attention_mask", "token_type_ids")


# ---------------------------------------------------------------- environment

def enter(folder, packages_from):
    """Make the environment if it is not there, then run this script again inside it."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    if not (folder / "installed").exists():
        extra = ["--extra-index-url", packages_from] if packages_from else []
        subprocess.run([python, "-m", "pip", "install", "-q", *extra, *PINS], check=True)
        (folder / "installed").write_text("\n".join(PINS))
    os.execv(python, [str(python), *sys.argv, "--inside"])


# ---------------------------------------------------------------- models

def checkpoint(folder, size):
    """A random BertForSequenceClassification in the usual layout, made once."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification
    if not (folder / "model.safetensors").exists():
        torch.manual_seed(0)
        config = BertConfig(vocab_size=30522, num_labels=6, attn_implementation="eager", **size)
        BertForSequenceClassification(config).save_pretrained(folder)
    return BertForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()


def sample(rows, tokens):
    """Full rows without padding, as int64 arrays."""
    import numpy as np
    ids = np.random.default_rng(rows).integers(1000, 30000, (rows, tokens))
    return dict(zip(INPUTS, (ids, np.ones_like(ids), np.zeros_like(ids))))


def export(folder, size, tokens):
    """ONNX with free batch and length; checked against the model it came from."""
    import torch
    path, model = folder / "model.onnx", checkpoint(folder, size)
    feeds = sample(2, tokens)
    example = tuple(torch.tensor(feeds[name]) for name in INPUTS)
    if not path.exists():
        free = {name: {0: "rows", 1: "tokens"} for name in INPUTS}
        torch.onnx.export(model, example, str(path), input_names=list(INPUTS), output_names=["logits"],
                          dynamic_axes=free, opset_version=17, dynamo=False)
    with torch.no_grad():
        expected = model(*example).logits.numpy()
    got = onnxruntime_runner(path, 2)(feeds)
    print(f"{folder.name}: largest difference of ONNX from torch {abs(got - expected).max():.2e}", flush=True)
    return path


def fuse(path, size):
    """ONNX Runtime's own transformer fusions (attention, gelu, layer norm) applied ahead of time."""
    from onnxruntime.transformers import optimizer
    out = path.with_name("fused.onnx")
    if not out.exists():
        made = optimizer.optimize_model(str(path), model_type="bert", num_heads=size["num_attention_heads"],
                                        hidden_size=size["hidden_size"], opt_level=0)
        print(path.parent.name, "fused:", made.get_fused_operator_statistics(), flush=True)
        made.save_model_to_file(str(out))
    return out


# ---------------------------------------------------------------- engines

def onnxruntime_runner(path, threads):
    """A function from feeds to logits."""
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda feeds: session.run(None, feeds)[0]


def openvino_runner(path, threads, rows, tokens):
    """A function from feeds to logits; shapes fixed, f32 forced."""
    import openvino as ov
    core = ov.Core()
    model = core.read_model(str(path))
    model.reshape({name: [rows, tokens] for name in INPUTS})
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY",
                                                 "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1})
    request = compiled.create_infer_request()
    return lambda feeds: request.infer(feeds)[compiled.output(0)]


def time_python(call, feeds, seconds):
    """Milliseconds of each call during about the given time, two calls of warm-up left out."""
    call(feeds), call(feeds)
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call(feeds)
        times.append((time.perf_counter() - start) * 1e3)
    return times


def time_ours(binary, folder, rows, args):
    """Milliseconds per batch of one run of `offramp bench`: its median over the rounds it made."""
    command = [binary, "bench", "--model", str(folder), "--rows", str(rows), "--tokens", str(args.tokens),
               "--threads", str(args.threads), "--variants", "full", "--seconds", str(args.seconds), "--json"]
    cells = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return [cells[0]["pass_ms_p50"]]


def engines(args, folder, plain, fused, rows):
    """Name and timing function of everything that takes part."""
    feeds = sample(rows, args.tokens)
    calls = {"onnxruntime": onnxruntime_runner(plain, args.threads),
             "onnxruntime-fused": onnxruntime_runner(fused, args.threads),
             "openvino": openvino_runner(plain, args.threads, rows, args.tokens)}
    found = {name: lambda call=call: time_python(call, feeds, args.seconds) for name, call in calls.items()}
    if args.ours:
        found["offramp"] = lambda: time_ours(args.ours, folder, rows, args)
    return found


# ---------------------------------------------------------------- rounds

def compare(args, name, folder, plain, fused, rows):
    """Alternate the engines and report the median of the rounds' medians."""
    timers, medians, counts = engines(args, folder, plain, fused, rows), {}, {}
    for turn in range(args.rounds):
        order = list(timers) if turn % 2 == 0 else list(timers)[::-1]
        for engine in order:
            times = timers[engine]()
            medians.setdefault(engine, []).append(statistics.median(times))
            counts[engine] = counts.get(engine, 0) + len(times)
    result = {"model": name, "rows": rows, "tokens": args.tokens, "threads": args.threads, "rounds": args.rounds}
    result["median_ms"] = {e: round(statistics.median(m), 3) for e, m in medians.items()}
    result["low_high_ms"] = {e: [round(min(m), 3), round(max(m), 3)] for e, m in medians.items()}
    return {**result, "n": counts, "ratio": ratios(result["median_ms"])}


def ratios(medians):
    """How many times longer each engine takes than ours, or than the quickest if ours is absent."""
    base = medians.get("offramp", min(medians.values()))
    return {engine: round(value / base, 3) for engine, value in medians.items()}


def table(results):
    """All medians, for reading."""
    for r in results:
        cells = "  ".join(f"{e} {v:9.2f} ms (n {r['n'][e]}, x{r['ratio'][e]:.2f})" for e, v in r["median_ms"].items())
        print(f"{r['model']:10} rows {r['rows']:3}  {cells}")


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, required=True, help="environment to make or use")
    parser.add_argument("--work", type=Path, required=True, help="folder for the checkpoints")
    parser.add_argument("--ours", help="the release binary; left out, only the peers are timed")
    parser.add_argument("--models", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--rows", nargs="*", type=int, default=list(ROWS))
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="time per engine and round")
    parser.add_argument("--packages-from", help="an extra package index, e.g. one with CPU-only torch")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    """Everything, in order."""
    args = arguments()
    if not args.inside:
        enter(args.venv, args.packages_from)
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    results = []
    for name in args.models:
        folder = args.work / name
        plain = export(folder, SIZES[name], args.tokens)
        fused = fuse(plain, SIZES[name])
        for rows in args.rows:
            results.append(compare(args, name, folder, plain, fused, rows))
            print(json.dumps(results[-1]), flush=True)
    table(results)


if __name__ == "__main__":
    main()
