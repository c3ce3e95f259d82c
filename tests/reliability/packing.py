"""A large journal, packed in the background: start-up, an edit while it is packed and after, and what kill -9 leaves of it."""

import json
import pathlib
import subprocess
import tempfile
import time

import server as under_test
from journal import fsck, git, size_mb
from measure import percentiles, wait_for

EDITS = 300
START_S = 1.0  # of a server on the large journal, asked
EDIT_MS = 2.0  # over an edit's with an empty journal


def copies(state, candidate, sessions, commits):
    """For `git fast-import`: sessions that are copies of one, each with `commits` commits."""
    sequence = 100
    for number in range(sessions):
        name = f"copy-{number:04x}"
        text = json.dumps({**state, "id": name}, indent=1).encode()
        for i in range(commits):
            sequence += 1
            message = f"Copied\n\nBitloop-Event: {'edit' if i else 'session'}\nBitloop-Sequence: {sequence}\n".encode()
            yield (b"commit refs/heads/sessions/%s\ncommitter bitloop <bitloop@localhost> %d +0000\ndata %d\n%s\n"
                   % (name.encode(), 1700000000 + i, len(message), message))
            for path, content in ((b"candidate.lua", candidate + b"-- %d %d\n" % (number, i)), (b"session.json", text)):
                yield b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(content), content)


def fill(workspace, session, sessions, commits):
    """Adds the copies to the journal, as loose objects: as events leave them."""
    path = workspace / "journal.git"
    state = json.loads(git(workspace, "show", f"sessions/{session}:session.json"))
    candidate = git(workspace, "show", f"sessions/{session}:candidate.lua").encode()
    words = ["git", "-C", path, "-c", "fastimport.unpackLimit=1000000000", "-c", "core.fsync=none", "fast-import", "--quiet"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as importer:
        for part in copies(state, candidate, sessions, commits):
            importer.stdin.write(part)
    assert importer.returncode == 0


def loose(workspace):
    words = git(workspace, "count-objects", "-v").split()
    return int(words[words.index("count:") + 1])


def edits(session, until=lambda: False, most=EDITS):
    """How long edits take, ten a second, until there are so many or `until`."""
    first, times = session.region()[0] - 1, []
    while len(times) < most and not until():
        begun = time.perf_counter()
        answer = session.edit(op="insert", after_line=first, content=f"-- {len(times)}")
        assert answer.status == 200, answer.text
        times.append((time.perf_counter() - begun) * 1e3)
        time.sleep(max(0.0, 0.1 - (time.perf_counter() - begun)))
    return times


def run(sessions=1000, commits=100, most_edits=EDITS):
    with tempfile.TemporaryDirectory(prefix="bitloop-packing-") as folder:
        workspace = pathlib.Path(folder) / "workspace"
        with under_test.Server(workspace, options=("--pack-after", "0")) as server:
            session = server.session()
            alone = edits(session, most=most_edits)
            assert server.stop() == 0
            fill(workspace, session.id, sessions, commits)
            figures = {"sessions": sessions, "commits": sessions * commits, "loose_before": loose(workspace),
                       "loose_mb": size_mb(workspace / "journal.git")}
            server.options = ("--pack-after", "1000")
            begun = time.monotonic()
            server.start()
            figures["start_s"] = round(time.monotonic() - begun, 3)
            packs = workspace / "journal.git" / "objects" / "pack"
            done = lambda: loose(workspace) < 1000
            beside = edits(session, done, most_edits)
            # Killed while it packs, if it still does, and again from there.
            server.kill()
            fsck(workspace)
            server.start()
            wait_for(done, "the journal is not packed", 600)
            after = edits(session, most=most_edits)
            assert server.stop() == 0
            begun = time.monotonic()
            server.start()
            figures["start_packed_s"] = round(time.monotonic() - begun, 3)
            assert server.stop() == 0
            fsck(workspace)
            assert len(git(workspace, "rev-list", "--all").split()) >= sessions * commits
            figures.update(packs=len(list(packs.glob("*.pack"))), loose_after=loose(workspace), packed_mb=size_mb(workspace / "journal.git"),
                           edits_ms={"empty_journal": percentiles(alone), "while_packing": percentiles(beside), "packed": percentiles(after)})
            assert list((workspace / "journal.git").glob("pack-new*")) == []
    if sessions >= 1000:
        check_times(figures)
    return figures


def check_times(figures):
    """A large journal slows neither a start nor an edit (a median, on a machine with nothing else to do)."""
    starts = max(figures["start_s"], figures["start_packed_s"])
    empty, packed = (figures["edits_ms"][when]["median"] for when in ("empty_journal", "packed"))
    if starts >= START_S or packed >= empty + EDIT_MS:
        error = AssertionError(f"a start took {starts} s (asked: under {START_S}), an edit {packed} ms where it takes {empty} with an empty journal")
        error.figures = figures
        raise error
