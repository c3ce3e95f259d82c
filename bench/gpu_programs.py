"""How bench/gpu.py runs programs: each in a process group of its own, with a limit that the common deadline cuts, its output kept;
and one run of `bitloop train`, whose supervisor outlives the command that started it."""

import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import time


class Failed(Exception):
    """A row's failure in one line."""


class Done:
    def __init__(self, output, wall_s, peak_mb):
        self.output, self.wall_s, self.peak_mb = output, wall_s, peak_mb


def gpus():
    """Name and driver of each GPU that may be used."""
    if shutil.which("nvidia-smi") is None:
        return []
    said = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], text=True, capture_output=True)
    cards = said.stdout.strip().splitlines() if said.returncode == 0 else []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return cards if visible is None else cards[:len([number for number in visible.split(",") if number])]


def why(text):
    """The first line of it that tells something, no title or warning; of a Python traceback that is the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if any(line.startswith("Traceback") for line in lines):
        return lines[-1][:200]
    return next((line for line in lines if "warning" not in line.lower()), "")[:200]


class Programs:
    def __init__(self, root, logs, torch, deadline):
        self.root, self.logs, self.deadline = root, logs, deadline
        self.folders = [torch / "lib", *sorted((torch.parent / "nvidia").glob("*/lib"))]
        inherited = [value for value in [os.environ.get("LD_LIBRARY_PATH")] if value]
        self.ours = {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, [*self.folders, root / "deps", *inherited])), "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
                     "BITLOOP_BIN": str(root / "bin")}

    def left(self, limit=float("inf")):
        left = min(limit, self.deadline - time.monotonic())
        if left <= 0:
            raise Failed("no time was left for it")
        return left

    def start(self, name, words, ours=True):
        """ours: with PyTorch's libraries to be found."""
        with open(self.logs / f"{name}.out", "w") as output, open(self.logs / f"{name}.err", "w") as errors:
            try:
                return subprocess.Popen(list(map(str, words)), cwd=self.root, stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
                                        env=self.ours if ours else None, start_new_session=True)
            except OSError as error:
                raise Failed(f"{words[0]}: {error.strerror}") from None

    def run(self, name, words, limit, ours=True):
        limit, started = self.left(limit), time.monotonic()
        process = self.start(name, words, ours)
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            if time.monotonic() - started > limit:
                end_group(process.pid)
                os.wait4(process.pid, 0)
                process.returncode = -signal.SIGKILL
                raise Failed(f"it did not end within {limit:.0f} s")
            time.sleep(0.01)
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        end_group(process.pid)
        output = (self.logs / f"{name}.out").read_text(errors="replace")
        if process.returncode:
            raise Failed(why((self.logs / f"{name}.err").read_text(errors="replace")) or why(output) or f"exit code {process.returncode}")
        return Done(output, time.monotonic() - started, ended[2].ru_maxrss / 1024)

    def document(self, name, words, limit, ours=True):
        return self.json_of(self.run(name, words, limit, ours))

    def json_of(self, done):
        """What was printed, or its last line."""
        for text in (done.output, (done.output.strip().splitlines() or [""])[-1]):
            try:
                document = json.loads(text)
            except ValueError:
                continue
            if isinstance(document, dict):
                if document.get("error"):
                    raise Failed(why(str(document["error"])))
                return document
        raise Failed("it printed no JSON")


def end_group(leader):
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        pass


def processes():
    """{pid: (parent, command line)} of those that have not ended."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        state, parent = stat[stat.rindex(")") + 2:].split()[:2]
        if state not in "ZX":
            found[int(pid)] = (int(parent), words)
    return found


class Run:
    """One run of `bitloop train`, test 1 of a workspace of its own."""

    def __init__(self, programs, name, workspace, words):
        self.programs, self.name, self.workspace, self.words, self.process = programs, name, workspace, words, None

    def start(self, words=None):
        self.process = self.programs.start(self.name, ["bin/bitloop", "train", *(words or self.words), "--workspace", self.workspace, "--json", "--allow-degraded"])

    def records(self, kind):
        file = self.workspace / "runs" / "local-1" / "events.jsonl"
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        return [record for record in map(json.loads, (line for line in lines if line.endswith("\n"))) if record["type"] == kind]

    def kill(self):
        """kill -9 of the command, of the run's supervisor and of all below it; waits until they are gone, and with them the GPU's memory."""
        everything = processes()
        victims = {pid for pid, (_, words) in everything.items() if str(self.workspace).encode() in words}
        while more := {pid for pid, (parent, _) in everything.items() if parent in victims} - victims:
            victims |= more
        for pid in sorted(victims):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        until = time.monotonic() + 5
        while victims & set(processes()) and time.monotonic() < until:
            time.sleep(0.02)

    def said(self):
        """Why the command failed, as it says."""
        errors, output = ((self.programs.logs / f"{self.name}.{end}").read_text(errors="replace") for end in ("err", "out"))
        try:
            message = json.loads(output).get("message", "")
        except ValueError:
            message = output
        return why(message) or why(errors) or f"exit code {self.process.returncode}"

    def kill_after_checkpoint(self, limit):
        until = time.monotonic() + self.programs.left(limit)
        try:
            while not any(record["ok"] for record in self.records("checkpoint")):
                if self.process.poll() is not None:
                    raise Failed(self.said() if self.process.returncode else "it ended before its first checkpoint was written")
                if time.monotonic() > until:
                    raise Failed(f"there was no checkpoint within {limit:.0f} s")
                time.sleep(0.02)
            if self.process.poll() is not None:
                raise Failed("it ended before it could be killed")
        finally:
            self.kill()

    def finish(self, words, limit):
        """Waits for its end; `words`: a new command first. The document that it prints."""
        limit = self.programs.left(limit)
        if words:
            self.start(words)
        try:
            self.process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            raise Failed(f"it did not end within {limit:.0f} s") from None
        finally:
            self.kill()
        document = {}
        try:
            document = json.loads((self.programs.logs / f"{self.name}.out").read_text())
        except ValueError:
            pass
        if self.process.returncode or document.get("status") != "ok":
            raise Failed(self.said())
        return document

    def step_s(self):
        """Median seconds of its steps, without the first two."""
        took, before = [], None
        for record in self.records("step"):
            if before is not None and 0 < record["time_s"] - before["time_s"]:
                took.append(record["time_s"] - before["time_s"])
            before = record
        if len(took) < 3:
            raise Failed("it has too few steps to be timed")
        return statistics.median(took[1:])

    def missing_layers(self):
        verdict = json.loads((self.workspace / "runs" / "local-1" / "verdict.json").read_text())
        missing = [layer["layer"] for layer in verdict["jail"]["layers"] if layer["state"] != "active"]
        return f"; the jail lacked {', '.join(missing)}" if missing else ""
