"""Sets our times on a GPU beside torch's.

    python3 benches/peers/gpu_table.py --ours ours.json --peers peers.json --out gpu.md

Takes several files of each kind, one from each turn in which ours and theirs ran, and reports the
medians of their medians. A file may also hold several reports under names.
"""
import argparse
import json
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "gpu"))

from predict import markdown, predictions, told

MODES = ("eager", "graph", "compiled")
CLOCKS = {"host": "the host's clock, from rows in the host's memory to answers there",
          "device": "the device's clock, from rows in its memory to the last launch's end"}
# What ours should reach on an H100: milliseconds of a forward; share of cuBLAS, for products of
# many tokens and of few.
FORWARD_TARGETS_MS = {("bert-base", 1, 128, "f16", "forward off", "host"): 0.36,
                      ("bert-base", 8, 128, "f16", "forward off", "host"): 0.56,
                      ("bert-base", 32, 128, "f16", "forward off", "host"): 1.5,
                      ("bert-base", 128, 128, "f16", "forward off", "host"): 5.2,
                      ("resnet50", 128, 1, "f16", "forward off next", "host"): 3.2}
GEMM_TARGET, GEMM_TARGET_FEW, MANY_TOKENS = 0.95, 0.80, 1024
PREDICTIONS = predictions()

NOTES = """\
Medians, and medians of them over turns. Ours / theirs below 1 means that ours is quicker. Kernels:
operands take turns over more memory than the caches hold; our products include bias, activation
and residual, theirs do not. Ours runs the last layer of an encoder for the tokens that the head
reads, theirs for all; images come to ours as bytes, to theirs as f16 numbers. With `next` a pass
knows the batch that follows, whose images go over meanwhile. Targets are those for an H100, on the
host's clock; so is what was predicted before any was measured (benches/gpu/predict.py).
"""


# ---------------------------------------------------------------- reading

def reports(paths):
    """Every report of these files."""
    for path in paths:
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            print(f"{path}: left out: {error}", file=sys.stderr)
            continue
        if not isinstance(found, dict):
            print(f"{path}: left out: no report", file=sys.stderr)
            continue
        several = [found] if "machine" in found else found.values()
        # One that was cut off in the middle has nothing.
        whole = lambda report: isinstance(report, dict) and "machine" in report
        yield from filter(whole, several)


def middles(found):
    """The median of each list."""
    return {key: statistics.median(times) for key, times in found.items()}


def ours(found):
    """Our times in microseconds by what was measured and by which clock; and what failed."""
    times, failed = {}, []
    for report in found:
        precision = report["precision"]
        for cell in report["kernels"]:
            key = (cell["model"], cell["rows"], cell["row_tokens"], precision, cell["kernel"])
            times.setdefault((*key, "device"), []).append(cell["time_us"]["p50"])
        for cell in report["forwards"]:
            name = f"forward {told(cell['exits'], cell['after_exit'])}"
            key = (cell["model"], cell["rows"], cell["row_tokens"], precision, name)
            times.setdefault((*key, "host"), []).append(cell["pass_ms"]["p50"] * 1e3)
            if cell["device_ms"]["p50"] is not None:
                times.setdefault((*key, "device"), []).append(cell["device_ms"]["p50"] * 1e3)
        failed += [f"ours {cell['model']} {cell['rows']} x {cell['row_tokens']}, {cell['what']}: "
                   f"{cell['error']}" for cell in report["failed"]]
    return middles(times), failed


def theirs(found):
    """Their times in the same way, by how they were reached; and what failed."""
    times, failed = {}, []
    for report in found:
        for cell in report["results"]:
            key = (cell["model"], cell["rows"], cell["row_tokens"], cell["precision"],
                   cell.get("kernel", "forward"))
            way = cell.get("mode") or cell.get("backend") or "cuBLAS"
            if "error" in cell:
                failed.append(f"theirs {' '.join(map(str, key))} {way}: {cell['error']}")
                continue
            for clock, name in (("device", "time_us"), ("device", "device_us"),
                                ("host", "host_us")):
                if name in cell:
                    times.setdefault((*key, clock), {}).setdefault(way, []).append(
                        cell[name]["p50"])
    return {key: middles(ways) for key, ways in times.items()}, failed


# ---------------------------------------------------------------- rows of tables

