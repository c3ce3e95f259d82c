"""What the machine may do to a server: a full disk, one that can only be read, a clock that goes back, no descriptors, no memory. After
each a clear answer, nothing lost, and work goes on by itself when the fault is gone."""

import os
import pathlib
import resource
import socket
import subprocess
import sys
import tempfile
import time

import server as under_test
from journal import Journal, fsck
from measure import wait_for

FAKETIME = pathlib.Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


class Fault:
    """A server with a session; what its clients were told was done, is checked at the end."""

    def __init__(self, folder, **more):
        self.folder = pathlib.Path(folder)
        self.workspace = self.folder / "workspace"
        self.server = under_test.Server(self.workspace, **more)
        self.session = self.server.ready_session()
        self.done, self.count = [], 0

    def edit(self):
        self.count += 1
        answer = self.session.edit(op="insert", after_line=self.session_first(), content=f"-- edit {self.count}")
        if answer.status == 200:
            self.done.append(answer["commit"])
        return answer

    def session_first(self):
        if not hasattr(self, "first"):
            self.first = self.session.region()[0] - 1
        return self.first

    def works(self):
        """An edit is accepted, and a test scored."""
        answer = self.edit()
        assert answer.status == 200, answer.text
        session = self.server.ready_session()
        ended = session.test()
        assert ended["status"] == "ok", ended.text

    def check(self):
        """What was acknowledged is there, also for the next server."""
        self.server.wait_idle()
        assert self.server.stop() == 0
        fsck(self.workspace)
        self.server.start()
        journal = Journal(self.workspace)
        journal.read()
        journal.check_acknowledged(self.session.id, self.done)
        journal.check_table()
        self.works()
        assert self.server.stop() == 0


class Disk:
    """A file system of its own, of `size_mb`, in memory; needs the right to mount."""

    def __init__(self, folder, size_mb):
        self.path = pathlib.Path(folder) / "disk"
        self.path.mkdir()
        self.size = f"size={size_mb}m"

    def mount(self):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"{self.size},mode=755", "tmpfs", self.path], check=True)

    def __enter__(self):
        self.mount()
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.path], check=True)


def full_disk():
    """Full to the last byte: 507, reads go on, a test that cannot be kept is not charged; then room, and nobody is needed."""
    with tempfile.TemporaryDirectory(prefix="bitloop-full-") as folder, Disk(folder, 24) as disk:
        fault = Fault(disk.path)
        with fault.server as server:
            for _ in range(5):
                assert fault.edit().status == 200
            fill(disk.path / "ballast")
            refused = [fault.edit() for _ in range(5)]
            for answer in refused:
                under_test.problem(answer, 507, "disk_full")
            assert fault.session.get("/files/candidate.lua").status == 200 and server.get("/healthz").status == 200
            before = fault.session.get()["tests_left"]
            under_test.problem(fault.session.post("/tests", {}), 507, "disk_full")
            assert fault.session.get()["tests_left"] == before
            (disk.path / "ballast").unlink()
            fault.works()
            # Full while a test runs: its end waits for room.
            waiting = server.ready_session()
            assert waiting.post("/tests", {}).status == 202
            fill(disk.path / "ballast")
            time.sleep(1)
            (disk.path / "ballast").unlink()
            ended = waiting.wait(1, seconds=30)
            assert ended["status"] in ("ok", "infrastructure"), ended.text
            assert ended["tests_left"] == (3 if ended["status"] == "infrastructure" else 2)
            fault.check()
    return {"refused": len(refused), "answer": "507 disk_full", "lost": 0}


def fill(path):
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                pass


class FailingDisk:
    """An ext4 file system of its own that can be made read-only as the kernel does it after an error: whoever has files open."""

    def __init__(self, folder):
        self.path, self.image = pathlib.Path(folder) / "disk", pathlib.Path(folder) / "image"
        self.path.mkdir()
        with open(self.image, "wb") as image:
            image.truncate(64 << 20)
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", self.image], check=True, stdout=subprocess.DEVNULL)

    def mount(self):
        subprocess.run(["mount", "-o", "loop", self.image, self.path], check=True)

    def fail(self):
        subprocess.run(["mount", "-o", "remount,abort", self.path], check=True)

    def unmount(self):
        subprocess.run(["umount", self.path], check=True)

    def __enter__(self):
        self.mount()
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.path], stderr=subprocess.DEVNULL)


def read_only_disk():
    """The file system fails and can only be read: changes are refused in words, reads go on, a second server says why it does not start;
    once it is mounted again, the next server has everything."""
    with tempfile.TemporaryDirectory(prefix="bitloop-read-only-") as folder, FailingDisk(folder) as disk:
        (disk.path / "w").mkdir()
        fault = Fault(disk.path / "w")
        with fault.server as server:
            assert fault.edit().status == 200
            disk.fail()
            answers = [fault.edit() for _ in range(3)]
            for answer in answers:
                assert answer.status == 500 and answer.json["code"] in ("io_error", "journal_failed"), answer.text
                assert "ead-only" in answer["detail"], answer.text
            assert fault.session.post("/tests", {}).status == 500
            assert fault.session.get()["tests_left"] == 3
            assert fault.session.get("/files/candidate.lua").status == 200
            assert server.get("/v1/results").status == 200
            assert server.stop() == 0
            refused = subprocess.run([under_test.BIN / "bitloop", "serve", "--workspace", fault.workspace, "--allow-degraded"],
                                     capture_output=True, text=True, timeout=30)
            assert refused.returncode == 3 and "ead-only" in refused.stderr and len(refused.stderr.splitlines()) == 1, refused.stderr
            disk.unmount()
            disk.mount()
            server.start()
            fault.works()
            fault.check()
    return {"refused": len(answers), "answer": f"{answers[0].status} {answers[0]['code']}", "lost": 0}


