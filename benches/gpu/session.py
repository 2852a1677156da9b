"""All steps of one call on a machine with a GPU, each within its limit, none stopping another.

    benches/gpu/run.sh                          every step, most valuable first
    benches/gpu/run.sh again suite bf16         these steps only, in a second call
    benches/gpu/run.sh again alone:ops::f16::norm,shipped memcheck:ops::f16::norm
                                                tests that failed, one at a time
    benches/gpu/run.sh --list                   their names and limits

Results go to $OUT, else to ./results: at most eight files, each up to date after every step.
steps.txt has a line a step and is printed last; log.txt has what each step said. The programs come
from the archive that `cargo xtask gpu-bundle` wrote, or from a folder that holds them.
"""
import argparse
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import steps as plan

STARTED = time.monotonic()
ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = "programs.tar.xz"
# Seconds kept back for the table, and the least that a step is started with.
TABLE_SECONDS, LEAST_SECONDS = 10, 5
# Between asking a step to end and ending it.
GRACE_SECONDS = 3
# Bytes of a step's output in the log, and of the line that stands for it.
LOG_BYTES, LINE_CHARS = 600_000, 110
ALIVE = "still running"


def environment(place):
    """What every step sees. Without a HOME nothing compiled would be kept, so all have a place."""
    caches = Path(tempfile.gettempdir()) / "offramp-caches"
    return {"OFFRAMP_TEST_DRIVER": "system", "OFFRAMP_TEST_ROOT": str(place.root),
            "PYTHONUNBUFFERED": "1", "CUDA_CACHE_PATH": str(caches / "jit"),
            "CUDA_CACHE_MAXSIZE": str(2 << 30), "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
            "TRITON_CACHE_DIR": str(caches / "triton"), **os.environ}


# ---------------------------------------------------------------- one step

