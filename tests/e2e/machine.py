"""What a run may leave behind on the machine, and the ways to see it: processes, mounts, files."""

import ctypes
import os
import pathlib

PR_SET_CHILD_SUBREAPER = 36
# What a run's folder may hold (docs/architecture.md).
RUN_FILES = {"job.json", "launch.lock", "supervisor.lock", "events.jsonl", "log.tsv", "output.txt", "supervisor.log",
             "verdict.json", "output"}
OURS = ("lua_", "pwn", "jail", "candidate", "bitloop-check")  # in names of temporary files; others work on the machine, too


def adopt_orphans():
    """From here on every descendant of this process stays one, whichever of them dies."""
    assert ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def processes():
    """{pid: (parent, state, name)} of the machine."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = pathlib.Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue
        name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
        found[int(pid)] = (int(rest[1]), rest[0], name)
    return found


def descendants(root=None, ended=False):
    """{pid: name} below `root` (default: this process), without those that ended and wait to be collected."""
    everything, root = processes(), root or os.getpid()
    found, level = {}, [root]
    while level:
        level = [pid for pid, (parent, _, _) in everything.items() if parent in level]
        found.update({pid: everything[pid][2] for pid in level if ended or everything[pid][1] not in "ZX"})
    return found


def collect_orphans(known):
    """Collects ended children that nobody else waits for. `known`: children with a Popen of their own."""
    for pid, (parent, state, _) in processes().items():
        if parent == os.getpid() and state == "Z" and pid not in known:
            os.waitpid(pid, os.WNOHANG)


def mounts():
    return pathlib.Path("/proc/self/mountinfo").read_text()


def temporary_files():
    found = set()
    for folder in ("/tmp", "/var/tmp", "/dev/shm"):
        found |= {f"{folder}/{name}" for name in os.listdir(folder) if any(word in name.lower() for word in OURS)}
    return found


def control_groups_of(pids):
    """Jails' control groups that these supervisors made."""
    names = tuple(f"bitloop-jail-{pid}-" for pid in pids)
    return {folder for folder, _, _ in os.walk("/sys/fs/cgroup") if os.path.basename(folder).startswith(names)}


def jails_control_groups():
    """Jails' control groups whose supervisor is dead."""
    names = [os.path.basename(folder) for folder, _, _ in os.walk("/sys/fs/cgroup")]
    alive = processes()
    return {name for name in names if name.startswith("bitloop-jail-") and int(name.split("-")[2]) not in alive}


def workspace_surplus(workspace):
    """Files of a workspace that should not be there."""
    workspace = pathlib.Path(workspace)
    surplus = {path.name for path in workspace.iterdir()} - {".lock", "journal.git", "results.tsv", "runs"}
    for run in (workspace / "runs").iterdir() if (workspace / "runs").exists() else ():
        if run.name.startswith("check-"):
            surplus.add(f"runs/{run.name}")
        else:
            surplus |= {f"runs/{run.name}/{path.name}" for path in run.iterdir() if path.name not in RUN_FILES}
            output = run / "output"
            surplus |= {str(path.relative_to(workspace)) for path in output.iterdir() if path.name not in ("weights.safetensors", "packed.safetensors")} \
                if output.exists() else set()
    return surplus


def owned_by_others(folder):
    """Files below `folder` that are not this user's: root's jails have another user, who is given the output for a while."""
    return {str(path) for path in pathlib.Path(folder).rglob("*") if path.lstat().st_uid != os.geteuid()}
