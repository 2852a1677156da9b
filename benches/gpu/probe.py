"""Asks a CUDA driver what only a driver knows, by its own calls: some seconds, nothing but Python.

    python3 benches/gpu/probe.py --kernels bin/gpu --ptx kernels/ptx --out probe.json

How long contexts and the compilation of our PTX take, what each kernel then has (registers, local
memory, blocks of a multiprocessor), how long a launch takes to be seen by the host, and what some
calls answer that our code relies on. `--kernels` is the bench, which knows what launches need. The
driver is the system's, or the library that OFFRAMP_CUDA_DRIVER names.
"""
import argparse
import ctypes as C
import json
import os
import subprocess
import sys
import time
from pathlib import Path

# Attributes of a device and of a function, and flags, by cuda.h.
MULTIPROCESSORS, COMPUTE_MAJOR, COMPUTE_MINOR = 16, 75, 76
SHARED_OPTIN, SHARED_OF_SM, SHARED_RESERVED, L2_BYTES = 97, 81, 111, 38
CLOCK_KHZ, MEMORY_KHZ, BUS_BITS = 13, 36, 37
REGISTERS, LOCAL_BYTES, STATIC_SHARED, THREADS_MAX, DYNAMIC_SHARED_MAX = 4, 3, 1, 0, 8
PORTABLE_MAPPED, NON_BLOCKING, CAPTURE_THREAD_LOCAL = 3, 1, 1
BEGIN_EARLY = 6
# What a Hopper loads of each kernel, and what all others do.
HOPPER, HOPPER_TARGET, OTHER_TARGET = [9, 0], "sm_90a", "sm_80"
OUT_OF_MEMORY = 2
SHARED_WITHOUT_ASKING = 48 * 1024
LAUNCHES, GRAPH_NODES = 200, 100
PLAIN, EARLY = "launches", "early launches"
# Of a launch that the host never sees.
PATIENCE_SECONDS = 1


class Driver:
    """libcuda: a call fails with the name that the driver gives to its error."""

    def __init__(self, path):
        self.lib = C.CDLL(path)

    def __call__(self, name, *args):
        code = self.code(name, *args)
        if code:
            text = C.c_char_p()
            self.lib.cuGetErrorName(code, C.byref(text))
            raise RuntimeError(f"{name}: {code} {(text.value or b'').decode()}")

    def code(self, name, *args):
        """What a call answers."""
        return getattr(self.lib, name)(*args)

    def number(self, name, *args, kind=C.c_int):
        """The number that a call writes to its first argument."""
        value = kind()
        self(name, C.byref(value), *args)
        return value.value


class Notes:
    """What was found, and what should have been otherwise."""

    def __init__(self, out):
        self.out, self.found, self.faults = out, {}, []

    def add(self, name, value, is_fine=True):
        """One finding; the file is up to date after each."""
        self.found[name] = value
        if not is_fine:
            self.faults.append(name)
        print(f"{'' if is_fine else 'FAULT '}{name}: {value}", flush=True)
        if self.out:
            self.out.write_text(json.dumps({**self.found, "faults": self.faults}, indent=1) + "\n")

    def each(self, name, ask):
        """What `ask` finds; a call that fails is a finding too."""
        try:
            return ask()
        except (RuntimeError, AttributeError, OSError) as error:
            self.add(name, str(error), False)


def timed_ms(call):
    """How long it takes."""
    start = time.perf_counter()
    call()
    return round((time.perf_counter() - start) * 1e3, 2)


# ---------------------------------------------------------------- device and contexts

