"""What an H100 should take for each cell of the bench, before anything has been measured.

    python3 benches/gpu/predict.py                the tables of kernels/LADDER.md
    python3 benches/gpu/predict.py --launches     kernels of a forward by model
    python3 benches/gpu/predict.py --window 4 1   launches before layer 1 of the tiny model, and of
                                                  it, in a process with one pass of 4 rows

A model of few numbers, each argued in LADDER.md: tiles of products come in waves over the
multiprocessors, a tile takes as long as its kernel's loop allows, memory has two speeds, and every
launch and every answer costs something by itself. Change it with the kernels, before they are
measured; what is measured stands beside it, and neither is bent to fit the other.
"""
import argparse
import dataclasses
import json
import math
import sys

TOKENS, ROWS = 128, (1, 8, 32, 128)
# BERT base.
LAYERS, WIDTH, INNER = 12, 768, 3072
# Tiles of products by tokens, outputs, and multiplications and additions a cycle of a
# multiprocessor, which their counts allow (tests/cuda/bounds.rs); convolutions have all but the
# first. Fragments from shared memory hold them to half of what tensor cores could do, and less.
# Last, microseconds that a turn begins and ends with: nothing hides them where a multiprocessor
# holds one block.
BROAD, WIDE, FEW = (128, 192, 1200.0, 1.2), (128, 128, 1024.0, 0.0), (64, 64, 680.0, 0.0)
# Passes that cut the sum over k, as kernels/src/ops/linear/cuda.rs does.
SPLIT_TOKENS, BLOCKS_WANTED, SPLITS_MAX = 256, 96, 8
BYTES = 2


@dataclasses.dataclass(frozen=True)
class Card:
    """An H100 SXM as it should behave under this load."""
    multiprocessors: int = 132
    # Cycles a microsecond, below the peak: tensor cores draw much power.
    clock: float = 1700.0
    # Bytes a microsecond from memory and from the second cache, and what that cache holds.
    memory: float = 3.0e6
    cache: float = 5.5e6
    cache_bytes: float = 40e6
    # Multiplications and additions a cycle of a multiprocessor that cuBLAS reaches over all of a
    # product: it finds tiles that leave few multiprocessors idle.
    cublas_rate: float = 1400.0
    # Microseconds between two launches of a graph where the second begins early, and what they are
    # more where it does not.
    gap: float = 0.4
    behind: float = 0.7
    # Microseconds before a kernel has its first data; what a product saves of them, as its weights
    # are on their way before it may begin; for the release and the acquisition of a sum in shares,
    # of a ramp on its way to the host, and of a pass on the host.
    start: float = 2.5
    ahead: float = 0.5
    fence: float = 0.8
    ramp_fence: float = 1.5
    # Microseconds that a product takes for a norm: moments to read, or to make of its last tiles.
    taken_norm: float = 0.3
    host: float = 30.0
    # Bytes a microsecond of an upload, and of a copy by one thread into memory for it.
    upload: float = 25e3
    staging: float = 8e3

    def moved(self, count):
        """Microseconds for so many bytes, read and written once."""
        return count / (self.cache if count < self.cache_bytes else self.memory)


H100 = Card()


# ---------------------------------------------------------------- kernels

def tiled(m, n, k, tiles):
    """By the tile that should be quickest: all multiprocessors take tiles in turns."""
    def time(tile):
        tokens, outputs, rate, ends = tile
        count = math.ceil(m / tokens) * math.ceil(n / outputs)
        turns = math.ceil(count / H100.multiprocessors)
        body = turns * tokens * outputs * k / rate / H100.clock
        return body, body + turns * ends
    return min(map(time, tiles))[1]


