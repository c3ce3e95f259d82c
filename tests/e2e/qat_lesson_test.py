"""docs/qat.md and docs/nativebit.md: every listing is run, in order, with models that train in a second for 6 steps, so of what
commands print the words are compared, not the numbers.

A block that begins with `$` is a terminal; a document's first such block has no output and comes before every command."""

import json
import os
import re
import subprocess

import pytest

from bitloop import BIN, ROOT
from lesson_test import blocks, commands, skeleton
from small import SHARE, make_share

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(),
                                reason="built without the trainer (BITLOOP_TRAINER=OFF)")

STEPS = 6
JAILED = re.compile(r"\bbitloop (check|train|quantize|pack|generate|eval|export)\b")


class Reader:
    """Somebody who does what the lesson says, in a home of their own, where models are small."""

    def __init__(self, home):
        self.home, self.prologue = home, ""
        (home / "bitloop").symlink_to(ROOT)
        share = make_share(home / "share")
        (share / "data" / "gpt2-bpe").symlink_to(SHARE / "data" / "gpt2-bpe")
        quick = json.loads((share / "presets" / "quick.json").read_text())["model"]
        llama = {"layers": 1, "heads": 2, "kv_heads": 1, "width": 64, "ffn_width": 96}
        for name, size in [("tiny-llama", llama), ("tiny-llama-qat", llama), ("tiny-llama-nativebit", llama), ("quick-qat", quick)]:
            path = share / "presets" / f"{name}.json"
            preset = json.loads(path.read_text())
            preset["model"].update(size)
            preset["train"].update(steps=STEPS, warmup_iters=2)
            preset["eval"].update(every=3, batches=2, log_every=2)
            if "qat" in preset:
                preset["qat"].update(every=1)
            path.write_text(json.dumps(preset))
        self.settings = {**os.environ, "HOME": str(home), "LC_ALL": "C.UTF-8", "PATH": f"{BIN}:{os.environ['PATH']}", "BITLOOP_SHARE": str(share)}
        for name in ("BITLOOP_WORKSPACE", "BITLOOP_SUPERVISOR", "XDG_DATA_HOME"):
            self.settings.pop(name, None)

    def type(self, command):
        command = re.sub(r"--steps \d+", f"--steps {STEPS}", command)
        command = JAILED.sub(r"bitloop \1 --allow-degraded", command)
        done = subprocess.run(["bash", "-c", self.prologue + command], cwd=self.home, env=self.settings, text=True,
                              capture_output=True, timeout=500)
        return done.stdout + done.stderr

    def block(self, block):
        """Pairs of what was printed and what should have been."""
        if not self.prologue:
            self.prologue = "".join(command for command, _ in commands(block))
            self.type("true")
            return
        for command, shown in commands(block):
            yield command, self.type(command), shown


def words(command, text):
    """What a model says is its own; of the rest, the words without the numbers."""
    if "bitloop generate" in command:
        return bool(text.strip())
    return skeleton(text)


@pytest.mark.parametrize("name", ["qat", "nativebit"])
def test_every_listing(tmp_path, name):
    reader, typed = Reader(tmp_path), 0
    for language, block in blocks((ROOT / "docs" / f"{name}.md").read_text()):
        if language != "" or not block.startswith("$ "):
            continue
        for command, printed, shown in reader.block(block):
            assert words(command, printed) == words(command, shown), f"{command}\n{printed}"
            typed += 1
    assert typed >= 6


def test_a_listing_that_prints_something_else_is_seen(tmp_path):
    reader = Reader(tmp_path)
    assert list(reader.block("$ cd bitloop\n")) == []
    ((_, printed, shown),) = reader.block("$ bitloop quantize nowhere quantizers/ternary.lua\nmodel how\n")
    assert words("bitloop quantize", printed) != words("bitloop quantize", shown)
    assert "is not there" in printed