def device_facts(cu, notes):
    """The device, as far as our code asks or should ask."""
    notes.add("driver", cu.number("cuDriverGetVersion"))
    device = cu.number("cuDeviceGet", 0)
    attribute = lambda which: cu.number("cuDeviceGetAttribute", which, device)
    notes.add("compute", [attribute(COMPUTE_MAJOR), attribute(COMPUTE_MINOR)])
    notes.add("multiprocessors", attribute(MULTIPROCESSORS))
    shared = [attribute(which) for which in (SHARED_OPTIN, SHARED_OF_SM, SHARED_RESERVED)]
    notes.add("shared bytes: of a block at most, of a multiprocessor, reserved", shared)
    notes.each("clocks", lambda: notes.add("clock kHz, memory kHz, bus bits, L2 bytes", [
        attribute(which) for which in (CLOCK_KHZ, MEMORY_KHZ, BUS_BITS, L2_BYTES)]))
    return device, shared[0]


def context(cu, notes, device):
    """The primary context: made, given back, and made again."""
    raw = C.c_void_p()

    def retain():
        cu("cuDevicePrimaryCtxRetain", C.byref(raw), device)
        cu("cuCtxSetCurrent", raw)

    notes.add("context, first, ms", timed_ms(retain))
    cu("cuDevicePrimaryCtxRelease_v2", device)
    notes.add("context, again, ms", timed_ms(retain))
    notes.add("context, retained while it is there, ms", timed_ms(retain))
    cu("cuDevicePrimaryCtxRelease_v2", device)


# ---------------------------------------------------------------- kernels

class Module:
    """A PTX file and its kernels."""

    def __init__(self, cu, path, kernels):
        self.cu, self.path, self.kernels, self.raw = cu, path, kernels, None

    def load(self):
        """Compiles it, unless the driver has it from before."""
        self.raw = C.c_void_p()
        self.cu("cuModuleLoadData", C.byref(self.raw), self.path.read_bytes() + b"\0")
        for kernel in self.kernels:
            # Asking for something makes the driver load it, lazy or not.
            self.cu.number("cuFuncGetAttribute", REGISTERS, self.function(kernel["entry"]))

    def unload(self):
        """Gives it back."""
        self.cu("cuModuleUnload", self.raw)
        self.raw = None

    def function(self, entry):
        """A kernel's handle."""
        return made(self.cu, "cuModuleGetFunction", self.raw, entry.encode())


def modules(cu, notes, ptx, kernels):
    """All files in all formats, compiled and then loaded again, by name."""
    found = {}
    target = HOPPER_TARGET if notes.found["compute"] == HOPPER else OTHER_TARGET
    by_name = {}
    for elem, of_elem in kernels.items():
        for kernel in of_elem:
            by_name.setdefault(f"{kernel['file']}.{elem}", []).append(kernel)
    for name, own in sorted(by_name.items()):
        module = Module(cu, ptx / f"{name}.{target}.ptx", own)

        def load(module=module, name=name):
            notes.add(f"load {name}, ms", timed_ms(module.load))
            module.unload()
            notes.add(f"load {name} again, ms", timed_ms(module.load))
            found[name] = module
        notes.each(f"load {name}", load)
    total = lambda end: round(sum(notes.found.get(f"load {n}{end}, ms", 0) for n in found), 1)
    notes.add("load all, ms: first, again", [total(""), total(" again")])
    return found


def resources(cu, notes, name, module, optin):
    """What each kernel has once it is compiled, and whether its shared memory is granted."""
    for kernel in module.kernels:
        function, shared = module.function(kernel["entry"]), kernel["shared_bytes_max"]
        granted = min(shared, optin)
        if granted > SHARED_WITHOUT_ASKING:
            cu("cuFuncSetAttribute", function, DYNAMIC_SHARED_MAX, granted)
        attribute = lambda which: cu.number("cuFuncGetAttribute", which, function)
        # A kernel's shared memory varies where it may have more than all others: ask for none.
        asked = granted if shared < 128 * 1024 else 0
        blocks = cu.number("cuOccupancyMaxActiveBlocksPerMultiprocessor", function,
                           kernel["threads"], C.c_size_t(asked))
        value = {"registers": attribute(REGISTERS), "local bytes": attribute(LOCAL_BYTES),
                 "static shared": attribute(STATIC_SHARED), "threads": kernel["threads"],
                 "dynamic shared": shared, "blocks of a multiprocessor": blocks}
        # Where a card has less than the largest tile takes, another takes its place.
        fits = kernel["threads"] <= attribute(THREADS_MAX) and blocks > 0
        notes.add(f"{name} {kernel['entry']}", value, fits and not value["local bytes"])