@dataclasses.dataclass
class Running:
    """A step that has been started."""
    step: plan.Step
    process: subprocess.Popen
    output: Path
    start: float
    end: float

    def wait(self):
        """Its exit code; 124 where it outlasted its limit."""
        try:
            return self.process.wait(max(0.1, self.end - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGTERM)
        try:
            self.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        # What it started goes too, even where it has gone itself.
        self.signal(signal.SIGKILL)
        self.process.wait()
        return 124

    def signal(self, number):
        """To the step and all it started."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass


class Session:
    """The steps of one call, and what they leave."""

    def __init__(self, place, out, seconds):
        self.place, self.out = place, out
        self.end = STARTED + seconds - TABLE_SECONDS
        self.environment = environment(place)
        self.lines, self.beside, self.reports = [], [], {}
        out.mkdir(parents=True, exist_ok=True)
        for name in ("steps.txt", "log.txt"):
            (out / name).write_text("")

    def run(self, steps):
        """Every step; whether all went well."""
        steps, codes = list(steps), []
        while steps:
            together = [steps.pop(0)]
            while steps and together[0].group and steps[0].group == together[0].group:
                together.append(steps.pop(0))
            started = [self.start(step) for step in together]
            for running in filter(None, started):
                if running.step.until:
                    self.beside.append(running)
                else:
                    codes.append(self.finish(running))
                    codes += self.join(running.step.name)
            codes += [1] * started.count(None)
        codes += self.join(None)
        codes.append(self.table())
        return not any(codes)

    def start(self, step):
        """Starts it, unless too little time is left."""
        limit = min(step.limit, self.end - time.monotonic())
        if limit < LEAST_SECONDS and limit < step.limit:
            return self.note(step.name, "skipped", 0, "no time left")
        output = self.place.work / f"{re.sub('[^a-z0-9-]', '-', step.name)[:80]}.log"
        start = time.monotonic()
        with open(output, "wb") as file:
            process = subprocess.Popen(step.command, stdin=subprocess.DEVNULL, stdout=file,
                                       stderr=subprocess.STDOUT, cwd=self.place.root,
                                       env=self.environment, start_new_session=True)
        return Running(step, process, output, start, start + limit)

    def finish(self, running):
        """Waits for it, and keeps what it gave; its exit code."""
        code, step = running.wait(), running.step
        said = running.output.read_bytes()
        with open(self.out / "log.txt", "ab") as log:
            log.write(f"== {step.name}: {code}\n".encode() + said[-LOG_BYTES:] + b"\n")
        if step.keeps:
            (self.out / step.keeps).write_bytes(said[-LOG_BYTES * 10:])
        self.keep(step)
        seconds = round(time.monotonic() - running.start)
        self.note(step.name, f"rc {code}", seconds, last_line(said))
        return code

    def keep(self, step):
        """Puts its report beside the others of the same file."""
        if not step.report or not step.report.exists():
            return
        try:
            report = json.loads(step.report.read_text())
        except ValueError as error:
            report = {"unreadable": str(error)}
        kept = self.reports.setdefault(step.into, {})
        kept[step.name] = report
        (self.out / step.into).write_text(json.dumps(kept, indent=1) + "\n")

    def join(self, name):
        """Waits for what was started beside other steps until this one; all of it at the end."""
        due = [each for each in self.beside if name is None or each.step.until == name]
        self.beside = [each for each in self.beside if each not in due]
        return [self.finish(each) for each in due]

    def table(self):
        """Ours beside theirs, from whatever there is."""
        ours, peers = self.out / plan.OURS, self.out / plan.PEERS
        if not ours.exists():
            self.note("table", "skipped", 0, "nothing of ours was measured")
            return 0
        self.end = time.monotonic() + TABLE_SECONDS
        command = [*self.place.helper("peers/gpu_table.py"), "--ours", str(ours),
                   "--out", str(self.out / "gpu.md")]
        if peers.exists():
            command += ["--peers", str(peers)]
        return self.finish(self.start(plan.Step("table", command, limit=TABLE_SECONDS)))

    def note(self, name, code, seconds, said):
        """A line of steps.txt."""
        line = f"{name:<20} {code:<8} {seconds:>4} s  {said[:LINE_CHARS]}"
        self.lines.append(line)
        print(line, flush=True)
        (self.out / "steps.txt").write_text("\n".join(self.lines) + "\n")


def last_line(said):
    """The last line that says something."""
    lines = said.decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


# ---------------------------------------------------------------- programs

def unpacked(bundle, work):
    """The folder of the programs."""
    archive = bundle / ARCHIVE
    if not archive.exists():
        return bundle
    to = work / "bin"
    with tarfile.open(archive) as tar:
        tar.extractall(to, filter="data")
    return to


# ---------------------------------------------------------------- command line

def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("again", nargs="*", metavar="again STEP", help="only these steps")
    add("--seconds", type=float, default=560, help="for the whole call (560)")
    add("--bundle", type=Path, default=ROOT / "gpu-bundle", help="what gpu-bundle wrote")
    add("--out", type=Path, default=Path(os.environ.get("OUT") or "results"))
    add("--tiny", action="store_true", help="a rehearsal: small models, few tests")
    add("--list", action="store_true", help="print the steps, and do nothing")
    args = parser.parse_args()
    if args.again and args.again[0] != "again":
        parser.error(f"unknown verb {args.again[0]}: expected `again STEP..`")
    return args


def chosen(place, names):
    """The steps of these names, or all."""
    every = plan.steps(place)
    retried = list(filter(None, (plan.retried(place, name) for name in names)))
    unknown = set(names) - {step.name for step in every + retried}
    if unknown:
        sys.exit(f"no step {', '.join(sorted(unknown))}; there are: "
                 f"{', '.join(step.name for step in every)}")
    found = [step for step in every if not names or step.name in names] + retried
    for step in found:
        if step.until and not any(other.name == step.until for other in found):
            step.until = None
    return found


def main():
    """One call."""
    args = arguments()
    work = Path(tempfile.mkdtemp(prefix="offramp-gpu-"))
    try:
        place = plan.Place(ROOT, unpacked(args.bundle, work), work, args.tiny)
        steps = chosen(place, args.again[1:])
        if args.list:
            print("\n".join(f"{step.name:<20} {step.limit:>4} s" for step in steps))
            return
        session = Session(place, args.out.resolve(), args.seconds)
        is_well = session.run(steps)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    # Last the shortest: whoever sees only the end of this knows how it went.
    for name in ("gpu.md", "steps.txt"):
        path = session.out / name
        print("\n" + path.read_text() if path.exists() else f"\nno {name}", end="")
    for path in sorted(session.out.iterdir()):
        print(f"{path.stat().st_size:>10} {path.name}")
    sys.exit(0 if is_well else 1)


if __name__ == "__main__":
    main()
