"""Whether the shipped models say on a GPU what they say on the CPU, exits off and on.

    python3 benches/gpu/answers.py --offramp bin/offramp --models tools/models --work DIR

Labels may differ where two logits are as close as rounding, and where a score falls on its
threshold: at least 99.5 % must agree, and with exits 98 % must leave where they leave on the CPU.
"""
import argparse
import gzip
import json
import subprocess
import sys
from pathlib import Path

LABELS_MIN, DEPTHS_MIN = 0.995, 0.98
# Input of each model, by the name it ships under.
INPUTS = {"trec-questions": "test.jsonl", "fashion-mnist": "test-images-idx3-ubyte.gz"}


def answers(args, model, source, device, exits):
    """One answer a line, as `offramp classify` gives it."""
    to = args.work / f"{model}-{device}-{exits}.jsonl"
    command = [str(args.offramp), "classify", "--model", str(args.models / model), "--device",
               device, "--exits", exits, "--input", str(source), "--output", str(to)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.returncode}: {done.stderr[-600:]}")
    return [json.loads(line) for line in to.read_text().splitlines()]


def compare(args, model, source, exits):
    """How many answers agree; whether that is enough."""
    cpu, cuda = (answers(args, model, source, device, exits) for device in ("cpu", "cuda"))
    if not cpu or len(cpu) != len(cuda):
        print(f"{model}, exits {exits}: {len(cuda)} answers for {len(cpu)}")
        return False
    same = lambda key: sum(a[key] == b[key] for a, b in zip(cpu, cuda)) / len(cpu)
    labels, places = same("label"), same("exit")
    is_enough = labels >= LABELS_MIN and places >= DEPTHS_MIN
    print(f"{model}, exits {exits}: {labels:.2%} of {len(cpu)} labels are the CPU's, {places:.2%} "
          f"leave at the same exit{'' if is_enough else ': TOO FEW'}", flush=True)
    return is_enough


def source_of(args, model):
    """The input, cut to so many rows where that was asked for."""
    whole = args.models / model / INPUTS[model]
    if not args.rows:
        return whole
    if whole.suffix == ".jsonl":
        to, kept = args.work / whole.name, whole.read_bytes().splitlines(True)[: args.rows]
        to.write_bytes(b"".join(kept))
        return to
    to = args.work / whole.stem
    to.write_bytes(cut_images(gzip.decompress(whole.read_bytes()), args.rows))
    return to


def cut_images(idx, rows):
    """The first images of an IDX file: four numbers of four bytes, the second counts."""
    height, width = (int.from_bytes(idx[at : at + 4], "big") for at in (8, 12))
    header = idx[:4] + rows.to_bytes(4, "big") + idx[8:16]
    return header + idx[16 : 16 + rows * height * width]


def main():
    """Every shipped model."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--offramp", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=0, help="of each model only so many (all)")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    shipped = {path.parent.name for path in args.models.glob("*/config.json")}
    good = [shipped == set(INPUTS)]
    if not good[0]:
        print(f"shipped are {sorted(shipped)}, known are {sorted(INPUTS)}")
    for model in sorted(shipped & set(INPUTS)):
        source = source_of(args, model)
        for exits in ("off", "on"):
            try:
                good.append(compare(args, model, source, exits))
            except (RuntimeError, OSError, ValueError, KeyError) as error:
                print(f"{model}, exits {exits}: {error}", flush=True)
                good.append(False)
    print(f"{sum(good)} of {len(good)} comparisons hold")
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
