#!/usr/bin/env bash
# Tests and times offramp on this machine's GPU. Lies in a folder that `cargo xtask gpu-bundle`
# made, beside everything it runs.
#
#   ./run.sh tests|sanitizer|bench|all
#
# Results and logs go to $OUT, else to ./results.
#   ROUNDS     turns of ours and the peers in `bench` (2)
#   GPU_ARGS   flags for ours, such as "--models minilm --rows 1,8"
#   PEER_ARGS  flags for the peers, such as "--modes eager,graph"
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
results=${OUT:-$PWD/results}
rounds=${ROUNDS:-2}
read -ra gpu_args <<<"${GPU_ARGS:-}"
read -ra peer_args <<<"${PEER_ARGS:-}"
export OFFRAMP_TEST_DRIVER=system OFFRAMP_TEST_ROOT="$here"

fail() {
    echo "run.sh: $*" >&2
    exit 1
}

# logged NAME COMMAND..: runs it, keeps what it says, and fails as it does.
logged() {
    local name=$1 log="$results/$1.log"
    shift
    echo "== $name"
    "$@" 2>&1 | tee "$log" || fail "$name failed, see $log"
}

tests() {
    logged devices "$here/bin/offramp" devices
    grep -q 'cuda:0' "$results/devices.log" || fail "no CUDA device"
    logged kernels "$here/bin/kernels"
    logged cuda "$here/bin/cuda"
    for exits in off on; do
        for device in cpu cuda; do
            logged "classify-$device-exits-$exits" classify "$device" "$exits"
        done
        logged "labels-exits-$exits" agree "$results/answers-"{cpu,cuda}"-$exits.jsonl"
    done
}

# classify DEVICE EXITS: the inputs that came with the shipped model.
classify() {
    local model="$here/weights/models/trec-questions"
    "$here/bin/offramp" classify --model "$model" --device "$1" --exits "$2" \
        --input "$model/test.jsonl" --output "$results/answers-$1-$2.jsonl"
}

# agree A B: of 200 labels at most one may differ; scores at a threshold fall either way.
agree() {
    python3 - "$@" <<'PYTHON'
import json
import sys

cpu, cuda = ([json.loads(line)["label"] for line in open(path)] for path in sys.argv[1:])
same = sum(a == b for a, b in zip(cpu, cuda))
print(f"{same} of {len(cpu)} labels equal the CPU's")
sys.exit(not cpu or len(cpu) != len(cuda) or same < 0.995 * len(cpu))
PYTHON
}

# Short tests that together launch every kernel.
sanitized_tests=(
    ops::f16::embed
    ops::f16::norm
    ops::f16::linear_sizes
    ops::wide::linear_sizes
    ops::f16::attention
    ops::f16::ramp_forms
    ops::f16::compact_sequences
    ops::f16::narrow_first_tokens
)

sanitizer() {
    local tool found
    tool=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null |
        tail -n 1) || fail "no compute-sanitizer on this machine"
    found=$("$here/bin/cuda" --list --exact "${sanitized_tests[@]}" | grep -c ': test$') || true
    [[ $found == "${#sanitized_tests[@]}" ]] ||
        fail "$found of ${#sanitized_tests[@]} tests to sanitize are in bin/cuda"
    for check in memcheck racecheck synccheck initcheck; do
        logged "sanitizer-$check" "$tool" --tool "$check" --error-exitcode 9 \
            "$here/bin/cuda" --test-threads 1 --exact "${sanitized_tests[@]}"
    done
}

bench() {
    local gpu="$here/bin/gpu" peers="$here/peers/gpu.py"
    for ((round = 1; round <= rounds; round++)); do
        logged "ours-$round" "$gpu" --bench --out "$results/ours-$round.json" "${gpu_args[@]}"
        logged "ours-bf16-$round" "$gpu" --bench --precision bf16 --parts kernels \
            --out "$results/ours-bf16-$round.json" "${gpu_args[@]}"
        logged "peers-$round" python3 "$peers" measure --out "$results/peers-$round.json" \
            "${peer_args[@]}"
    done
    logged table python3 "$peers" table --ours "$results"/ours-*.json \
        --peers "$results"/peers-*.json --out "$results/gpu.md"
}

verb=${1:-}
[[ $verb =~ ^(tests|sanitizer|bench|all)$ ]] || fail "usage: run.sh tests|sanitizer|bench|all"
mkdir -p "$results"
if [[ $verb == all ]]; then
    tests
    sanitizer
    bench
else
    "$verb"
fi
echo "== done, results in $results"
