#!/usr/bin/python3
"""How long an edit takes over HTTP while 16 clients make 5 a second each, and how soon a server answers after its start.

  bench/edits.py [--clients 16] [--rate 5] [--seconds 10]

Each edit is a commit with fsync. Prints p50 and p99 in ms; the workspace is a temporary folder (TMPDIR chooses the disk)."""

import argparse
import http.client
import json
import pathlib
import statistics
import subprocess
import tempfile
import threading
import time

BITLOOP = pathlib.Path(__file__).resolve().parents[1] / "build" / "bin" / "bitloop"


def start(workspace):
    """The process, its port, and the ms from its start until /healthz answered."""
    begun = time.perf_counter()
    process = subprocess.Popen([BITLOOP, "serve", "--workspace", workspace, "--allow-degraded"], stdout=subprocess.PIPE, text=True)
    port = int(process.stdout.readline().rsplit(":", 1)[1])
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    return process, port, (time.perf_counter() - begun) * 1e3


def post(connection, path, body):
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    document = json.loads(answer.read())
    assert answer.status < 300, document
    return document


def client(port, number, rate, seconds, times):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    created = post(connection, "/v1/sessions", {"task": "quick", "agent": f"client {number}"})
    first = created["files"][0]["editable"][0][0]
    path = f"/v1/sessions/{created['id']}/edits"
    begin = time.perf_counter() + number / rate / 16  # spread over the interval, as independent agents are
    for i in range(int(rate * seconds)):
        time.sleep(max(0.0, begin + i / rate - time.perf_counter()))
        started = time.perf_counter()
        post(connection, path, {"op": "insert", "path": "candidate.lua", "after_line": first - 1, "content": f"-- edit {i}"})
        times.append((time.perf_counter() - started) * 1e3)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rate", type=float, default=5, help="edits a second of each client")
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bitloop-edits-") as folder:
        health = []
        for i in range(10):
            process, port, ms = start(f"{folder}/start-{i}")
            health.append(ms)
            process.terminate()
            process.wait()
        print(f"healthz after start   p50 {statistics.median(health):6.2f} ms   max {max(health):6.2f} ms")
        process, port, _ = start(f"{folder}/workspace")
        times = []
        threads = [threading.Thread(target=client, args=(port, i, options.rate, options.seconds, times))
                   for i in range(options.clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        process.terminate()
        process.wait()
        times.sort()
        print(f"edit, {options.clients} clients x {options.rate:g}/s   p50 {statistics.median(times):6.2f} ms   "
              f"p99 {times[int(len(times) * 0.99)]:6.2f} ms   max {times[-1]:6.2f} ms   ({len(times)} edits)")


if __name__ == "__main__":
    main()
