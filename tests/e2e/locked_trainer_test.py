"""The real trainer while it trains, seen from outside: it is as narrow as the program with which the native attempts are made."""

import os
import pathlib
import re
import signal

import pytest

from bitloop import BIN
from kill_test import host, start_and_train  # noqa: F401  (a fixture)

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(), reason="built without the trainer (BITLOOP_TRAINER=OFF)")

OWN = pathlib.Path("/proc/self")


def status(path):
    return dict(line.split(":\t", 1) for line in (path / "status").read_text().splitlines())


def test_the_real_trainer_is_locked_down(host):
    session = host.session()
    _, init, trainer = start_and_train(host, session)
    process, own = pathlib.Path(f"/proc/{trainer}"), status(OWN)
    tasks = list((process / "task").iterdir())
    assert len(tasks) > 1
    for task in tasks:  # both filters, the jail's and its own, on every thread
        seen = status(task)
        assert seen["NoNewPrivs"] == "1" and seen["Seccomp"] == "2"
        assert int(seen["Seccomp_filters"]) == int(own["Seccomp_filters"]) + 2
        assert {int(seen[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert os.geteuid() != 0 or "0" not in seen["Uid"].split()
    for name in ("user", "mnt", "pid", "net", "ipc", "uts"):
        assert os.readlink(process / "ns" / name) != os.readlink(OWN / "ns" / name), name
        assert os.readlink(process / "ns" / name) == os.readlink(f"/proc/{init}/ns/{name}"), name
    # Its descriptors: text, records, files of its own output; the job's is closed.
    opened = {int(fd.name): os.readlink(fd) for fd in (process / "fd").iterdir()}
    assert 3 not in opened or opened[3].startswith("/output/")
    for fd, target in opened.items():
        assert re.match(r"/dev/null$|pipe:|/output/", target), (fd, target)
    limits = (process / "limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits) and re.search(r"Max msgqueue size +0 +0 ", limits)
    environment = {item.split("=")[0] for item in (process / "environ").read_text().split("\0") if item}
    assert environment == {"GOMP_SPINCOUNT", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "LC_ALL", "HOME", "TMPDIR"}
    for path in ("etc/passwd", "proc/1", "sys/fs/cgroup", "dev/shm"):
        assert not (process / "root" / path).exists(), path
    os.kill(trainer, signal.SIGKILL)
    assert session.wait(1)["status"] == "infrastructure"