def clock_set_back():
    """A day back while the server runs, a day more before the next: the journal's times never go back, order and deadlines hold."""
    with tempfile.TemporaryDirectory(prefix="bitloop-clock-") as folder:
        offset = pathlib.Path(folder) / "offset"
        offset.write_text("+0d\n")
        fault = Fault(folder, LD_PRELOAD=str(FAKETIME), FAKETIME_TIMESTAMP_FILE=str(offset), FAKETIME_NO_CACHE="1",
                      FAKETIME_DONT_FAKE_MONOTONIC="1")
        with fault.server as server:
            fault.works()
            offset.write_text("-1d\n")
            fault.works()
            rows = server.rows()
            assert rows[-1]["time"] < rows[0]["time"], "the clock did not go back: this test proves nothing"
            running = server.ready_session()
            begun = time.monotonic()
            assert running.post("/tests", {}).status == 202
            offset.write_text("-2d\n")
            assert running.wait(1)["status"] == "ok" and time.monotonic() - begun < 30
            long_poll = server.get(f"{running.path}/tests/1?wait=1")
            assert long_poll["status"] == "ok"
            fault.check()
            for name in (fault.session.id, running.id):
                times = [int(word) for word in server.git("log", "--format=%ct", f"sessions/{name}").split()]
                assert times == sorted(times, reverse=True), "a commit is older than its parent"
    return {"set_back_days": 2, "lost": 0}


def out_of_descriptors():
    """More connections than descriptors: those that are served stay served, and the server comes back as the others go."""
    with tempfile.TemporaryDirectory(prefix="bitloop-descriptors-") as folder:
        fault = Fault(folder, files=256)
        with fault.server as server:
            assert fault.edit().status == 200
            idle = []
            for _ in range(400):
                connection = socket.socket()
                connection.settimeout(2)
                try:
                    connection.connect(("127.0.0.1", server.port))
                except OSError:
                    connection.close()
                    break
                idle.append(connection)
            assert server.process.poll() is None
            statuses = []
            for _ in range(3):
                try:
                    statuses.append(server.call("GET", "/healthz", timeout=3).status)
                except OSError:
                    statuses.append(None)  # not accepted: it waits in the kernel's queue
            assert server.process.poll() is None
            for connection in idle:
                connection.close()
            wait_for(lambda: answers(server), "no answer after the connections are gone", 30)
            fault.works()
            fault.check()
    return {"limit": 256, "connections": len(idle), "answers_meanwhile": statuses, "lost": 0}


def answers(server):
    try:
        return server.call("GET", "/healthz", timeout=3).status == 200
    except OSError:
        return False


def out_of_memory():
    """No more address space: large requests at a time fail by themselves, or the process ends and the next
    finds everything."""
    with tempfile.TemporaryDirectory(prefix="bitloop-memory-") as folder:
        fault = Fault(folder)
        with fault.server as server:
            assert fault.edit().status == 200
            seen = {}
            body = b'{"op": "insert", "path": "candidate.lua", "after_line": 13, "content": "' + b"x" * 900_000 + b'"}'
            connections = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(320)]
            time.sleep(1.0)  # each has its thread, which could not be made without memory
            resource.prlimit(server.process.pid, resource.RLIMIT_AS, (1 << 20, resource.RLIM_INFINITY))  # less than it has
            for connection in connections:
                try:
                    connection.sendall(b"POST %s/edits HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                                       % (fault.session.path.encode(), len(body), body[:-1]))
                except OSError:
                    pass
            time.sleep(0.5)  # all of them are held at the same time, each but for its last byte
            for connection in connections:
                try:
                    connection.sendall(body[-1:])
                    first = connection.recv(65536).split(b"\r\n", 1)[0].decode()
                except OSError:
                    first = "cut off"
                seen[first] = seen.get(first, 0) + 1
                connection.close()
            assert any("422" not in first for first in seen), f"memory was never short: {seen}"
            died = server.process.poll() is not None
            if died:
                server.process.wait()
                server.start()
            else:
                resource.prlimit(server.process.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            wait_for(lambda: answers(server), "no answer once there is memory again", 30)
            fault.works()
            fault.check()
    return {"answers": seen, "process_ended": died, "lost": 0}


def why_not(fault):
    """Why this machine cannot try it, or None."""
    if fault in (full_disk, read_only_disk) and os.geteuid() != 0:
        return "only root can mount a file system"
    if fault is clock_set_back and not FAKETIME.exists():
        return f"{FAKETIME} is not there: install the package libfaketime"
    return None


def run():
    figures = {}
    for fault in (full_disk, read_only_disk, clock_set_back, out_of_descriptors, out_of_memory):
        why = why_not(fault)
        if why:
            print(f"SKIPPED {fault.__name__}: {why}", file=sys.stderr)
        figures[fault.__name__] = {"skipped": why} if why else fault()
    return figures
