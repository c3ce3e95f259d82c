"""What the kernel says of a server: its memory, threads and descriptors; and the time the disk needs for an fsync."""

import os
import pathlib
import statistics
import subprocess
import threading
import time


def usage(pid):
    """{rss_mb, own_mb, threads, descriptors} of a process. own_mb: without files that are mapped, whose pages the kernel takes back."""
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return {"rss_mb": round(int(status["VmRSS"].split()[0]) / 1024, 1), "own_mb": round(int(status["RssAnon"].split()[0]) / 1024, 1), "threads": int(status["Threads"]),
            "descriptors": len(os.listdir(f"/proc/{pid}/fd"))}


def wait_for(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s: {what}"
        time.sleep(0.02)
    return found


def percentiles(times_ms):
    """{n, p50, p99, max} in ms."""
    ordered = sorted(times_ms)
    if not ordered:
        return {"n": 0}
    return {"n": len(ordered), "p50": round(statistics.median(ordered), 2),
            "p99": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 2), "max": round(ordered[-1], 2)}


class DiskProbe(threading.Thread):
    """What the disk itself takes, while others use it: a small file written, fsynced, renamed, and its folder fsynced, which is the
    least that a durable change of a reference costs. Once every `pause` seconds."""

    def __init__(self, folder, pause=0.25):
        super().__init__(daemon=True)
        self.folder, self.pause, self.times, self.ended = pathlib.Path(folder), pause, [], threading.Event()

    def run(self):
        while not self.ended.wait(self.pause):
            begun = time.perf_counter()
            file = os.open(self.folder / "probe.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.write(file, b"x" * 41)
            os.fsync(file)
            os.close(file)
            os.rename(self.folder / "probe.new", self.folder / "probe")
            folder = os.open(self.folder, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
            self.times.append((time.perf_counter() - begun) * 1e3)

    def stop(self):
        self.ended.set()
        self.join()
        return self.times


def description(binary):
    """The machine and the program, for a table of figures."""
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    version = subprocess.run([binary, "--version"], capture_output=True, text=True).stdout.strip()
    return {"date": time.strftime("%Y-%m-%d"), "version": version, "cpu": cpu, "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(memory / 2**20, 1), "load_before": os.getloadavg()[0]}
