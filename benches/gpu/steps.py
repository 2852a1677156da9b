"""What is run on a machine with a GPU, in which order, and for how long at most.

Most valuable first: what comes late is what may be cut off. A step that fails or outlasts its
limit takes nothing from the others.
"""
import dataclasses
import os
import shlex
from pathlib import Path

from predict import launches_before, layer_window

# Seconds of each step, and of a step in the rehearsal.
LIMITS = {"machine": 25, "probe": 45, "warm": 130, "answers": 60, "suite": 120, "suite-tf32": 40,
          "forwards": 60, "peers-encoder": 40, "images": 55, "peers-images": 40, "kernels": 75,
          "peers-compiled": 75, "peers-kernels": 50, "ncu": 70, "sanitizer-memcheck": 75,
          "sanitizer-racecheck": 75, "sanitizer-synccheck": 75, "sanitizer-initcheck": 75,
          "bf16": 60, "tf32": 60, "serial": 20, "alone": 90, "memcheck": 120, "planted": 5,
          "table": 10}
QUICK_MODES = ("--modes", "eager,graph")
TINY_LIMIT = 3600
TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
# Where CUDA's tools are, besides PATH.
TOOL_PLACES = ("/opt/nvidia/nsight-compute/*", "/usr/local/cuda*/compute-sanitizer",
               "/usr/local/cuda*/bin")
# Files that results are kept in. With those of every call they are seven: who runs programs on
# machines of others may limit what is sent back.
OURS, PEERS, PROBE, NCU = "ours.json", "peers.json", "probe.json", "ncu.txt"

MACHINE = r"""
nvidia-smi || echo "no nvidia-smi"
nvcc --version 2>/dev/null | tail -n 2
ldd --version | head -n 1
python3 --version
python3 -c 'import torch; print("torch", torch.__version__, torch.version.cuda)'
uname -a
echo "$(nproc) processors, LD_LIBRARY_PATH=$LD_LIBRARY_PATH"
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo "no GPU"
"""
HANG = "sleep 1000 & echo the child of the hang is $!; wait"
SECTIONS = ("SpeedOfLight", "Occupancy", "WarpStateStats", "MemoryWorkloadAnalysis", "LaunchStats")
# The layer of BERT base that is looked at, and of the tiny model; launches of ResNet-50.
NCU_LAYER, NCU_TINY_LAYER, NCU_IMAGE_LAUNCHES = 6, 1, 12


@dataclasses.dataclass
class Step:
    """A command, what it writes for others to read, and when it runs."""
    name: str
    command: list
    # A JSON report that belongs into this file of results.
    report: Path = None
    into: str = None
    # Started beside what follows; the step of this name waits for it.
    until: str = None
    # Steps of one group that stand together run at the same time.
    group: str = None
    # Where its output is kept for itself, besides the log.
    keeps: str = None
    limit: int = 0


@dataclasses.dataclass
class Place:
    """Where everything is."""
    root: Path
    programs: Path
    work: Path
    tiny: bool

    def program(self, name):
        """One of those that were built elsewhere."""
        return str(self.programs / name)

    def helper(self, path):
        """A script of ours."""
        return ["python3", str(self.root / "benches" / path)]


def steps(place):
    """All steps in their order."""
    found = [*checks(place), *times(place), *looks(place), *lasts(place)]
    if os.environ.get("OFFRAMP_REHEARSAL_PLANT"):
        found[1:1] = planted()
    return limited(place, found)


def limited(place, found):
    """Each with its limit."""
    for step in found:
        step.limit = LIMITS[step.name.split(":")[0]]
        if place.tiny and step.name != "planted:hang":
            step.limit = TINY_LIMIT
    return found


def retried(place, name):
    """`alone:TEST,..` and `memcheck:TEST,..`, for a second call: what failed in the first, one test
    at a time and each launch waited for. None for other names."""
    kind, _, tests = name.partition(":")
    if kind not in ("alone", "memcheck") or not tests.strip(",") or len(tests.split()) > 1:
        return None
    tool = ""
    if kind == "memcheck":
        tool = f"tool=$({found_tool('compute-sanitizer')}) && \"$tool\" --error-exitcode 9 "
    program = shlex.quote(place.program("cuda"))
    named = shlex.join(filter(None, tests.split(",")))
    # A name that no test has would pass, with nothing run.
    command = (f"for test in {named}; do {program} --list \"$test\" | grep -q ': test$' || "
               f"{{ echo \"no test has $test in its name\"; exit 2; }}; done; "
               f"export CUDA_LAUNCH_BLOCKING=1 RUST_BACKTRACE=1; {tool}{program} "
               f"--test-threads 1 {named}")
    return limited(place, [Step(name, ["bash", "-c", command])])[0]


def planted():
    """For the rehearsal: a step that fails, and one that would never end."""
    return [Step("planted:failure", ["bash", "-c", "echo a failure was planted; exit 7"]),
            Step("planted:hang", ["bash", "-c", HANG])]


# ---------------------------------------------------------------- is it right?

