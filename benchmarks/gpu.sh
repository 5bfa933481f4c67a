#!/usr/bin/env bash
# Runs every benchmark on this machine's accelerator, and large counts of narrow networks; writes
# benchmarks/results/<device>-*.json. Needs the extras gpu (or tpu) and bench.
#
#     bash benchmarks/gpu.sh [--quick]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
device=$("$python" -c 'import jax; print(jax.devices()[0].device_kind.lower().replace(" ", "-"))')
results=${OUT:-benchmarks/results}
mkdir -p "$results"
run() { "$python" "benchmarks/$1.py" "${@:2}" --json "$results/$device-$1.json" || echo "$1 failed; going on" >&2; }
run grid "$@"
run cost --counts 1 16 256 1024 4096
run study "$@"
"$python" -m studies.performance_vs_data --demo --out "$results/runs" --figures "$results/figures"
