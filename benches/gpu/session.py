"""All steps of one call on a machine with a GPU, each within its limit, none stopping another.

    benches/gpu/run.sh                          every step, most valuable first
    benches/gpu/run.sh again suite bf16         these steps only, in a second call
    benches/gpu/run.sh again alone:ops::f16::norm,shipped memcheck:ops::f16::norm
                                                tests that failed, one at a time
    benches/gpu/run.sh --list                   their names and limits

Results go to $OUT, else to ./results: at most eight files, each up to date after every step. A
second call into the same folder adds to what the first one left, and replaces only the steps it
runs. steps.txt has a line a step, with a mark of the programs it ran, and is printed last; log.txt
has what each step said. SIGINT, SIGTERM and SIGHUP end the step that runs, and leave everything in
order. The programs come from the archive that `cargo xtask gpu-bundle` wrote, or from a folder that
holds them.
"""
import argparse
import dataclasses
import hashlib
import importlib.util
import json
import math
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
# Seconds of a call; in a rehearsal, whose machine may have much else to do, they are no limit.
SECONDS, TINY_SECONDS = 560, 20_000
# The least that a step is started with.
LEAST_SECONDS = 5
# Between asking a step to end and ending it.
GRACE_SECONDS = 3
# Bytes of a step's output in the log, and of the line that stands for it.
LOG_BYTES, LINE_CHARS = 600_000, 110
# Between two looks at a step that runs.
LOOK_SECONDS = 0.1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def environment(place):
    """What every step sees. Without a HOME nothing compiled would be kept, so all have a place."""
    caches = Path(tempfile.gettempdir()) / "offramp-caches"
    # Not every driver makes the folders above its own.
    (caches / "jit").mkdir(parents=True, exist_ok=True)
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

    def wait(self, interruption):
        """Its exit code; 124 where it outlasted its limit, and as shells have it where the call was
        interrupted."""
        while self.process.poll() is None:
            left = self.end - time.monotonic()
            if left <= 0 or interruption.number:
                self.stop()
                return interruption.code() or 124
            time.sleep(min(left, LOOK_SECONDS))
        # A step may end before all it has started.
        self.signal(signal.SIGKILL)
        return self.process.returncode

    def stop(self):
        """Asks it to end, and soon makes it."""
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        # What it started goes too, even where it has gone itself.
        self.signal(signal.SIGKILL)
        self.process.wait()

    def signal(self, number):
        """To the step and all it started."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass


class Interruption:
    """The first signal that asks the whole call to end. Nothing is raised, so that no step is lost
    between its start and the list of those that run."""

    def __init__(self, number=0):
        self.number = number

    def listen(self):
        """From now on."""
        for number in SIGNALS:
            # What `nohup` has turned off stays so.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self.take)

    def take(self, number, _frame):
        """Notes it."""
        self.number = self.number or number

    def code(self):
        """As shells give it; 0 where there was none."""
        return 128 + self.number if self.number else 0


class Session:
    """The steps of one call, and what they leave."""

    def __init__(self, place, out, seconds, interruption):
        self.place, self.out, self.interruption = place, out, interruption
        self.end = STARTED + seconds - plan.LIMITS["table"]
        self.environment, self.build = environment(place), build_mark(place.programs)
        # Steps that have been started and not been finished.
        self.running = []
        out.mkdir(parents=True, exist_ok=True)
        # What an earlier call has left, by step.
        self.lines = {line.split()[0]: line for line in read(out / "steps.txt").splitlines()
                      if line.strip()}
        with open(out / "log.txt", "ab") as log:
            log.write(f"==== call of {time.strftime('%F %T %Z')}, build {self.build}\n".encode())

    def run(self, steps):
        """Every step; whether all went well."""
        steps, codes = list(steps), []
        while steps:
            together = [steps.pop(0)]
            while steps and together[0].group and steps[0].group == together[0].group:
                together.append(steps.pop(0))
            started = [(step, self.start(step)) for step in together]
            for step, running in started:
                if running and step.until:
                    continue
                codes.append(self.finish(running) if running else 1)
                codes += self.join(step.name, is_over=not running)
        codes += self.join(None)
        codes.append(self.table())
        return not any(codes)

    def start(self, step):
        """Starts it, unless too little time is left; None where it does not run."""
        limit = min(step.limit, self.end - time.monotonic())
        if self.interruption.number:
            return self.note(step.name, "skipped", 0, "interrupted")
        if limit < LEAST_SECONDS and limit < step.limit:
            return self.note(step.name, "skipped", 0, "no time left")
        output = self.place.work / f"{re.sub('[^a-z0-9-]', '-', step.name)[:80]}.log"
        start = time.monotonic()
        try:
            with open(output, "wb") as file:
                process = subprocess.Popen(step.command, stdin=subprocess.DEVNULL, stdout=file,
                                           stderr=subprocess.STDOUT, cwd=self.place.root,
                                           env=self.environment, start_new_session=True)
        except OSError as error:
            # As shells say that a program cannot be run.
            return self.note(step.name, "rc 127", 0, f"cannot start: {error}")
        self.running.append(Running(step, process, output, start, start + limit))
        return self.running[-1]

    def finish(self, running):
        """Waits for it, and keeps what it gave; its exit code."""
        code, step = running.wait(self.interruption), running.step
        self.running.remove(running)
        said = running.output.read_bytes()
        with open(self.out / "log.txt", "ab") as log:
            log.write(f"== {step.name}: {code}\n".encode() + said[-LOG_BYTES:] + b"\n")
        if step.keeps:
            (self.out / step.keeps).write_bytes(said[-LOG_BYTES * 10:])
        self.keep(step)
        seconds = round(time.monotonic() - running.start)
        self.note(step.name, f"rc {code}", seconds, last_line(said))
        return code

    def stop(self):
        """Ends whatever still runs."""
        for running in self.running:
            running.stop()

    def keep(self, step):
        """Puts its report beside the others of the same file. Where it left none this time, an
        earlier one is not its report either."""
        if not step.report:
            return
        path = self.out / step.into
        kept = report(path) if path.exists() else {}
        if step.report.exists():
            kept[step.name] = {**report(step.report), "build": self.build}
        elif kept.pop(step.name, None) is None:
            return
        replace(path, json.dumps(kept, indent=1) + "\n")

    def join(self, name, is_over=False):
        """Waits for what was started beside other steps until this one; all of it at the end. Where
        this one did not run, they have lasted long enough."""
        beside = [each for each in self.running if each.step.until]
        due = [each for each in beside if name is None or each.step.until == name]
        for each in due:
            each.end = time.monotonic() if is_over else each.end
        return [self.finish(each) for each in due]

    def table(self):
        """Ours beside theirs, from whatever there is."""
        ours, peers = self.out / plan.OURS, self.out / plan.PEERS
        if not ours.exists():
            self.note("table", "skipped", 0, "nothing of ours was measured")
            return 0
        command = [*self.place.helper("peers/gpu_table.py"), "--ours", str(ours),
                   "--out", str(self.out / "gpu.md")]
        if peers.exists():
            command += ["--peers", str(peers)]
        # An interrupted call has its table too.
        self.interruption = Interruption()
        step = plan.limited(self.place, [plan.Step("table", command)])[0]
        self.end = time.monotonic() + step.limit
        running = self.start(step)
        return self.finish(running) if running else 1

    def note(self, name, code, seconds, said):
        """A line of steps.txt. What an earlier call has done does not turn into skipped."""
        line = f"{name:<20} {code:<8} {seconds:>4} s  {self.build}  {said[:LINE_CHARS]}"
        say(line)
        if code != "skipped" or name not in self.lines:
            # At the end, as the latest.
            self.lines.pop(name, None)
            self.lines[name] = line
        replace(self.out / "steps.txt", "\n".join(self.lines.values()) + "\n")


def report(path):
    """A JSON object; what is wrong with it where it is none."""
    try:
        found = json.loads(read(path))
    except ValueError as error:
        return {"unreadable": str(error)}
    return found if isinstance(found, dict) else {"unreadable": "no JSON object"}


def replace(path, text):
    """Puts a text in the place of the old one, whole at any time."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    os.replace(new, path)


