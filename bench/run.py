#!/usr/bin/env python3
"""Measures bitloop beside its peer and prints ratios: `make bench`. Nothing here passes or fails; numbers are for reading.

All of it runs on the machine it is started on, one program at a time, in rounds (peers, ternary, float, peers, …), so that a
noisy machine disturbs all alike; each number is the median over the rounds. The peer's PyTorch is installed into
.deps/bench-venv on first use (2.2 GB to download)."""

import argparse
import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
BITLOOP = ROOT / "build/bin/bitloop"
VENV = ROOT / ".deps/bench-venv"
PEERS = [(mode, dtype, "products") for mode in ("eager", "compile") for dtype in ("float32", "bfloat16")]
PEERS += [(mode, "bfloat16", "sdpa") for mode in ("eager", "compile")]  # nanoGPT's own attention, which is slower here
QUANTIZERS = ("ternary", "float")


def say(text):
    print(text, file=sys.stderr, flush=True)


def prepare_venv():
    """The virtual environment of the peer: made once, again when bench/requirements.txt changes, renamed into place last."""
    requirements = ROOT / "bench/requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    stamp = VENV / "stamp"
    if stamp.exists() and stamp.read_text() == digest:
        return
    say("bench: installing PyTorch for the peer into .deps/bench-venv (2.2 GB to download, once)")
    python = next((p for p in ("/usr/bin/python3.11", shutil.which("python3.11")) if p and os.path.exists(p)), None)
    if not python:
        sys.exit("bench: the peer's PyTorch is pinned for Python 3.11, which this machine has not")
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "bitloop"
    shutil.rmtree(VENV, ignore_errors=True)
    pip = [VENV / "bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    install = ["install", "--no-deps", "--require-hashes", "--find-links", cache, "-r", requirements]
    for command in ([python, "-m", "venv", VENV], pip + install):
        if subprocess.run(command).returncode != 0:
            shutil.rmtree(VENV, ignore_errors=True)
            sys.exit("bench: the peer's PyTorch could not be installed; is there a network, and 6 GB of free disk?")
    stamp.write_text(digest)


def run_json(command):
    """(the JSON document a program prints, its wall time in seconds); the benchmark ends when it fails."""
    start = time.perf_counter()
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True)
    wall_s = time.perf_counter() - start
    try:
        return json.loads(done.stdout), wall_s
    except json.JSONDecodeError:
        sys.exit(f"bench: {' '.join(map(str, command))} ended with {done.returncode}: {done.stderr.strip()[-500:]}")


