"""The command line (design, section 6): what is printed where, and the exit codes."""

import json
import os
import pty
import re
import signal
import subprocess
import time

import pytest

from bitloop import BIN, FAKE, ROOT

TERNARY = ROOT / "quantizers" / "ternary.lua"


@pytest.fixture
def bitloop(tmp_path):
    def run(*words, **environment):
        settings = {**os.environ, "BITLOOP_SUPERVISOR": FAKE, "BITLOOP_WORKSPACE": str(tmp_path / "workspace"), **environment}
        return subprocess.run([BIN / "bitloop", *map(str, words)], capture_output=True, text=True, env=settings, cwd=tmp_path,
                              timeout=120)
    return run


@pytest.fixture
def candidate(tmp_path):
    def write(words):
        path = tmp_path / "idea.lua"
        path.write_text(f"-- {words}\n" + TERNARY.read_text())
        return path
    return write


def one_sentence(text):
    assert text.startswith("bitloop: ") and text.count("\n") == 1
    return text


def leftovers(tmp_path):
    return [path.name for path in (tmp_path / "tmp").iterdir() if path.name.startswith("bitloop-check-")]


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_check_that_is_killed_leaves_no_folder(bitloop, candidate, tmp_path, signal_):
    """SIGKILL cannot be caught: what it leaves, the next check removes, once the run in it has ended."""
    (tmp_path / "tmp").mkdir()
    settings = {**os.environ, "BITLOOP_SUPERVISOR": FAKE, "TMPDIR": str(tmp_path / "tmp")}
    check = subprocess.Popen([BIN / "bitloop", "check", candidate("FAKE_SLEEP=1.5"), "--allow-degraded"], env=settings,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    runs = lambda: list((tmp_path / "tmp").glob("bitloop-check-*/events.jsonl"))
    while not runs():
        time.sleep(0.01)
    check.send_signal(signal_)
    assert check.wait(timeout=30) == -signal_
    if signal_ == signal.SIGKILL:
        run = runs()[0].parent
        while not (run / "verdict.json").exists():
            assert leftovers(tmp_path) == [run.name]
            time.sleep(0.05)
        deadline = time.time() + 60
        while leftovers(tmp_path) and time.time() < deadline:  # the supervisor may still be about to end
            assert bitloop("check", candidate(""), "--allow-degraded", TMPDIR=str(tmp_path / "tmp")).returncode == 0
    assert leftovers(tmp_path) == []


def test_version_is_that_of_the_project(bitloop):
    version = re.search(r"project\(bitloop VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
    done = bitloop("--version")
    assert done.returncode == 0 and done.stdout.startswith(f"bitloop {version} ")


def test_help_lists_the_commands(bitloop):
    done = bitloop("--help")
    assert done.returncode == 0
    for command in ("serve", "mcp", "check", "train", "baseline", "compare", "lua", "results", "demo"):
        assert re.search(rf"^  {command} ", done.stdout, re.M)
        assert bitloop(command, "--help").returncode == 0
    assert "supervise" not in done.stdout


@pytest.mark.parametrize("words", [
    [], ["fly"], ["check"], ["check", "nowhere.lua"], ["check", TERNARY, "--preset", "nope"], ["serve", "--port", "99999"],
    ["train", TERNARY, "--set", "train.steps"], ["train", TERNARY, "--set", "train.nope=1"], ["train", TERNARY, "--steps", "0"],
    ["train", TERNARY, "--set", "train.learning_rate=fast"], ["results", "--format", "xml"],
])
def test_wrong_usage(bitloop, words):
    done = bitloop(*words)
    assert done.returncode == 2 and done.stdout == ""
    one_sentence(done.stderr)


@pytest.mark.parametrize("command", ["check", "train"])
def test_a_file_that_is_not_text(bitloop, tmp_path, command):
    (tmp_path / "binary.lua").write_bytes(b"return \xff\xfe\0")
    done = bitloop(command, tmp_path / "binary.lua", "--allow-degraded")
    assert done.returncode == 2 and done.stdout == ""
    assert "binary.lua" in one_sentence(done.stderr)


def test_check(bitloop, candidate):
    done = bitloop("check", TERNARY, "--allow-degraded", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 0 and {"ok", "findings", "bits_per_weight", "ms"} <= set(document) and document["ok"]
    assert bitloop("check", TERNARY, "--allow-degraded").stdout.startswith("ok     levels ")
    bad = bitloop("check", candidate("FAKE_STATUS=rejected"), "--allow-degraded", "--json")
    assert bad.returncode == 1 and json.loads(bad.stdout)["ok"] is False
    assert "rejected" in one_sentence(bad.stderr)
    broken = bitloop("check", candidate("FAKE_DIE"), "--allow-degraded", "--json")
    assert broken.returncode == 3 and broken.stdout == ""
    one_sentence(broken.stderr)


def test_train_makes_a_row(bitloop, candidate):
    done = bitloop("train", TERNARY, "--allow-degraded", "--json", "--seed", "7", "--steps", "20", "--eval-every", "10",
                   "--set", "train.learning_rate=0.003", "--description", "mine")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["status"] == "ok" and document["metrics"]["val_loss"] == 2.3178
    assert document["message"].startswith("### train (quick)\n")
    assert "step=20" in document["message"]
    failed = bitloop("train", candidate("FAKE_STATUS=diverged"), "--allow-degraded")
    assert failed.returncode == 1 and "[FAILED diverged]" in failed.stdout
    assert "diverged" in one_sentence(failed.stderr)
    rows = json.loads(bitloop("results", "--json").stdout)["results"]
    assert [(row["session"], row["type"], row["test"], row["quantizer"], row["seed"], row["status"], row["description"])
            for row in rows] == [("local", "local", 1, "ternary", 7, "ok", "mine"),
                                 ("local", "local", 2, "idea", 42, "diverged", "from the fake")]


def test_train_without_a_terminal_prints_plain_lines(bitloop):
    done = bitloop("train", TERNARY, "--allow-degraded")
    assert re.search(r"^step 400/400  loss 2\.5000  27,000 tokens/s  quant=\[-1:0\.30 0:0\.40 \+1:0\.30\]$", done.stdout, re.M)
    assert "\x1b" not in done.stdout and "\r" not in done.stdout


@pytest.mark.parametrize("no_color", [False, True])
def test_train_on_a_terminal_draws_a_bar(tmp_path, no_color):
    environment = {**os.environ, "BITLOOP_SUPERVISOR": FAKE, "BITLOOP_WORKSPACE": str(tmp_path / "w"), "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    if no_color:
        environment["NO_COLOR"] = "1"
    leader, follower = pty.openpty()
    process = subprocess.Popen([BIN / "bitloop", "train", str(TERNARY), "--allow-degraded"], stdout=follower, stderr=follower,
                               env=environment)
    os.close(follower)
    shown = b""
    try:
        while chunk := os.read(leader, 4096):
            shown += chunk
    except OSError:
        pass  # the program has ended
    assert process.wait(30) == 0
    assert b"[########################]" in shown and b"step 400/400" in shown
    assert (b"\x1b[32m" in shown) != no_color


def test_results_of_an_empty_workspace(bitloop):
    assert json.loads(bitloop("results", "--json").stdout) == {"results": []}
    assert "No results" in bitloop("results").stdout


def test_a_missing_layer_needs_allow_degraded(bitloop):
    refused = bitloop("check", TERNARY, "--json", BITLOOP_DISABLE_LAYERS="landlock", BITLOOP_SUPERVISOR="",
                      BITLOOP_TRAINER="/bin/true")
    assert refused.returncode == 3 and refused.stdout == ""
    assert "landlock" in one_sentence(refused.stderr) and "--allow-degraded" in refused.stderr


def test_the_demo(bitloop, tmp_path):
    done = bitloop("demo", "--workspace", tmp_path / "demo", "--allow-degraded")
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("edit_out_of_range: ERROR: Lines", "OK: Replaced lines", "[Test #1] (2 tests remaining",
                  "[Test #2] (1 test remaining", "[submit] Submitting result from test #", "Submitted test #", "val_loss"):
        assert words in done.stdout
    session = re.search(r"^session (\S+),", done.stdout, re.M).group(1)
    log = subprocess.run(["git", "-C", tmp_path / "demo" / "journal.git", "log", "--oneline", f"sessions/{session}"],
                         capture_output=True, text=True).stdout
    assert log in done.stdout


def test_the_host_links_neither_libtorch_nor_lua():
    linked = subprocess.run(["ldd", BIN / "bitloop"], capture_output=True, text=True, check=True).stdout
    assert "libgit2" in linked  # the positive control: ldd does list libraries
    assert not re.search(r"torch|libc10|liblua", linked)
    names = subprocess.run(["nm", "-D", "-C", BIN / "bitloop"], capture_output=True, text=True, check=True).stdout
    everything = (BIN / "bitloop").read_bytes()
    assert "git_" in names
    assert not re.search(r"\bat::|\bc10::|\blua_", names)
    assert b"lua_pcall" not in everything and b"attempt to index a %s value" not in everything  # nor statically