# ---------------------------------------------------------------- launches

class Attribute(C.Structure):
    """`CUlaunchAttribute` with a number as its value."""
    _fields_ = [("id", C.c_uint), ("pad", C.c_char * 4), ("value", C.c_int * 16)]


class Config(C.Structure):
    """`CUlaunchConfig`"""
    _fields_ = [("shape", C.c_uint * 7), ("stream", C.c_void_p),
                ("attributes", C.POINTER(Attribute)), ("attribute_count", C.c_uint)]


class Narrow:
    """The kernel `narrow` over one row of one token, which writes its tables to mapped memory."""
    SLOT, SLOT_AT = 7, 32

    def __init__(self, cu, module):
        self.cu, self.function = cu, module.function("narrow")
        source = cu.number("cuMemAlloc_v2", C.c_size_t(256), kind=C.c_uint64)
        host, mapped = C.c_void_p(), C.c_uint64()
        cu("cuMemHostAlloc", C.byref(host), C.c_size_t(4096), PORTABLE_MAPPED)
        C.memset(host, 0, 4096)
        cu("cuMemHostGetDevicePointer_v2", C.byref(mapped), host, 0)
        # One row and one token live; offsets 0 and 1 from byte 16; the slot from byte 32.
        table = (C.c_uint32 * 16)(1, 1, 0, 0, 0, 1, 0, 0, self.SLOT)
        cu("cuMemcpyHtoD_v2", C.c_uint64(source), table, C.c_size_t(64))
        at, to = source, mapped.value
        words = [at, at + 16, at + 32, 0, 0, to, to + 64, to + 4 * self.SLOT_AT, to + 192, to + 256]
        self.words = (C.c_uint64 * len(words))(*words)
        address = C.addressof(self.words)
        self.pointers = (C.c_void_p * len(words))(*(address + 8 * i for i in range(len(words))))
        self.seen = (C.c_uint32 * 1024).from_address(host.value)

    def launch(self, stream):
        """Enqueues it."""
        self.cu("cuLaunchKernel", self.function, 1, 1, 1, 256, 1, 1, 0, stream, self.pointers, None)

    def launch_early(self, stream):
        """Enqueues it so that it may begin before the launch in front of it has ended."""
        early = Attribute(id=BEGIN_EARLY)
        early.value[0] = 1
        shape = (C.c_uint * 7)(1, 1, 1, 256, 1, 1, 0)
        config = Config(shape, stream, C.pointer(early), 1)
        self.cu("cuLaunchKernelEx", C.byref(config), self.function, self.pointers, None)

    def time_us(self, stream):
        """From the launch until the host sees what it wrote."""
        self.seen[self.SLOT_AT] = 0
        start = time.perf_counter()
        self.launch(stream)
        while self.seen[self.SLOT_AT] != self.SLOT:
            if time.perf_counter() - start > PATIENCE_SECONDS:
                raise RuntimeError("what the kernel wrote is not seen")
        return (time.perf_counter() - start) * 1e6


def made(cu, name, *args):
    """A handle."""
    found = C.c_void_p()
    cu(name, C.byref(found), *args)
    return found