class Bench:
    def __init__(self, options, workspace):
        self.options, self.workspace = options, workspace
        self.flags = ["--allow-degraded"] if options.allow_degraded else []
        self.threads = json.loads((ROOT / "trainer/presets/tiny.json").read_text())["limits"]["threads"]

    def peer(self, mode, dtype, attention):
        document, _ = run_json([VENV / "bin/python", ROOT / "bench/peers/nanogpt_bitlinear.py", "--mode", mode, "--dtype", dtype,
                                "--attention", attention, "--steps", self.options.steps, "--threads", self.threads])
        return document["tokens_per_s"]

    def train(self, quantizer, preset, *more):
        document, wall_s = run_json([BITLOOP, "train", ROOT / f"quantizers/{quantizer}.lua", "--preset", preset, "--workspace",
                                     self.workspace, "--json", *self.flags, *more])
        if document["status"] != "ok":
            sys.exit(f"bench: bitloop train {quantizer}.lua ended as {document['status']}: {document['message']}")
        return document["metrics"], wall_s

    def check(self):
        return run_json([BITLOOP, "check", ROOT / "quantizers/ternary.lua", "--json", *self.flags])[1]

    def healthz(self):
        """Seconds from starting the server to its first answer on /healthz."""
        start = time.perf_counter()
        server = subprocess.Popen([str(BITLOOP), "serve", "--port", "0", "--workspace", str(self.workspace), *self.flags],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            port = int(server.stdout.readline().rsplit(":", 1)[1])
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = connection.makefile("rb").readline()
            seconds = time.perf_counter() - start
        finally:
            server.terminate()
            server.wait()
        if b" 200 " not in answer:
            sys.exit(f"bench: /healthz answered {answer!r}")
        return seconds

    def warm_check(self):
        """Seconds of a check over HTTP that finds a trainer ready."""
        workspace = self.workspace.with_name("warm")
        server = subprocess.Popen([str(BITLOOP), "serve", "--port", "0", "--workspace", str(workspace), *self.flags],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

        def post(path, body):
            request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)

        def is_ready():
            return any('"warm"' in events.read_text() for events in (workspace / "runs").glob("check-*/events.jsonl"))

        try:
            url = server.stdout.readline().split()[-1]
            session = post("/v1/sessions", {"task": "quick"})["id"]
            patience = time.monotonic() + 60
            while not is_ready():
                if time.monotonic() > patience:
                    sys.exit("bench: no trainer is ready for a check")
                time.sleep(0.05)
            time.sleep(1)  # for its rehearsal
            start = time.perf_counter()
            answer = post(f"/v1/sessions/{session}/checks", {})
            seconds = time.perf_counter() - start
        finally:
            server.terminate()
            server.wait()
        if not answer["ok"]:
            sys.exit(f"bench: the check answered {answer}")
        return seconds

    def edits(self):
        """The p99 in ms of an edit with 16 clients at once."""
        text = subprocess.run([sys.executable, ROOT / "bench/edits.py"], text=True, capture_output=True).stdout
        found = re.search(r"^edit,.*p99 +([\d.]+) ms", text, flags=re.M)
        if not found:
            sys.exit(f"bench: bench/edits.py printed {text!r}")
        return float(found[1])


def measure(options):
    """{name: list of measurements}"""
    found = {}

    def note(name, value):
        found.setdefault(name, []).append(value)

    with tempfile.TemporaryDirectory(prefix="bitloop-bench-") as folder:
        bench = Bench(options, pathlib.Path(folder) / "workspace")
        for number in range(options.rounds):
            say(f"bench: round {number + 1} of {options.rounds}")
            for mode, dtype, attention in [] if options.skip_peers else PEERS:
                name = f"peer {mode} {dtype}" + (" sdpa" if attention == "sdpa" else "")
                note(name, bench.peer(mode, dtype, attention))
            for quantizer in QUANTIZERS * 2:
                metrics, _ = bench.train(quantizer, "tiny", "--steps", options.steps)
                note(f"bitloop {quantizer}", metrics["tokens_per_s"])
            note("check s", bench.check())
            note("warm check s", bench.warm_check())
            note("healthz s", bench.healthz())
        say("bench: a whole run of quick")
        metrics, wall_s = bench.train("ternary", "quick")
        note("quick s", wall_s)
        note("quick MB", metrics["peak_memory_mb"])
        say("bench: 16 clients editing")
        note("edits p99 ms", bench.edits())
    return found


def table(found):
    """Rows (what, measured, wanted) in the order of bench/README.md."""
    middle = {name: statistics.median(values) for name, values in found.items()}
    peers = {name: value for name, value in middle.items() if name.startswith("peer")}
    ternary, floating = middle["bitloop ternary"], middle["bitloop float"]
    rows = [(f"`{name.removeprefix('peer ')}` peer, tokens/s", f"{value:,.0f}", "") for name, value in peers.items()]
    rows += [("bitloop ternary, tokens/s", f"{ternary:,.0f}", ""), ("bitloop float, tokens/s", f"{floating:,.0f}", "")]
    if peers:
        for what, among in [("best peer", peers), ("best peer with nanoGPT's attention", [name for name in peers if "sdpa" in name])]:
            best = max(among, key=peers.get)
            rows.append((f"**bitloop / {what}** ({best.removeprefix('peer ')})", f"**{ternary / peers[best]:.2f}**", "at least 2.5"))
    rows += [
        ("**ternary step / float step**", f"**{floating / ternary:.2f}**", "at most 1.15"),
        ("a `quick` test, wall", f"{middle['quick s']:.1f} s", "under 40 s"),
        ("a `quick` test, peak memory", f"{middle['quick MB']:.0f} MB", "under 1 GB"),
        ("`bitloop check`, wall", f"{middle['check s'] * 1000:.0f} ms", "under 500 ms"),
        ("check over HTTP, warm", f"{middle['warm check s'] * 1000:.0f} ms", "under 200 ms"),
        ("`bitloop serve` to the first /healthz", f"{middle['healthz s'] * 1000:.0f} ms", "under 50 ms"),
        ("an edit's p99, 16 clients at 5 a second, fsync on", f"{middle['edits p99 ms']:.1f} ms", "under 10 ms"),
    ]
    return rows


def machine():
    with open("/proc/cpuinfo") as cpuinfo:
        model = next((line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")), platform.machine())
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], text=True, capture_output=True).stdout.strip()
    return f"{model}, {os.cpu_count()} cores, commit {commit}, {time.strftime('%Y-%m-%d')}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200, help="training steps a measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip-peers", action="store_true", help="bitloop's own numbers only; no PyTorch is installed")
    parser.add_argument("--allow-degraded", action="store_true", help="passed on to bitloop")
    options = parser.parse_args()
    if not BITLOOP.exists():
        sys.exit("bench: build/bin/bitloop does not exist; run make build")
    if not options.skip_peers:
        prepare_venv()
    found = measure(options)
    print(f"{machine()}; {options.steps} steps, median of {options.rounds} rounds\n")
    print("| what | measured | wanted |\n|---|---|---|")
    for row in table(found):
        print("| " + " | ".join(row) + " |")
    print("\nAll measurements: " + json.dumps({name: [round(v, 4) for v in values] for name, values in found.items()}))


if __name__ == "__main__":
    main()
