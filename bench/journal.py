#!/usr/bin/env python3
"""What a large journal costs: start-up of `bitloop serve`, an edit, `bitloop doctor`, with many sessions and commits.

    bench/journal.py [--sessions 1000] [--commits 100] [--loose] [--bin build/bin]

A session is made by the server itself; the others are copies of it, written by `git fast-import` (into one pack, or unpacked into loose
objects with --loose, which takes minutes). Prints one line a measurement.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]


def serve(binary, workspace):
    """The server, its address and the seconds until it listened."""
    start = time.monotonic()
    process = subprocess.Popen([binary / "bitloop", "serve", "--workspace", workspace, "--allow-degraded", "--ready-checks", "0"],
                               stdout=subprocess.PIPE, text=True)
    url = process.stdout.readline().split()[-1]
    return process, url, time.monotonic() - start


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def stop(process):
    process.terminate()
    process.wait()


def median_edit_ms(url, session, times=20):
    taken = []
    for i in range(times):
        start = time.monotonic()
        post(f"{url}/v1/sessions/{session}/edits", {"path": "candidate.lua", "op": "insert", "after_line": 14, "content": f"-- {i}"})
        taken.append((time.monotonic() - start) * 1e3)
    return sorted(taken)[times // 2]


def stream(session_json, candidate, sessions, commits):
    """Copies for `git fast-import`: each session's first commit and its edits."""
    sequence = 10
    for number in range(sessions):
        name = f"copy-{number:04x}"
        text = json.dumps({**session_json, "id": name}, indent=1).encode()
        for i in range(commits):
            sequence += 1
            kind = "edit" if i else "session"
            message = f"Copied\n\nBitloop-Event: {kind}\nBitloop-Sequence: {sequence}\n".encode()
            changed = candidate + f"-- {number} {i}\n".encode()
            yield f"commit refs/heads/sessions/{name}\ncommitter bitloop <bitloop@localhost> {1700000000 + i} +0000\n".encode()
            yield b"data %d\n%s\n" % (len(message), message)
            for path, content in ((b"candidate.lua", changed), (b"session.json", text)) if not i else ((b"candidate.lua", changed),):
                yield b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(content), content)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--commits", type=int, default=100, help="of each session")
    parser.add_argument("--loose", action="store_true", help="a file for each object")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build" / "bin")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = pathlib.Path(folder) / "workspace"
        journal = workspace / "journal.git"
        git = lambda *words, **more: subprocess.run(["git", "-C", journal, *words], check=True, capture_output=True, **more).stdout
        process, url, seconds = serve(given.bin, workspace)
        session = post(f"{url}/v1/sessions", {"task": "quick"})["id"]
        print(f"empty: start-up {seconds:.2f} s, an edit {median_edit_ms(url, session):.1f} ms")
        stop(process)
        state = json.loads(git("show", f"sessions/{session}:session.json"))
        candidate = git("show", f"sessions/{session}:candidate.lua")
        importer = subprocess.Popen(["git", "-C", journal, "fast-import", "--quiet"], stdin=subprocess.PIPE)
        for part in stream(state, candidate, given.sessions, given.commits):
            importer.stdin.write(part)
        importer.stdin.close()
        if importer.wait() != 0:
            sys.exit("git fast-import failed")
        if given.loose:
            for pack in list((journal / "objects" / "pack").glob("*.pack")):
                outside = pathlib.Path(folder) / pack.name
                pack.rename(outside)
                pack.with_suffix(".idx").unlink()
                with outside.open("rb") as content:
                    git("unpack-objects", "-q", stdin=content)
        size = f"{given.sessions} sessions, {given.sessions * given.commits} commits, {'loose' if given.loose else 'packed'}"
        for run in range(2):
            process, url, seconds = serve(given.bin, workspace)
            print(f"{size}: start-up {seconds:.2f} s, an edit {median_edit_ms(url, session):.1f} ms", flush=True)
            stop(process)
        start = time.monotonic()
        subprocess.run([given.bin / "bitloop", "doctor", "--workspace", workspace], capture_output=True)
        print(f"{size}: bitloop doctor {time.monotonic() - start:.1f} s")


main()