def product(m, n, k, is_cold=False):
    """`[m, k] x [n, k]` with its epilogue."""
    read = BYTES * (m * k + n * k + m * n)
    memory = read / H100.memory if is_cold else H100.moved(read)
    memory = max(memory, BYTES * n * k / H100.memory)
    if m > SPLIT_TOKENS:
        return max(tiled(m, n, k, (BROAD, WIDE, FEW)), memory)
    wanted = math.ceil(BLOCKS_WANTED / math.ceil(n / FEW[1]))
    shares = max(1, min(wanted, math.ceil(k / FEW[0]) // 2, SPLITS_MAX))
    time = max(tiled(m, n * shares, k / shares, (FEW,)), memory)
    return time + H100.start - H100.ahead + (H100.fence if shares > 1 else 0.0)


def attention(m):
    """Scores, softmax and mix of 12 heads."""
    return H100.start + 1.9 + H100.moved(BYTES * m * 4 * WIDTH)


def norm(m):
    """A layer norm."""
    return H100.start + H100.moved(BYTES * m * 2 * WIDTH)


def ramp(rows):
    """Pools the mean of all tokens, decides, and tells the host."""
    return H100.start + H100.ramp_fence + H100.moved(BYTES * rows * TOKENS * WIDTH)


def compact(rows):
    """Writes new tables: one block."""
    return H100.start + 1.0 + rows * TOKENS * 8 / 1e5 if rows else H100.start


PRODUCTS = {"linear qkv": (3 * WIDTH, WIDTH), "linear out": (WIDTH, WIDTH),
            "linear ffn1": (INNER, WIDTH), "linear ffn2": (WIDTH, INNER)}


# The two that the bench also times with the norms that they take over in a layer.
TAKING = {"linear ffn1 behind norm": "linear ffn1", "linear ffn2 between norms": "linear ffn2"}


def kernel_us(name, rows):
    """One kernel of a layer by itself, its operands in memory."""
    m = rows * TOKENS
    if name in TAKING:
        return kernel_us(TAKING[name], rows) + H100.taken_norm
    if name in PRODUCTS:
        return product(m, *PRODUCTS[name], is_cold=True)
    return {"attention": attention(m), "norm": norm(m), "embed": norm(m) + 1.0,
            "ramp": ramp(rows), "compact": compact(rows)}[name]


def cublas_us(m, n, k):
    """The same product by cuBLAS, without bias, activation and residual."""
    rate = H100.multiprocessors * H100.cublas_rate * H100.clock
    memory = BYTES * (m * k + n * k + m * n) / H100.memory
    return max(m * n * k / rate, memory) + H100.start


# ---------------------------------------------------------------- launches

# Kernels of a layer: four products and attention. Those of a forward besides: embeddings,
# the narrowing to first tokens, the head's dense layer, and the final exit. Of a network over
# images: pixels, a pool, and the final exit.
LAYER_LAUNCHES, ENCODER_ENDS, IMAGE_ENDS = 5, 4, 3
# Layers of the encoders, convolutions of the networks.
ENCODERS, NETWORKS = {"bert-base": LAYERS, "tiny": 3}, {"resnet50": 53, "tiny-images": 17}


def launches(model):
    """Kernels of a forward without exits."""
    if model in ENCODERS:
        return LAYER_LAUNCHES * ENCODERS[model] + ENCODER_ENDS
    return NETWORKS[model] + IMAGE_ENDS


def launches_before(model, rows):
    """Kernels that a process launches before its first pass: an engine with room for two rows makes
    a pass by itself."""
    return launches(model) if rows > 1 else 0


def layer_window(model, rows, index):
    """Launches of a process before this layer of its first pass, the embeddings first, and of the
    layer."""
    return launches_before(model, rows) + 1 + LAYER_LAUNCHES * index, LAYER_LAUNCHES


# ---------------------------------------------------------------- forwards of BERT base

def layer(rows):
    """Five kernels and their gaps; the products take the norms over."""
    m = rows * TOKENS
    products = sum(product(m, n, k) + H100.taken_norm for n, k in PRODUCTS.values())
    return products + attention(m) + LAYER_LAUNCHES * H100.gap


def exits_of(profile, rows):
    """At which exit each row leaves, as benches/gpu/profile.rs spreads them."""
    parts = [(row + 0.5) / rows for row in range(rows)]
    if profile == "uniform":
        return [int(part * LAYERS) for part in parts]
    return [min(int(-math.log2(1 - part)), LAYERS - 1) for part in parts]


def encoder_us(rows, profile, way):
    """Device time of a forward: behind the upload until the end of the last launch."""
    ends = norm(rows * TOKENS) + 1.0 + product(rows, WIDTH, WIDTH) + ramp(1)
    ends += compact(rows) + ENCODER_ENDS * H100.gap
    # The first launch of a sequence does not begin early: a sequence is what lies between two
    # ramps, and without ramps the first segment and all others.
    sequences = 2 if profile == "off" else LAYERS
    ends += sequences * H100.behind
    if profile == "off":
        return LAYERS * layer(rows) + ends
    leaving, alive, time = exits_of(profile, rows), rows, ends
    is_packed = way == "compact always"
    for index in range(LAYERS):
        if is_packed and index:
            # The host hears of a ramp one segment late: it stops a segment after the last row.
            alive = sum(exit >= index for exit in leaving)
            if not sum(exit >= index - 1 for exit in leaving):
                return time
        # Where nobody is left all blocks leave at once.
        time += layer(alive) if alive else LAYER_LAUNCHES * (H100.gap + 1.0)
        if index < LAYERS - 1:
            time += ramp(alive) + H100.gap
            time += compact(alive) + H100.gap if is_packed else 0.0
    return time


def forward_us(rows, profile, way):
    """Device time; by the engine's own judgement it is the better of both."""
    if way == "compact":
        ways = ("compact always", "compact never")
        return min(encoder_us(rows, profile, each) for each in ways)
    return encoder_us(rows, profile, way)


# ---------------------------------------------------------------- ResNet-50

# Blocks, inner width and map of each stage; the first block of all but one halves the map.
STAGES = ((3, 64, 56), (4, 128, 28), (6, 256, 14), (3, 512, 7))


def convolutions():
    """Map, inputs, outputs and side of the window of each convolution, the stem's blocks apart."""
    yield 112, 16, 64, 4
    inputs = 64
    for stage, (blocks, inner, side) in enumerate(STAGES):
        for block in range(blocks):
            before = side * 2 if block == 0 and stage else side
            yield before, inputs, inner, 1
            yield side, inner, inner, 3
            yield side, inner, 4 * inner, 1
            if block == 0:
                yield side, inputs, 4 * inner, 1
            inputs = 4 * inner


def convolution(rows, side, inputs, outputs, window):
    """A convolution: a product whose left-hand side is gathered; its sum is never cut."""
    m, k = rows * side * side, inputs * window * window
    memory = H100.moved(BYTES * (m * inputs + m * outputs + outputs * k))
    return max(tiled(m, outputs, k, (WIDE, FEW)), memory) + H100.start - H100.ahead


def images_us(rows):
    """Device time of ResNet-50: pixels, 53 convolutions, a pool, and the head."""
    pixels = 224 * 224 * 3
    time = H100.moved(rows * (pixels + 112 * 112 * 16 * BYTES)) + H100.start
    time += sum(convolution(rows, *conv) + H100.gap for conv in convolutions())
    time += H100.moved(BYTES * rows * 64 * (112 * 112 + 56 * 56)) + H100.start
    head = H100.start + H100.ramp_fence + 2048 * 1000 * BYTES / H100.cache
    return time + head + IMAGE_ENDS * H100.gap + 2 * H100.behind


def host_us(device_us, bytes_up):
    """By the host's clock: rows copied by one thread while they go over, the pass, and the rest."""
    return device_us + bytes_up / min(H100.staging, H100.upload) + H100.host


def next_us(device_us, bytes_up):
    """The same where the rows went over during the pass before, as far as that was long enough."""
    return max(device_us, bytes_up / min(H100.staging, H100.upload)) + H100.host


# ---------------------------------------------------------------- all cells

WAYS = [("off", "release"), ("uniform", "release"), ("uniform", "compact"),
        ("uniform", "compact always"), ("uniform", "compact never"), ("easy", "release"),
        ("easy", "compact"), ("easy", "compact always"), ("easy", "compact never")]
KERNELS = [*PRODUCTS, *TAKING, "attention", "norm", "embed", "ramp", "compact"]


def told(exits, way):
    """What a forward is called; alone, that without exits."""
    return exits if (exits, way) == WAYS[0] else f"{exits} {way}"


def predictions():
    """Microseconds by the keys of benches/peers/gpu_table.py, at f16."""
    found = {}
    for rows in ROWS:
        for profile, way in WAYS:
            name = f"forward {told(profile, way)}"
            device = forward_us(rows, profile, way)
            key = ("bert-base", rows, TOKENS, "f16", name)
            found[(*key, "device")] = device
            found[(*key, "host")] = host_us(device, rows * TOKENS * 8)
        for name in KERNELS:
            time = kernel_us(name, rows) + H100.gap
            found[("bert-base", rows, TOKENS, "f16", name, "device")] = time
        device, key = images_us(rows), ("resnet50", rows, 1, "f16")
        bytes_up = rows * 224 * 224 * 3
        for name, host in (("off", host_us(device, bytes_up)),
                           ("off next", next_us(device, bytes_up))):
            found[(*key, f"forward {name}", "device")] = device
            found[(*key, f"forward {name}", "host")] = host
    return found


def lines(title, header, body):
    """A table with its title, line by line."""
    yield from ["", title, "", *markdown(header, body)]


def markdown(header, body):
    """A table as GitHub reads it, line by line."""
    line = lambda cells: "| " + " | ".join(cells) + " |"
    yield from [line(header), "|---" * len(header) + "|", *map(line, body)]


def tables():
    """All predictions, with room for what is measured."""
    found = predictions()
    rows = [f"x{count}" for count in ROWS]
    cell = lambda model, tokens, name, clock, divisor, digits: [
        f"{found[(model, count, tokens, 'f16', name, clock)] / divisor:.{digits}f} /"
        for count in ROWS]
    forwards = []
    for profile, way in WAYS:
        name = told(profile, way)
        for clock in ("host", "device"):
            times = cell("bert-base", TOKENS, f"forward {name}", clock, 1e3, 2)
            forwards.append([name, clock, *times])
    yield from lines("BERT base, ms of a forward, predicted / measured:",
                     ["exits", "clock", *rows], forwards)
    images = [[name, clock, *cell("resnet50", 1, f"forward {name}", clock, 1e3, 2)]
              for name, clock in (("off", "host"), ("off", "device"), ("off next", "host"))]
    yield from lines("ResNet-50 at 224 x 224, ms, alone or with the next batch known, predicted / "
                     "measured:", ["exits", "clock", *rows], images)
    kernels = [[name, *cell("bert-base", TOKENS, name, "device", 1, 1)] for name in KERNELS]
    yield from lines("Kernels of a layer, operands from memory, us, predicted / measured:",
                     ["kernel", *rows], kernels)
    shares = [[name, *(share(found, name, count) for count in ROWS)] for name in PRODUCTS]
    # As quick as torch's, which reads and computes the same.
    shares.append(["attention", *("100% /" for _ in ROWS)])
    yield from lines("Speed as a share of cuBLAS's, or of torch's FLASH_ATTENTION, predicted / "
                     "measured:", ["kernel", *rows], shares)


def share(found, name, rows):
    """A cell of the last table."""
    ours = found[("bert-base", rows, TOKENS, "f16", name, "device")]
    theirs = cublas_us(rows * TOKENS, *PRODUCTS[name]) + H100.gap + H100.behind
    return f"{theirs / ours:.0%} /"


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launches", action="store_true",
                        help="print the kernels of a forward by model, as JSON")
    parser.add_argument("--window", type=int, nargs=2, metavar=("ROWS", "LAYER"),
                        help="print the launches before a layer of the tiny model, and of it")
    args = parser.parse_args()
    if args.launches:
        print(json.dumps({model: launches(model) for model in [*ENCODERS, *NETWORKS]}))
    elif args.window:
        print(*layer_window("tiny", *args.window))
    else:
        print("\n".join(tables()).lstrip())


if __name__ == "__main__":
    main()
