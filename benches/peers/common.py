"""What cpu.py and cpu_images.py share: the environment, the engines, and the rounds."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path

PINS = ["torch==2.15.0", "transformers==5.23.0", "safetensors==0.8.0", "numpy==2.4.6",
        "onnx==1.23.2", "onnxscript==0.7.2", "onnxruntime==1.32.0", "openvino==2026.4.1"]
# `offramp bench` has at least this many rows in a round.
ROUND_ROWS = 32


# ---------------------------------------------------------------- command line

def parser(doc):
    """The flags that all scripts have."""
    made = argparse.ArgumentParser(description=doc,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--venv", type=Path, required=True, help="environment to make or use")
    add("--work", type=Path, required=True, help="folder for the checkpoints")
    add("--ours", help="the release binary; left out, only the peers are timed")
    add("--threads", type=int, default=2)
    add("--rounds", type=int, default=5, help="turns of each engine")
    add("--packages-from", help="an extra package index, e.g. one with CPU-only torch")
    add("--inside", action="store_true", help=argparse.SUPPRESS)
    return made


def enter(args):
    """Make the environment if it is not there, and run the script again inside it."""
    if not args.inside:
        python = environment(args.venv, args.packages_from)
        os.execv(python, [str(python), *sys.argv, "--inside"])
    os.environ["OMP_NUM_THREADS"] = str(args.threads)


def environment(folder, packages_from):
    """The environment's Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    if not (folder / "installed").exists():
        extra = ["--extra-index-url", packages_from] if packages_from else []
        subprocess.run([python, "-m", "pip", "install", "-q", *extra, *PINS], check=True)
        (folder / "installed").write_text("\n".join(PINS))
    return python


# ---------------------------------------------------------------- engines

def onnxruntime_runner(path, threads):
    """A function from feeds to logits."""
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda feeds: session.run(None, feeds)[0]


def openvino_runner(path, threads, shapes):
    """A function from feeds to logits; the shapes of the inputs fixed, f32 forced."""
    import openvino as ov
    core = ov.Core()
    model = core.read_model(str(path))
    model.reshape(shapes)
    hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY",
             "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    compiled = core.compile_model(model, "CPU", hints)
    request = compiled.create_infer_request()
    return lambda feeds: request.infer(feeds)[compiled.output(0)]


def ask_ours(binary, verb, folder, threads, *flags):
    """What a verb of `offramp` prints; the end of the script where it fails."""
    command = [binary, verb, "--model", str(folder), "--threads", str(threads), "--device", "cpu",
               *map(str, flags)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\nfailed with {done.returncode}\n{done.stderr}{done.stdout}")
    return done.stdout


# ---------------------------------------------------------------- time

def time_python(call, feeds, seconds=0.0, calls=3):
    """Median milliseconds of a call, and how many there were: as many as given, or for as long.

    Two more come first, to warm up.
    """
    call(feeds), call(feeds)
    times, end = [], time.perf_counter() + seconds
    while len(times) < calls or time.perf_counter() < end:
        start = time.perf_counter()
        call(feeds)
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times), len(times)


def time_ours(binary, folder, rows, threads, *flags):
    """Median milliseconds of a pass without exits in one run of `offramp bench`, and how many."""
    flags = ["--rows", rows, "--variants", "full", "--json", *flags]
    cell = json.loads(ask_ours(binary, "bench", folder, threads, *flags))[0]
    return cell["pass_ms_p50"], cell["rounds"] * -(-max(ROUND_ROWS, rows) // rows)


def alternate(timers, rounds):
    """Times the engines in turn, there and back, so that a disturbance meets all of them.

    Per engine: the median of the rounds' medians, the lowest and the highest, and all calls.
    """
    medians, counts = {name: [] for name in timers}, dict.fromkeys(timers, 0)
    for turn in range(rounds):
        for name in list(timers)[:: 1 if turn % 2 == 0 else -1]:
            median, count = timers[name]()
            medians[name].append(median)
            counts[name] += count
    return {"median_ms": {name: round(statistics.median(m), 3) for name, m in medians.items()},
            "low_high_ms": {name: [round(min(m), 3), round(max(m), 3)]
                            for name, m in medians.items()},
            "n": counts}
