#!/usr/bin/env bash
# Everything that only a GPU can show, in under eight minutes, as one Markdown table: bench/gpu.py says what. From an unpacked
# `make gpu-bundle`, on a machine whose python3 has PyTorch 2.11 for CUDA 13. Logs go to the folder that is its argument (default: a
# new one). Exit code: 0, 1 (a row failed), 2 (usage), 3 (no PyTorch, or the bundle is not whole).
set -euo pipefail
exec python3 -B "$(dirname "${BASH_SOURCE[0]}")/gpu.py" "$@"
