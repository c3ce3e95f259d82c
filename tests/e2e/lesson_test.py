"""docs/write-a-quantizer.md: every listing is run, in order, and prints what the document says.

A block that begins with `-- NAME.lua` is a file; `-- NAME.lua: BASE.lua with this function` is BASE.lua with one function
replaced. A block that begins with `$` is a terminal. Its first block has no output and comes before every command. Commands that
train use a model that trains in a second, so of what they print the words are compared, not the numbers.

python3 tests/e2e/lesson_test.py writes the outputs of all other commands anew.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

import pytest

from bitloop import BIN, ROOT
from small import make_share

DOCUMENT = ROOT / "docs" / "write-a-quantizer.md"
TRAINS = re.compile(r"\bbitloop (train|compare|results)\b|work/runs/")
pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(),
                                reason="built without the trainer (BITLOOP_TRAINER=OFF)")


def blocks(text):
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)


def commands(block):
    """[(command, what it prints)]; a here-document belongs to its command."""
    found, lines = [], iter(block.splitlines(keepends=True))
    for line in lines:
        if not line.startswith("$ "):
            found[-1][1] += line
            continue
        command = line[2:]
        if here := re.search(r"<<'(\w+)'$", line):
            for line in lines:
                command += line
                if line == here[1] + "\n":
                    break
        found.append([command, ""])
    return found


def file_of(listing, folder):
    """Name and whole text of a listing that is a file."""
    name, base = re.match(r"-- (\w+\.lua)(?:: (\w+\.lua) with this function)?\n", listing).groups()
    if base is None:
        return name, listing
    body = listing.split("\n", 1)[1]
    start = re.match(r"function Q\.\w+", body)[0]
    text, times = re.subn(rf"^{re.escape(start)}\(.*?^end\n", lambda _: body, (folder / base).read_text(), flags=re.M | re.S)
    assert times == 1, f"{base} has no {start}"
    return name, text


class Reader:
    """Somebody who does what the lesson says, in a home of their own."""

    def __init__(self, home):
        self.home, self.folder, self.prologue = home, home / "lesson", ""
        (home / "bitloop").symlink_to(ROOT)
        share = make_share(home / "share")
        small = (share / "presets" / "quick.json").read_text()
        (share / "presets" / "tiny.json").write_text(small.replace('"quick"', '"tiny"'))
        self.settings = {**os.environ, "HOME": str(home), "LC_ALL": "C.UTF-8", "PATH": f"{BIN}:{os.environ['PATH']}"}
        for name in ("BITLOOP_WORKSPACE", "BITLOOP_SHARE", "BITLOOP_SUPERVISOR", "XDG_DATA_HOME"):
            self.settings.pop(name, None)
        self.share = {"BITLOOP_SHARE": str(share)}

    def type(self, command):
        command = re.sub(r"\bbitloop (check|train|compare|lua)\b", r"bitloop \1 --allow-degraded", command)
        settings = {**self.settings, **(self.share if TRAINS.search(command) else {})}
        done = subprocess.run(["bash", "-c", self.prologue + command], cwd=self.home, env=settings, text=True,
                              capture_output=True, timeout=500)
        return re.sub(r"^(ok|FAILED) in \d+ ms$", r"\1 in 1200 ms", done.stdout, flags=re.M) + done.stderr

    def block(self, language, block):
        """Does what the block says; pairs of what was printed and what should have been."""
        if language == "lua":
            name, text = file_of(block, self.folder)
            (self.folder / name).write_text(text)
            return
        assert language == "" and block.startswith("$ "), block
        if not self.prologue:
            self.prologue = "".join(command for command, _ in commands(block))
            self.type("true")
            return
        for command, shown in commands(block):
            yield command, self.type(command), shown


def test_every_listing(tmp_path):
    reader, trained = Reader(tmp_path), 0
    for block in blocks(DOCUMENT.read_text()):
        for command, printed, shown in reader.block(*block):
            if TRAINS.search(command):
                assert skeleton(printed) == skeleton(shown), command
                trained += 1
            else:
                assert digits(printed) == digits(shown), command
    assert trained > 4 and {"lsq.lua", "rows.lua"} <= {path.name for path in reader.folder.glob("*.lua")}


def digits(text):
    """Without the last digits of float32, which are the processor's."""
    return re.sub(r"(\.\d{6})\d+", r"\1", text)


def skeleton(text):
    """The words, without what another machine, another minute or a smaller model changes: numbers, bars, and the verdict of
    `compare` (the one line that is a sentence about nats)."""
    lines = [line for line in text.splitlines() if " nats " not in line]
    return [re.sub(r"[-+]?\d[\d.,e-]*", "N", re.sub(r"[█-▏%±]", "", line)).split() for line in lines]


def test_the_base_of_the_lesson_is_the_smallest_ternary(tmp_path):
    """first.lua has the codes and the scale of base.lua, as the text says."""
    reader = Reader(tmp_path)
    for block in blocks(DOCUMENT.read_text())[:6]:
        list(reader.block(*block))
    assert reader.type(f'bitloop lua first.lua -e "a, b = quantize(w), quantize(w, \'ternary\')" '
                       '-e "a.codes:equal(b.codes), a.scale:equal(b.scale)"') == "true\ttrue\n"


def test_a_changed_output_is_seen(tmp_path):
    """The test of the listings fails when the document does not say what is printed."""
    reader = Reader(tmp_path)
    list(reader.block("", "$ mkdir -p lesson && cd lesson\n"))
    pairs = list(reader.block("", "$ bitloop lua -e '1 + 1'\n3\n$ cat <<'X'\na\nX\na\n"))
    assert [(printed, shown) for _, printed, shown in pairs] == [("2\n", "3\n"), ("a\n", "a\n")]
    with pytest.raises(AssertionError):
        list(reader.block("python", "import torch\n"))
    (reader.folder / "a.lua").write_text("function Q.f(x)\n  return 1\nend\nreturn Q\n")
    assert file_of("-- b.lua: a.lua with this function\nfunction Q.f(y)\n  return 2\nend\n", reader.folder) \
        == ("b.lua", "function Q.f(y)\n  return 2\nend\nreturn Q\n")
    with pytest.raises(AssertionError):
        file_of("-- b.lua: a.lua with this function\nfunction Q.g(y)\nend\n", reader.folder)
    assert skeleton("val 1.25\n1 nats lower") == skeleton("val  2\n+3 nats higher") != skeleton("vol 2\n")


def write():
    text = DOCUMENT.read_text()
    with tempfile.TemporaryDirectory() as home:
        reader = Reader(pathlib.Path(home))
        for language, block in blocks(text):
            anew = "".join(f"$ {command}{shown if TRAINS.search(command) else printed}"
                           for command, printed, shown in reader.block(language, block))
            if anew:
                text = text.replace(f"```\n{block}```", f"```\n{anew}```")
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    sys.exit(write())