def say(text):
    """Prints it, to whoever still listens: the files have it too."""
    try:
        print(text, flush=True)
    except OSError:
        pass


def last_line(said):
    """The last line that says something."""
    lines = said.decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def read(path):
    """A text; nothing where there is none."""
    return path.read_text(errors="replace") if path.exists() else ""


# ---------------------------------------------------------------- programs

def unpacked(bundle, work):
    """The folder of the programs."""
    archive = bundle / ARCHIVE
    if not archive.exists():
        if not bundle.is_dir():
            sys.exit(f"{bundle}: no such folder; `cargo xtask gpu-bundle` makes one")
        return bundle
    to = work / "bin"
    try:
        unpack(archive, to)
    except Exception as error:  # tarfile's, lzma's, the system's
        sys.exit(f"{archive}: cannot be unpacked: {' '.join(str(error).split())}")
    return to


def unpack(archive, to):
    """By Python where it was built with lzma, else by tar."""
    to.mkdir()
    if importlib.util.find_spec("_lzma") is None:
        subprocess.run(["tar", "-xf", archive, "-C", to], check=True)
        return
    with tarfile.open(archive) as tar:
        # Python has had the filter since 3.12, and in later patches of versions before.
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        tar.extractall(to, **safe)


def build_mark(programs):
    """Tells these programs from those of another build."""
    digest = hashlib.sha256()
    for path in sorted(path for path in programs.iterdir() if path.is_file()):
        digest.update(path.name.encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:8]


