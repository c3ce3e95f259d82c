"""Machine code in the trainer, as memory corruption could bring it, end to end: every attempt at the jail ends the test as a
violation or is refused and the run goes on; the host answers, nothing is left, and another session's result is as it was."""

import pytest

import machine
from native import GOOD, LOSS, Player, native_host

# Attempts (tests/sandbox/attempts.h) that the jail refuses and survives; each says so.
REFUSED = ["open /etc/passwd", "open /proc/1/environ", "open /proc/self/mem", "open_to_write /usr/lib/os-release",
           "open_to_write /proc/sys/kernel/core_pattern", "open_to_write /sys/fs/cgroup/cgroup.procs", "unlink /usr/lib/os-release",
           "chdir", "mknod output/nvidia0", "mknod /tmp/memory", "execve", "own_program output", "socket_inet", "socket_unix",
           "socket_vsock", "fork", "many_processes 60", "many_threads 60", "daemon", "prctl", "setrlimit", "clone3_namespace",
           "tiocsti", "leaked_descriptor 4", "environment PATH", "core_dump", "reserve 4096",
           "find_shared_memory 1", "find_semaphores 1", "find_messages 1", "find_posix_queue 1", "find_abstract_socket 1",
           "signal_process 1"]
# And those that it answers with death, already before the lock-down.
KILLED = ["ptrace", "read_memory 1", "io_uring", "memfd", "keyctl", "bpf", "userfaultfd", "perf", "unshare", "setns", "mount",
          "pivot_root", "int80", "x32"]
# What the trainer may do before the lock-down, and never after it.
KILLED_AFTER = ["open /dev/null", "write_file output/x", "thread", "kill_init", "unlink /output/weights.safetensors", "chdir",
                "mknod /tmp/memory", "execve", "socket_inet", "socket_unix", "socket_vsock", "fork", "prctl", "setrlimit",
                "clone3_namespace", "signal_process 1", "find_shared_memory 1"] + KILLED
REFUSED_AFTER = ["map_exec", "protect_exec", "map_file", "tiocsti"]


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("native")
    machine.adopt_orphans()
    with native_host(folder) as running:
        if any(layer["state"] != "active" for layer in running.get("/healthz")["sandbox"] if layer["layer"] != "cgroup"):
            pytest.skip("this machine has no complete sandbox")
        yield running
        assert running.stop() == 0


@pytest.fixture(scope="module")
def play(host):
    return Player(host)


@pytest.fixture(scope="module")
def witness(host):
    """Another session, with a result."""
    session = host.session()
    played = Player(host)
    played.session = session
    assert played("weights", "lock", "loaded", f"result {GOOD}").status == "ok"

    def what_it_is():
        row = [line for line in (host.workspace / "results.tsv").read_bytes().splitlines() if session.id.encode() in line]
        return row, session.get("/files/candidate.lua").text, session.get("/tests/1").text, session.head()

    return what_it_is


@pytest.fixture
def untouched(host, witness):
    before = machine.mounts(), machine.temporary_files(), witness()
    yield
    assert host.get("/healthz")["status"] == "ok"
    assert machine.descendants() == {host.process.pid: "bitloop"}
    assert (machine.mounts(), machine.temporary_files(), witness()) == before
    assert machine.owned_by_others(host.workspace) == set() and list(host.tmp.iterdir()) == []
    assert machine.jails_control_groups() == set()


def test_refused_attempts_leave_the_run_as_it_is(play, untouched):
    played = play.to_the_end("loaded", *(f"attempt {attempt}" for attempt in REFUSED))
    assert played.status == "ok" and float(played.row["val_loss"]) == LOSS
    said = [line.split(": ", 1) for line in played.said.splitlines()]
    assert [name for name, _ in said] == 2 * [attempt.split()[0] for attempt in REFUSED]  # the repetition tries again
    assert [name for name, outcome in said if outcome == "worked"] == []


def test_refused_attempts_after_the_lock_down(play, untouched):
    played = play("weights", "lock", "loaded", *(f"attempt {attempt}" for attempt in REFUSED_AFTER), f"result {GOOD}")
    assert played.status == "ok" and "worked" not in played.said and played.said.count("\n") == 2 * len(REFUSED_AFTER)


@pytest.mark.parametrize("attempt", KILLED)
def test_killed_in_the_jail(play, untouched, attempt):
    killed_by_seccomp(play.to_the_end("loaded", f"attempt {attempt}"))


@pytest.mark.parametrize("attempt", KILLED_AFTER)
def test_killed_after_the_lock_down(play, untouched, attempt):
    killed_by_seccomp(play("weights", "lock", "loaded", f"attempt {attempt}", f"result {GOOD}"))


def killed_by_seccomp(played):
    assert played.status == "violation" and played.verdict["jail"]["killed_by"] == "seccomp"
    assert "it made a system call that the jail forbids" in played.answer["message"]
    assert played.row["val_loss"] == "" and played.said == ""


@pytest.mark.parametrize("lines, status, killed_by", [
    (["attempt memory 600"], "out_of_memory", "memory"),
    (["attempt fill_64_mb output/big"], "violation", "file_size"),
    (["attempt write_zero"], "violation", None),
    (["attempt abort"], "violation", None),
    (["weights", "lock", "attempt abort"], "violation", None),
], ids=lambda value: "+".join(value) if isinstance(value, list) else None)
def test_what_limits_end(play, untouched, lines, status, killed_by):
    played = play.to_the_end("loaded", *lines)
    assert played.status == status and played.verdict["jail"]["killed_by"] == killed_by and played.row["val_loss"] == ""


def test_they_work_without_the_filter(tmp_path):
    """The control: in the same jail without its filter of system calls nobody is killed, and the kernel does what it is asked."""
    attempts = ["fork", "memfd", "keyctl", "userfaultfd", "unshare", "socket_inet", "chdir", "prctl", "setrlimit", "int80"]
    with native_host(tmp_path, BITLOOP_DISABLE_LAYERS="seccomp") as host:
        played = Player(host).to_the_end("loaded", *(f"attempt {attempt}" for attempt in attempts))
        assert played.status == "ok" and played.row["flags"] == "degraded"
        assert played.said.splitlines() == 2 * [f"{attempt}: worked" for attempt in attempts]