def latency(cu, notes, narrow):
    """How soon the host sees, while the kernel's stream runs, what a kernel writes for it."""
    stream = made(cu, "cuStreamCreate", NON_BLOCKING)
    times = sorted(narrow.time_us(stream) for _ in range(LAUNCHES))
    cu("cuStreamSynchronize", stream)
    middle, late = (round(times[at], 1) for at in (LAUNCHES // 2, LAUNCHES * 99 // 100))
    notes.add("launch seen by the host, us: median, 99 of 100", [middle, late])


def graph(cu, notes, path, kernels, kind):
    """A graph of many launches, early ones or not; with the stream and module it is of."""
    module = Module(cu, path, kernels)
    module.load()
    narrow = Narrow(cu, module)
    stream = made(cu, "cuStreamCreate", NON_BLOCKING)
    cu("cuStreamBeginCapture_v2", stream, CAPTURE_THREAD_LOCAL)
    narrow.launch(stream)
    launch = narrow.launch_early if kind == EARLY else narrow.launch
    for _ in range(GRAPH_NODES - 1):
        launch(stream)
    recorded = C.c_void_p()
    cu("cuStreamEndCapture", stream, C.byref(recorded))
    ready = C.c_void_p()
    prepare = lambda: cu("cuGraphInstantiateWithFlags", C.byref(ready), recorded, C.c_uint64(0))
    notes.add(f"graph of {GRAPH_NODES} {kind}, prepared, ms", timed_ms(prepare))
    cu("cuGraphDestroy", recorded)

    def replay():
        cu("cuGraphLaunch", ready, stream)
        cu("cuStreamSynchronize", stream)
    for which in ("first", "second", "third"):
        notes.add(f"graph of {GRAPH_NODES} {kind}, {which}, ms", timed_ms(replay))
    return stream, module, ready


def give_back(cu, notes, stream, module, ready, kind):
    """Stream, module and graph in this order, which a driver may take ill."""
    cu("cuStreamDestroy_v2", stream)
    module.unload()
    code = cu.code("cuGraphExecDestroy", ready)
    notes.add(f"cuGraphExecDestroy behind cuModuleUnload, {kind}, 0 expected", code, code == 0)


def too_much(cu, notes):
    """Our code takes one answer to more than there can be for a lack of memory."""
    for bytes_ in (1 << 51, (1 << 64) - 1):
        address = C.c_uint64()
        code = cu.code("cuMemAlloc_v2", C.byref(address), C.c_size_t(bytes_))
        notes.add(f"cuMemAlloc of {bytes_:#x}, {OUT_OF_MEMORY} expected", code,
                  code == OUT_OF_MEMORY)


# ---------------------------------------------------------------- command line

def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", type=Path, required=True, help="the bench `gpu`")
    parser.add_argument("--ptx", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main():
    """Everything, in order."""
    args = arguments()
    notes = Notes(args.out)
    told = subprocess.run([args.kernels, "--kernels-json"], capture_output=True, check=True)
    kernels = json.loads(told.stdout)
    cu = Driver(os.environ.get("OFFRAMP_CUDA_DRIVER") or "libcuda.so.1")
    cu("cuInit", 0)
    device, optin = device_facts(cu, notes)
    context(cu, notes, device)
    loaded = modules(cu, notes, args.ptx, kernels)
    for name, module in loaded.items():
        notes.each(name, lambda: resources(cu, notes, name, module, optin))
    notes.each("memory", lambda: too_much(cu, notes))
    if "narrow.f16" in loaded:
        module = loaded["narrow.f16"]
        notes.each("latency", lambda: latency(cu, notes, Narrow(cu, module)))
        kinds = (PLAIN, EARLY) if notes.found["compute"] == HOPPER else (PLAIN,)
        timed = lambda kind: notes.each(
            f"graph of {kind}", lambda: graph(cu, notes, module.path, module.kernels, kind))
        graphs = [(timed(kind), kind) for kind in kinds]
        for made_of, kind in graphs:
            if made_of:
                notes.each(f"graph of {kind}", lambda: give_back(cu, notes, *made_of, kind))
    release = lambda: cu("cuDevicePrimaryCtxRelease_v2", device)
    notes.each("release", lambda: notes.add("context, given back, ms", timed_ms(release)))
    print(f"{len(notes.found)} findings, {len(notes.faults)} faults: {notes.faults}")
    sys.exit(1 if notes.faults else 0)


if __name__ == "__main__":
    main()
