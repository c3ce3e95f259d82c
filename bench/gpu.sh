#!/usr/bin/env bash
# Everything that only a GPU can show, in under eight minutes on one: the kernels' and devices' tests, the products, training
# steps of GPT-2 Medium's shape, the same in compiled PyTorch. From an unpacked `make gpu-bundle`, on a machine whose python3
# has PyTorch 2.11 for CUDA 13. Prints one Markdown table; logs go to the folder that is its argument (default: a new one).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
logs=${1:-$(mktemp -d)}
mkdir -p "$logs"

torch=$(python3 -c 'import os, torch; print(os.path.dirname(torch.__file__))') ||
  { echo "gpu.sh: python3 has no PyTorch, whose libraries are needed" >&2; exit 3; }
nvidia=$(printf '%s:' "$(dirname "$torch")"/nvidia/*/lib)
export LD_LIBRARY_PATH=$torch/lib:$nvidia$PWD/deps${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} CUBLAS_WORKSPACE_CONFIG=:4096:8

row() { printf '| %s | %s |\n' "$1" "$2"; }
# field FILE NAME: a member of the JSON document that is the file's last line.
field() { python3 -c 'import json, sys; v = json.loads(open(sys.argv[1]).read().splitlines()[-1]).get(sys.argv[2]); print(f"{v:,.1f}" if isinstance(v, float) else f"{v:,}" if isinstance(v, int) else v)' "$1" "$2" 2>/dev/null || echo "failed, see $1"; }
# generated FILE: new tokens a second of `bitloop generate --benchmark --json`.
generated() { python3 -c 'import json, sys; s = json.load(open(sys.argv[1]))["speed"]; print(round(s["new_tokens"] / s["new_s"], 1))' "$1" 2>/dev/null || echo "failed, see $1"; }
tests() { timeout 120 "bin/$1" --gtest_brief=1 >"$logs/$1.log" 2>&1 && echo "passed: $(grep -c . "$logs/$1.log") lines" || echo "FAILED, see $logs/$1.log"; }
step() {  # step NAME OPTION…
  local name=$1
  shift
  timeout 90 bin/bitloop_bench_gpu --quantizers quantizers "$@" >"$logs/$name.json" 2>"$logs/$name.err"
}
peer() {
  local name=$1
  shift
  timeout 240 python3 bench/peers/nanogpt_bitlinear_gpu.py "$@" >"$logs/$name.json" 2>"$logs/$name.err"
}

echo "| what | measured |"
echo "|---|---|"
row "GPU" "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo none)"
row "tests of the kernels" "$(tests bitloop_cuda_tests)"
row "tests of devices" "$(tests bitloop_device_tests)"
step ternary --table
row "ternary, bf16, tokens/s" "$(field "$logs/ternary.json" tokens_per_s)"
row "ternary, bf16, 64 x 1024, peak memory, GB" "$(field "$logs/ternary.json" peak_memory_gb)"
step ternary_int8 --integer
row "ternary, int8 forward, tokens/s" "$(field "$logs/ternary_int8.json" tokens_per_s)"
step float --quantizer float
row "float, bf16, tokens/s" "$(field "$logs/float.json" tokens_per_s)"
step half --micro-batch 32
row "ternary, 32 x 1024, peak memory, GB" "$(field "$logs/half.json" peak_memory_gb)"
step products --products
row "product of 8,192 cubed, bf16, TFLOP/s" "$(field "$logs/products.json" square_8192)"
packed=$logs/packed.safetensors
bin/bitloop_bench_random_packed "$packed" --quantizer quantizers/ternary.lua --layers 22 --width 2048 >"$logs/packed.log" 2>&1
timeout 60 bin/bitloop generate "$packed" --prompt 'Once upon a time' --max-new-tokens 64 --temperature 0 --device cuda --benchmark \
  --json --allow-degraded >"$logs/generate.json" 2>"$logs/generate.err"
row "1.1 billion packed ternary weights, new tokens/s" "$(generated "$logs/generate.json")"
peer peer_ternary
row "peer: compiled PyTorch, ternary, tokens/s" "$(field "$logs/peer_ternary.json" tokens_per_s)"
peer peer_float --quantizer float
row "peer: compiled PyTorch, float, tokens/s" "$(field "$logs/peer_float.json" tokens_per_s)"
echo
echo "Where the time goes (ms of two micro-batches, each kernel waited for) stands in $logs/ternary.json."
