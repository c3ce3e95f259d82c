#!/usr/bin/env python3
"""Packed decoding beside bfloat16 PyTorch: one sequence on two threads, a random GPT-2 of a billion weights (22 layers, width 2,048).
Prints a table in Markdown. bitloop and its peer take turns and each number is the best of the rounds, since other work on the
machine only ever slows down.

    bench/decoding.py [--rounds 3] [--quantizer quantizers/ternary.lua] [--python .deps/bench-venv/bin/python]"""

import argparse
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


def run_json(*command):
    done = subprocess.run(list(map(str, command)), text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"bench: {command[0]} failed:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--quantizer", type=pathlib.Path, default=ROOT / "quantizers/ternary.lua")
    parser.add_argument("--python", type=pathlib.Path, default=ROOT / ".deps/bench-venv/bin/python", help="has PyTorch (`make bench` makes it)")
    options = parser.parse_args()
    subprocess.run(["cmake", "--build", options.build, "--target", "bitloop_bench_random_packed"], check=True, stdout=sys.stderr)
    model = options.build / f"random-{options.quantizer.stem}-{options.layers}-{options.width}.safetensors"
    if not model.exists():
        subprocess.run([ROOT / "build/bin/bitloop_bench_random_packed", model, "--quantizer", options.quantizer, "--layers",
                        str(options.layers), "--width", str(options.width)], check=True)
    ours, theirs = [], []
    for _ in range(options.rounds):
        told = run_json(ROOT / "build/bin/bitloop", "generate", model, "--prompt", "Once upon a time", "--max-new-tokens", options.tokens,
                        "--temperature", "0", "--benchmark", "--json", "--allow-degraded")
        ours.append(told["speed"])
        if options.python.exists():
            theirs.append(run_json(options.python, ROOT / "bench/peers/decoding.py", "--layers", options.layers, "--width", options.width))

    size = model.stat().st_size
    speed = max(each["new_tokens"] / each["new_s"] for each in ours)
    read = max(each["weight_bytes"] * each["steps"] / each["new_s"] for each in ours)
    copy = max(each["copy_bytes_per_s"] for each in ours)
    resident = min(each["resident_bytes"] for each in ours)
    rows = [("bitloop, tokens/s", f"{speed:.2f}", ""), ("weights read", f"{read / 1e9:.2f} GB/s", ""),
            ("a measured copy, read and written", f"{copy / 1e9:.2f} GB/s", ""), ("share of it", f"{100 * read / copy:.0f}%", ""),
            ("packed file", f"{size / 1e6:.0f} MB", ""),
            ("peak memory, of it", f"{resident / 1e6:.0f} MB, {resident / size:.2f}", "1.10"),
            ("loading", f"{min(each['load_s'] for each in ours):.3f} s", f"{0.2 * size / 1e9:.3f} s (0.2 s a GB)")]
    if theirs:
        peer = max(each["tokens_per_s"] for each in theirs)
        rows += [("PyTorch bfloat16, tokens/s", f"{peer:.2f}", ""), ("**bitloop / PyTorch**", f"**{speed / peer:.2f}**", "at least 5")]
    print("| what | measured | wanted |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