# ---------------------------------------------------------------- command line

def seconds(text):
    """A time that can pass."""
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text} is no time")
    return number


def folder(text):
    """A folder with a name."""
    if not text:
        raise argparse.ArgumentTypeError("it has no name")
    return Path(text)


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("again", nargs="*", metavar="again STEP", help="only these steps")
    add("--seconds", type=seconds, help="for the whole call (560; a rehearsal has more)")
    add("--bundle", type=folder, default=ROOT / "gpu-bundle", help="what gpu-bundle wrote")
    add("--out", type=folder, default=Path(os.environ.get("OUT") or "results"))
    add("--tiny", action="store_true", help="a rehearsal: small models, few tests")
    add("--list", action="store_true", help="print the steps, and do nothing")
    args = parser.parse_intermixed_args()
    if args.again and args.again[0] != "again":
        parser.error(f"unknown verb {args.again[0]}: expected `again STEP..`")
    if len(args.again) == 1:
        parser.error("again: which steps? --list prints their names")
    if args.seconds is None:
        args.seconds = TINY_SECONDS if args.tiny else SECONDS
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
    # Whatever a terminal cannot show is no reason to stop.
    sys.stdout.reconfigure(errors="replace")
    sys.stderr.reconfigure(errors="replace")
    args, interruption = arguments(), Interruption()
    interruption.listen()
    work = Path(tempfile.mkdtemp(prefix="offramp-gpu-"))
    try:
        code = call(args, work, interruption)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(code)


def call(args, work, interruption):
    """Runs the steps and shows the results; the exit code."""
    bundle, out = args.bundle.absolute(), args.out.absolute()
    place = plan.Place(ROOT, bundle, work, args.tiny)
    if args.list:
        print("\n".join(f"{step.name:<20} {step.limit:>4} s"
                        for step in chosen(place, args.again[1:])))
        return 0
    place.programs = unpacked(bundle, work)
    steps = chosen(place, args.again[1:])
    try:
        session = Session(place, out, args.seconds, interruption)
        try:
            is_well = session.run(steps)
        finally:
            session.stop()
        show(out)
    except OSError as error:
        sys.exit(f"{out}: {error}")
    return interruption.code() or (0 if is_well else 1)


def show(out):
    """Last the shortest: whoever sees only the end of this knows how it went."""
    for name in ("gpu.md", "steps.txt"):
        path = out / name
        say("\n" + path.read_text().rstrip() if path.exists() else f"\nno {name}")
    for path in sorted(out.iterdir()):
        say(f"{path.stat().st_size:>10} {path.name}")


if __name__ == "__main__":
    main()