def checks(place):
    """The machine, the driver, the shipped models, and all tests."""
    probe = [*place.helper("gpu/probe.py"), "--kernels", place.program("gpu"),
             "--ptx", str(place.root / "kernels/ptx"), "--out", str(place.work / PROBE)]
    answers = [*place.helper("gpu/answers.py"), "--offramp", place.program("offramp"),
               "--models", str(place.root / "tools/models"), "--work", str(place.work / "said")]
    if place.tiny:
        answers += ["--rows", "6"]
    tests = ["errors::a_device", "ops::f16::norm"] if place.tiny else []
    tf32 = ["tf32::norm"] if place.tiny else []
    warm = peers(place, "warm", "encoder,images", "--modes", "compiled", "--runs", "1")
    return [Step("machine", ["bash", "-c", MACHINE]),
            Step("probe", probe, place.work / PROBE, PROBE),
            Step("warm", ["nice", *warm], until="suite"),
            Step("answers", answers),
            Step("suite", [place.program("cuda"), *tests, "--test-threads", "8"]),
            Step("suite-tf32", [place.program("cuda_tf32"), *tf32, "--test-threads", "8"])]


# ---------------------------------------------------------------- how quick is it?

def times(place):
    """Ours beside theirs; theirs have been compiled while the tests ran."""
    return [ours(place, "forwards", "bert-base", "forwards,answers", runs=100),
            theirs(place, "peers-encoder", "encoder", *QUICK_MODES, "--runs", "100"),
            ours(place, "images", "resnet50", "forwards", runs=100),
            theirs(place, "peers-images", "images", *QUICK_MODES, "--runs", "60"),
            theirs(place, "peers-compiled", "encoder,images", "--modes", "compiled",
                   "--runs", "60"),
            ours(place, "kernels", "bert-base", "kernels", rows="8,32,128", runs=60),
            theirs(place, "peers-kernels", "gemm,attention", "--rows", "8,32,128", "--runs", "60")]


def ours(place, name, model, parts, runs, rows="", precision="f16"):
    """A part of our bench."""
    report = place.work / f"{name}.json"
    flags = ["--runs", str(runs), *(["--rows", rows] if rows else [])]
    if place.tiny:
        model, flags = "tiny-images" if name == "images" else "tiny", ["--tiny"]
    command = [place.program("gpu"), "--bench", "--models", model, "--parts", parts,
               "--precision", precision, "--out", str(report), *flags]
    return Step(name, command, report, OURS)


def peers(place, name, sections, *flags):
    """torch over one section."""
    models = [] if place.tiny else ["--models", "bert-base"]
    tiny = ["--tiny"] if place.tiny else []
    return [*place.helper("peers/gpu.py"), "--sections", sections, *models, *flags,
            *tiny, "--out", str(place.work / f"{name}.json")]


def theirs(place, name, sections, *flags):
    """A step of theirs."""
    return Step(name, peers(place, name, sections, *flags), place.work / f"{name}.json", PEERS)


# ---------------------------------------------------------------- why?

def looks(place):
    """The profiler on a layer in the middle of a forward; the sanitizer's tools together."""
    sanitized = " ".join((place.root / "benches/gpu/sanitized.txt").read_text().split())
    found = [Step("ncu", ["bash", "-c", profile(place)], keeps=NCU)]
    for tool in TOOLS:
        level = "--racecheck-detect-level error" if tool == "racecheck" else ""
        command = (f"tool=$({found_tool('compute-sanitizer')}) && \"$tool\" --tool {tool} {level} "
                   f"--error-exitcode 9 --print-limit 20 {shlex.quote(place.program('cuda'))} "
                   f"--test-threads 1 --exact {sanitized}")
        name = f"sanitizer-{tool}"
        found.append(Step(name, ["bash", "-c", command], group="sanitizer"))
    return found


def profile(place):
    """Text of all kernels of a layer at 32 rows and at one, and of the first of ResNet-50."""
    runs = [("bert-base", rows, *layer_window("bert-base", rows, NCU_LAYER)) for rows in (32, 1)]
    runs.append(("resnet50", 32, launches_before("resnet50", 32), NCU_IMAGE_LAUNCHES))
    if place.tiny:
        runs = [("tiny", 4, *layer_window("tiny", 4, NCU_TINY_LAYER))]
    sections = " ".join(f"--section {section}" for section in SECTIONS)
    program = shlex.quote(place.program("gpu"))
    lines = [f"tool=$({found_tool('ncu')}) || exit 1"]
    for model, rows, skipped, launches in runs:
        lines.append(f"\"$tool\" --clock-control none {sections} --launch-skip {skipped} "
                     f"--launch-count {launches} {program} --bench --models {model} "
                     f"--parts once --rows {rows} || failed=1")
    return "\n".join([*lines, "exit ${failed:-0}"])


def found_tool(name):
    """A shell command that prints where a tool of CUDA is, or fails."""
    places = " ".join(f"{place}/{name}" for place in TOOL_PLACES)
    return (f"command -v {name} || ls {places} 2>/dev/null | tail -n 1 | grep . "
            f"|| {{ echo 'no {name} on this machine' >&2; exit 1; }}")


def lasts(place):
    """The other storage formats; and kernels that wait for one another to end, whose report is in
    the log, as it has the names of the main one's cells."""
    serial = ours(place, "serial", "bert-base", "forwards", rows="1,8", runs=40)
    told = 'said=$("$@" 2>&1); code=$?; cat "$0"; echo "$said"; exit $code'
    serial.command = ["env", "OFFRAMP_CUDA_OVERLAP=0", "bash", "-c", told, str(serial.report),
                      *serial.command]
    serial.report = serial.into = None
    formats = [ours(place, precision, "bert-base", "forwards,kernels", rows="8,32",
                    precision=precision, runs=40) for precision in ("bf16", "tf32")]
    return [*formats, serial]