def kernel_rows(our, their):
    """Our kernels beside the quickest of theirs, where there is one; the ratio is ours to
    theirs."""
    for key, mine in our.items():
        model, rows, tokens, precision, kernel, _ = key
        if kernel.startswith("forward "):
            continue
        cells = [model, f"{rows} x {tokens}", precision, kernel, predicted(key, 1, 1),
                 f"{mine:.2f}"]
        ways = their.get(key)
        if not ways:
            yield [*cells, *"-----"]
            continue
        way = min(ways, key=ways.get)
        share = ways[way] / mine
        least = GEMM_TARGET if rows * tokens >= MANY_TOKENS else GEMM_TARGET_FEW
        target = verdict(share >= least, f">= {least:.0%}") if way == "cuBLAS" else ""
        yield [*cells, f"{ways[way]:.2f}", way, f"{mine / ways[way]:.2f}", f"{share:.0%}", target]


def forward_rows(our, their, clock):
    """Our forwards beside each mode of theirs, by one clock."""
    for key, mine in our.items():
        model, rows, tokens, precision, name, of = key
        if not name.startswith("forward ") or of != clock:
            continue
        ways = their.get((model, rows, tokens, precision, "forward", clock), {})
        target_ms = FORWARD_TARGETS_MS.get(key)
        target = verdict(mine <= target_ms * 1e3, f"<= {target_ms} ms") if target_ms else ""
        cells = [beside(ways[mode], mine) if mode in ways else "-" for mode in MODES]
        yield [model, f"{rows} x {tokens}", precision, name.removeprefix("forward "),
               predicted(key, 1e3, 3), f"{mine / 1e3:.3f}", f"{rows / mine * 1e6:.0f}", *cells,
               target]


def predicted(key, divisor, digits):
    """What this cell was to take, where somebody has said so."""
    return f"{PREDICTIONS[key] / divisor:.{digits}f}" if key in PREDICTIONS else "-"


def beside(theirs_us, mine_us):
    """Their time, and ours as a multiple of it."""
    return f"{theirs_us / 1e3:.3f} (x{mine_us / theirs_us:.2f})"


def verdict(is_met, target):
    """A target and whether it is met."""
    return f"{target}: {'met' if is_met else 'missed'}"


# ---------------------------------------------------------------- text

def section(title, header, rows):
    """A table with its title."""
    return "\n".join([f"## {title}", "", *markdown(header, rows), ""])


def heading(our_reports, peer):
    """Machine, driver and versions of both sides, and which of our builds were timed."""
    mine = our_reports[0]["machine"]
    builds = sorted({report["build"] for report in our_reports if "build" in report})
    told = f"; build {' and '.join(builds)}" if builds else ""
    return (f"# {mine['gpu']}: offramp and torch {peer['torch']}\n\n"
            f"Ours: {mine['driver']}; {mine['date']} UTC{told}. Theirs: {peer['gpu']}, "
            f"CUDA {peer.get('cuda')}, cuDNN {peer.get('cudnn')}; {peer['date']} UTC.\n")


def table(args):
    """One table of kernels, one of forwards for each clock, and what failed."""
    our_reports, their_reports = list(reports(args.ours)), list(reports(args.peers))
    (our, our_failed), (their, their_failed) = ours(our_reports), theirs(their_reports)
    if not our:
        sys.exit("gpu_table.py: nothing of ours was measured")
    peer = their_reports[0]["machine"] if their_reports else {"torch": "-", "gpu": "-", "date": "-"}
    parts = [heading(our_reports, peer), NOTES]
    header = ["model", "rows", "precision", "kernel", "predicted", "ours us", "theirs us", "theirs",
              "ours / theirs", "of their speed", "target"]
    parts.append(section("Kernels", header, kernel_rows(our, their)))
    for clock, meaning in CLOCKS.items():
        header = ["model", "rows", "precision", "exits", "predicted", "ours ms", "rows / s",
                  *(f"{mode} ms" for mode in MODES), "target"]
        parts.append(section(f"Forwards by {meaning}", header, forward_rows(our, their, clock)))
    parts += [f"- failed: {error}" for error in our_failed + their_failed]
    args.out.write_text("\n".join(parts) + "\n")
    print(f"{len(our)} times of ours, {len(their)} of theirs, "
          f"{len(our_failed) + len(their_failed)} failures")


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", type=Path, nargs="+", required=True)
    parser.add_argument("--peers", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, required=True)
    table(parser.parse_args())


if __name__ == "__main__":
    main()
