"""`bitloop lua`: the shell as scripts and people use it, with the real trainer in the jail."""

import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import time

import pytest

from bitloop import BIN, ROOT
from machine import descendants

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(),
                                reason="built without the trainer (BITLOOP_TRAINER=OFF)")

TERNARY = ROOT / "quantizers" / "ternary.lua"


def environment(tmp_path, **more):
    return {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "TERM": "xterm", "LC_ALL": "C.UTF-8", **more}


@pytest.fixture
def lua(tmp_path):
    def run(*words, stdin="", **more):
        return subprocess.run([BIN / "bitloop", "lua", "--allow-degraded", *map(str, words)], input=stdin, text=True,
                              capture_output=True, env=environment(tmp_path, **more), cwd=tmp_path, timeout=120)
    return run


def value(done):
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def failure(done, code=1):
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr.startswith("bitloop: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


# Scripts.


def test_expressions_are_printed_and_globals_stay(lua):
    assert value(lua("-e", "a = 20", "-e", "a * 2 + 2", "-e", "'text', nil, {1, x = 2}", "-e", "local b = a")) \
        == "42\ntext\tnil\t{1, x = 2}\n"


def test_the_first_chunk_that_fails_ends_the_script(lua):
    done = lua("-e", "print(1)", "-e", "error('no more')", "-e", "print(2)")
    assert failure(done) == "bitloop: -e:1: no more\n" and done.stdout == "1\n"


def test_standard_input_is_read_chunk_by_chunk(lua):
    done = lua(stdin="t = {}\nfor i = 1, 3 do\n  t[i] = i * i\nend\n\nt\ntorch.ones(2)\n")
    assert value(done) == "{1, 4, 9}\n[1, 1]\nTensor(2)\n"
    assert failure(lua(stdin="x = 1\n\nx:no()\n")).startswith("bitloop: stdin:3: attempt to index")
    assert "stdin:2: " in failure(lua(stdin="for i = 1, 2 do\nprint(i)\n"))


def test_a_report_is_what_the_formula_gives(lua, tmp_path):
    """Absmean ternary of a tensor from a file, by hand; float16 holds these scales exactly."""
    numbers = [0.5, -0.125, 0.25, 1.125, -0.75, 0.25]
    write_npy(tmp_path / "w.npy", "<f4", (2, 3), struct.pack("<6f", *numbers))
    scale = sum(map(abs, numbers)) / 6
    assert scale == 0.5
    codes = [1, 0, 0, 1, -1, 0]  # 0.25 / 0.5 is 0.5, which goes to even
    wrong = sum((n - c * scale) ** 2 for n, c in zip(numbers, codes))
    done = lua("ternary", "--tensor", "w=w.npy", "-e", "r = quantize(w)", "-e",
               "for _, c in ipairs(r.codes:flatten():tolist()) do print(c) end", "-e", "r.scale:item()", "-e", "r.mse", "-e",
               "r.error", "-e", "r.bits_per_weight", "-e", "r.zero_share", "-e", "r.value:sum():item()")
    printed = [float(line) for line in value(done).split()]
    size = sum(n * n for n in numbers)
    assert printed[:6] == codes
    assert printed[6:] == pytest.approx([scale, wrong / 6, (wrong / size) ** 0.5, 1.5849625 + 16 / 6, 0.5, 0.5], rel=1e-6)
    shown = value(lua("ternary", "--tensor", "w=w.npy", "-e", "quantize(w)"))
    assert shown.startswith("ternary: weight (2, 3)\n  bits per weight  4.2516\n")
    assert re.search(r"^  -1  16\.67% █{20}$\n^   0  50\.00% █{60}$|^  -1  16\.67% █", shown, re.M)


def test_every_quantizer_of_the_zoo_can_be_tried(lua):
    done = lua("-e", """for _, name in ipairs(zoo()) do
      local r, a = quantize(w, name), quantize_activation(x, name)
      assert(r.error >= 0 and r.error < 1.5 and a.error < 0.5, name)
      assert(r.bits_per_weight >= 1, name)
      print(name)
    end""")
    names = sorted(path.stem for path in (ROOT / "quantizers").glob("*.lua"))
    assert value(done).split() == names and "lsq" in names


def test_a_table_written_in_the_shell(lua):
    done = lua("-e", "Q = {name = 'mine', levels = {-1, 1}, weight_quant = function(w) return w:sign(), w:abs():mean() end}",
               "-e", "r = quantize(torch.ones(4, 4))", "-e", "r.bits_per_weight, r.error")
    assert value(done) == "2.0\t0.0\n"
    assert "weight_quant (layer shell): " in failure(lua(
        "-e", "quantize(w, {levels = {-1, 1}, weight_quant = function(w) return w, 1 end})"))


def test_use_and_reload(lua, tmp_path):
    (tmp_path / "mine.lua").write_text(TERNARY.read_text().replace('"ternary"', '"mine"'))
    assert value(lua("mine.lua", "-e", "Q.name", "-e", "reload()", "-e", "use('lsq')", "-e", "Q.name")) == "mine\nlsq\n"
    assert "there is no quantizer 'trenary', did you mean 'ternary'?" in failure(lua("-e", "use('trenary')"))
    assert "started without a FILE" in failure(lua("-e", "reload()"))
    (tmp_path / "broken.lua").write_text("local Q = {\n")
    assert "broken.lua:2: " in failure(lua("broken.lua", "-e", "1"))


def test_random_numbers_repeat_and_candidates_have_none(lua):
    first = value(lua("-e", "torch.randn(3)", "-e", "torch.rand(2, 2)", "-e", "torch.manual_seed(1)", "-e", "torch.randn(1)"))
    assert first == value(lua("-e", "torch.randn(3)", "-e", "torch.rand(2, 2)", "-e", "torch.manual_seed(1)", "-e",
                              "torch.randn(1)"))
    code = "Q = {levels = {-1, 1}, weight_quant = function(w) return torch.randn_like(w):sign(), 1 end}"
    assert value(lua("-e", code, "-e", "quantize(w).error > 1")) == "true\n"  # the user's own function may


def test_a_candidate_sees_nothing_of_the_shell(lua, tmp_path):
    text = TERNARY.read_text().replace("local scale = w:abs()",
                                       "if print or quantize or secret then error('seen') end\n  local scale = w:abs()")
    (tmp_path / "peeks.lua").write_text(text)
    assert value(lua("peeks.lua", "-e", "secret = 1", "-e", "quantize(w).zero_share > 0", "-e", "(Q.weight_quant(w)):dim()")) \
        == "true\n2\n"
    (tmp_path / "random.lua").write_text(text.replace("if print", "torch.randn(1)\n  if print"))
    assert "there is no torch.randn: there is no randomness here" in failure(lua("random.lua", "-e", "quantize(w)"))
    assert "there is no torch.randn" in failure(lua("random.lua", "-e", "Q.weight_quant(w)"))
    assert "read-only" in failure(lua("ternary", "-e", "Q.levels[1] = 7"))


def test_help(lua):
    shown = value(lua("-e", "help()"))
    assert "quantize(w, quantizer=Q)" in shown and "Reductions" in shown
    assert value(lua("-e", "help('clamp')")).startswith("clamp(x, min=nil, max=nil): ")
    assert "torch.randn" in value(lua("-e", "help('torch.randn')"))
    assert value(lua("-e", "help('clmp')")) == "There is no 'clmp': did you mean 'clamp'?\n"


def test_wrong_usage(lua, tmp_path):
    (tmp_path / "some.npy").write_bytes(b"")
    for words, sentence in (
            (["nowhere.lua"], "there is no file nowhere.lua"), (["ternry"], "no quantizer of that name"),
            (["--tensor", "w"], "NAME=FILE"), (["--tensor", "1w=some.npy"], "NAME=FILE"),
            (["--tensor", "w=nowhere.npy"], "nowhere.npy"), (["--tensor", f"w={tmp_path}"], "is not a file"),
            (["--tensor", "w=/dev/zero"], "is not a file"), (["--tensor", "w=some.npy"], "neither a .npy nor"),
            (["--fly"], "--fly")):
        assert sentence in failure(lua(*words, "-e", "1"), 2)


def test_a_machine_that_cannot(tmp_path):
    done = subprocess.run([BIN / "bitloop", "lua", "-e", "1"], capture_output=True, text=True,
                          env=environment(tmp_path, BITLOOP_DISABLE_LAYERS="landlock"), timeout=60)
    assert "landlock" in failure(done, 3)
    done = subprocess.run([BIN / "bitloop", "lua", "--allow-degraded", "-e", "1"], capture_output=True, text=True,
                          env=environment(tmp_path, BITLOOP_TRAINER="/bin/true"), timeout=60)
    assert "did not start" in failure(done, 3)


def test_the_help_text_has_examples(lua):
    done = lua("--help")
    assert done.returncode == 0 and "bitloop lua my.lua -e 'quantize(w)'" in done.stdout


# Files of tensors, friendly and not.


def npy(descr, shape, data, order="False", magic=b"\x93NUMPY\x01\x00", header=None):
    text = (header or f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}").encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return magic + struct.pack("<H", len(text)) + text + data


def write_npy(path, *words, **more):
    path.write_bytes(npy(*words, **more))


def write_safetensors(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.mark.parametrize("content, sentence", [
    (npy("<f4", (2,), b"\0" * 4), "holds 4 bytes of numbers where its shape (2) needs 8"),
    (npy(">f4", (1,), b"\0" * 4), "big-endian"),
    (npy("|O", (1,), b"\0" * 8), "Python objects"),
    (npy("<c8", (1,), b"\0" * 8), "of type '<c8'"),
    (npy("<f4", (1 << 40, 1 << 40), b""), "more numbers than"),
    (npy("<f4", (1,), b"\0" * 4)[:20], "cut short within its header"),
    (npy("", "", b"", header="__import__('os').system('true')"), "a header that numpy.save does not write"),
    (npy("<f4", (1,), b"\0" * 4, magic=b"\x93NUMPY\x09\x00"), "version 9.0"),
    (struct.pack("<Q", 1 << 60) + b"{}", "neither a .npy nor a .safetensors"),
    (b"\x93NUMPY", "neither a .npy nor"),
])
def test_a_hostile_file_of_tensors(lua, tmp_path, content, sentence):
    (tmp_path / "bad.npy").write_bytes(content)
    done = lua("--tensor", "w=bad.npy", "-e", "1")
    assert sentence in failure(done, 2) and done.stderr.startswith("bitloop: --tensor w: ") and done.stdout == ""


def test_npy_files(lua, tmp_path):
    write_npy(tmp_path / "f.npy", "<f8", (2, 3), struct.pack("<6d", 1, 4, 2, 5, 3, 6), order="True")
    write_npy(tmp_path / "i.npy", "<i4", (2,), struct.pack("<2i", -7, 9))
    done = lua("--tensor", "f=f.npy", "--tensor", "i=i.npy", "-e", "f", "-e", "i")
    assert value(done) == "[[1, 2, 3],\n [4, 5, 6]]\nTensor(2, 3)\n[-7,  9]\nTensor(2)\n"


def test_safetensors_files(lua, tmp_path):
    header = {"__metadata__": {"format": "pt"}, "a.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
              "b": {"dtype": "BF16", "shape": [1], "data_offsets": [8, 10]}}
    write_safetensors(tmp_path / "m:odd.safetensors", header, struct.pack("<2f", 1, 2) + b"\x80\x3f")
    name = "m:odd.safetensors"
    assert value(lua("--tensor", f"m={name}", "-e", "m", "-e", "m['a.weight']:sum():item()")) \
        == "{a.weight = Tensor(2) [1, 2], b = Tensor(1) [1]}\n3.0\n"
    assert value(lua("--tensor", f"w={name}:b", "-e", "w")) == "[1]\nTensor(1)\n"
    assert "did you mean 'a.weight'?" in failure(lua("--tensor", f"w={name}:a.weigth", "-e", "w"), 2)
    header["b"]["data_offsets"] = [8, 1 << 50]
    write_safetensors(tmp_path / "bad.safetensors", header, b"\0" * 10)
    assert "'b' lies where it can't" in failure(lua("--tensor", "m=bad.safetensors", "-e", "1"), 2)


# What a chunk may not do.


@pytest.mark.parametrize("code, sentence", [
    ("while true do end", "instructions in one call"),
    ("local t = {} while true do t[#t + 1] = {} end", "Lua needs more than its 64 MiB"),
    ("local t = {} for i = 1, 1e9 do t[i] = torch.zeros(1024, 1024) end", "out of tensor memory"),
    ("string.rep('x', 1e9)", "larger than Lua's memory"),
    ("local function f() return 1 + f() end f()", "stack overflow"),
    ("io.open('/proc/self/fd')", "there are no files here"),
    ("os.execute('true')", "there is no operating system here"),
    ("load('return 1')", "code can't be loaded here"),
    ("require('os')", "attempt to call a nil value (global 'require')"),
    ("getmetatable('').__index", "there are no metatables here"),
    ("debug.getregistry()", "there is no debug library here"),
    ("torch.abs = 1", "the libraries are read-only"),
    ("torch.load('/etc/passwd')", "there are no files here"),
    ("string.dump(print)", "attempt to call a nil value"),
])
def test_what_a_chunk_may_not_do(lua, code, sentence):
    done = lua("-e", code)
    assert sentence in failure(done) and done.stdout == ""


def test_the_shell_lives_on_after_a_failure(lua):
    for bad in ("t = {} while true do t[#t + 1] = {} end", "u = torch.zeros(1 << 40)", "while true do end"):
        leader = Terminal(lua_words=["ternary"])
        with leader:
            leader.type("keep = 7\n", "> ")
            leader.type(bad + "\n", "\n> ")
            assert "42" in leader.type("6 * 7\n", "42")
            assert "ternary" in leader.type("Q.name\n", "\r\nternary")


def test_output_is_text_whatever_a_chunk_prints(lua):
    done = lua("-e", r"print('\27[31mred\0\a\r\xff')", "-e", "print(('x'):rep(10) .. '\\u{9b}2J')")
    assert value(done) == "?[31mred???�\nxxxxxxxxxx?2J\n"
    flood = value(lua("-e", "local s = ('y'):rep(1 << 16) for i = 1, 200 do print(s) end"))
    assert flood.endswith("is left out)\n") and len(flood) < 6 << 20


def test_the_recorded_session(tmp_path):
    """Each command of docs/shell.md prints what the document says."""
    blocks = re.findall(r"^```\n(\$ .*?)^```", (ROOT / "docs" / "shell.md").read_text(), re.M | re.S)
    commands = re.findall(r"^\$ (.*\n)((?:(?!\$ ).*\n)*)", "".join(blocks), re.M)
    assert len(commands) > 4
    settings = environment(tmp_path, PATH=f"{BIN}:{os.environ['PATH']}")
    for command, shown in commands:
        command = command.replace("bitloop lua", "bitloop lua --allow-degraded")
        done = subprocess.run(command, shell=True, capture_output=True, text=True, env=settings, cwd=tmp_path, timeout=120)
        assert done.stdout + done.stderr == shown, command


# At a terminal.


class Terminal:
    """A shell on a pseudo-terminal of its own."""

    def __init__(self, state=None, lua_words=(), **more):
        self.words, self.more, self.state = lua_words, more, state
        self.shown = ""

    def __enter__(self):
        leader, follower = pty.openpty()
        settings = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", "NO_COLOR": "1",
                    "XDG_STATE_HOME": str(self.state or "/dev/null/none"), **self.more}
        self.process = subprocess.Popen([BIN / "bitloop", "lua", "--allow-degraded", *map(str, self.words)], stdin=follower,
                                        stdout=follower, stderr=follower, env=settings, start_new_session=True,
                                        preexec_fn=lambda: __import__("fcntl").ioctl(follower, 0x540E, 0))  # TIOCSCTTY
        os.close(follower)
        self.leader = leader
        self.wait_for("> ")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.leader)

    def wait_for(self, text, seconds=60):
        """What was shown since the last call, up to and with `text`."""
        deadline = time.time() + seconds
        while text not in self.shown:
            ready, _, _ = select.select([self.leader], [], [], max(0, deadline - time.time()))
            assert ready, f"no {text!r} in {self.shown!r}"
            try:
                data = os.read(self.leader, 65536)
            except OSError:
                data = b""
            assert data, f"ended without {text!r}: {self.shown!r}"
            self.shown += data.decode(errors="replace")
        seen, self.shown = self.shown[:self.shown.index(text) + len(text)], self.shown[self.shown.index(text) + len(text):]
        return seen

    def type(self, keys, then):
        os.write(self.leader, keys.encode())
        return self.wait_for(then)

    def leave(self, keys):
        """Presses the keys until the program has ended: what is pressed before the prompt shows may get lost."""
        for _ in range(30):
            try:
                os.write(self.leader, keys.encode())
                while select.select([self.leader], [], [], 1)[0]:
                    self.shown += os.read(self.leader, 65536).decode(errors="replace")
            except OSError:
                return self.process.wait(10)  # the program closed its terminal
        raise AssertionError(f"it does not end: {self.shown!r}")


@pytest.mark.parametrize("keys", ["\x04", "exit\n", "quit()\n"])
def test_a_conversation(tmp_path, keys):
    with Terminal(tmp_path, [TERNARY]) as terminal:
        terminal.type("1 + 1\n", "\r\n2\r\n")
        terminal.type("for i = 1, 2 do\n", ">> ")
        terminal.type("print(i * 10)\n", ">> ")
        terminal.type("end\n", "\r\n10\r\n20\r\n")
        terminal.type("é = 1\n", "lua:1: unexpected symbol")
        terminal.type("'naïve – ok'\n", "\r\nnaïve – ok\r\n")
        terminal.type("quantize(w)\n", "bits per weight  1.5852")
        terminal.type("\n", "> ")
        assert terminal.leave(keys) == 0


def test_completion(tmp_path):
    with Terminal(tmp_path, ["ternary"]) as terminal:
        terminal.type("torch.cla\t", "mp")  # clamp, clamp_max, clamp_min: as far as they agree, then a list
        terminal.type("\t", "torch.clamp_max")
        terminal.type("(torch.tensor(3), 5):item()\n", "\r\n5.0\r\n")
        terminal.type("quantize_\t(x).bits_per_code\n", "\r\n8.0\r\n")
        terminal.type("w:nume\t()\n", "\r\n65536\r\n")
        terminal.type("my_own_name = 5\n", "> ")
        terminal.type("my_ow\t + 1\n", "\r\n6\r\n")
        terminal.type("use('terna\t')\n", "> ")
        terminal.type("Q.name\n", "\r\nternary\r\n")


def test_history_outlives_the_shell(tmp_path):
    with Terminal(tmp_path) as terminal:
        terminal.type("1234 + 1\n", "\r\n1235\r\n")
        terminal.wait_for("> ")
        assert terminal.leave("\x04") == 0
    file = tmp_path / "bitloop" / "lua_history"
    assert file.read_text() == "1234 + 1\n" and file.stat().st_mode & 0o777 == 0o600
    with Terminal(tmp_path) as terminal:
        terminal.type("\x1b[A\n", "\r\n1235\r\n")  # arrow up


def test_a_history_that_cannot_be_kept_is_no_obstacle(tmp_path):
    (tmp_path / "bitloop").write_text("a file where the folder should be")
    with Terminal(tmp_path) as terminal:
        terminal.type("40 + 2\n", "\r\n42\r\n")


def test_ctrl_c_stops_the_chunk_not_the_shell(tmp_path):
    with Terminal(tmp_path) as terminal:
        terminal.type("kept = 99\n", "> ")
        for code in ("while true do end", "while true do pcall(function() while true do end end) end",
                     "while true do w:abs() end"):
            os.write(terminal.leader, f"print('go') {code}\n".encode())
            terminal.wait_for("\r\ngo\r\n")
            terminal.type("\x03", "interrupted")
            terminal.wait_for("> ")
        terminal.type("kept\n", "\r\n99\r\n")


def test_ctrl_c_drops_what_was_typed(tmp_path):
    with Terminal(tmp_path) as terminal:
        terminal.type("for i = 1, 2 do\n", ">> ")
        terminal.type("nonsense(\x03", "> ")
        terminal.type("5 * 5\n", "\r\n25\r\n")


def test_a_jail_that_dies_is_replaced(tmp_path):
    with Terminal(tmp_path, ["ternary"]) as terminal:
        terminal.type("mine = 1\n", "> ")
        trainers = [pid for pid, name in descendants(terminal.process.pid).items() if name.startswith("bitloop-trainer")]
        assert trainers
        os.kill(trainers[0], signal.SIGKILL)
        time.sleep(0.3)
        terminal.type("mine\n", "the variables are lost")
        terminal.wait_for("> ")
        terminal.type("mine, Q.name\n", "\r\nnil")
        terminal.wait_for("> ")
        assert terminal.leave("\x04") == 0


def test_nothing_of_the_shell_outlives_it(tmp_path):
    with Terminal(tmp_path) as terminal:
        before = descendants(terminal.process.pid)
        assert any(name.startswith("bitloop-trainer") for name in before.values())
        os.write(terminal.leader, b"while true do w:abs() end\n")
        terminal.process.kill()
        terminal.process.wait()
        deadline = time.time() + 20
        while any(os.path.exists(f"/proc/{pid}/exe") and os.path.exists(f"/proc/{pid}/root/") for pid in before):
            assert time.time() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize("colour", [False, True])
def test_colours(tmp_path, colour):
    with Terminal(tmp_path, [], NO_COLOR="" if colour else "1") as terminal:
        shown = terminal.type("error('x')\n", "lua:1: x")
        assert ("\x1b[31m" in shown) == colour


def test_the_jail_has_no_terminal(tmp_path):
    """Every descriptor of the jailed process is a pipe, a memory file or /dev/null."""
    with Terminal(tmp_path, ["ternary"]) as terminal:
        for pid, name in descendants(terminal.process.pid).items():
            if not name.startswith("bitloop-trainer"):
                continue
            targets = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            assert targets and all(re.match(r"pipe:|/memfd:|/dev/(null|urandom)|anon_inode|/.*\.npy", t) for t in targets), targets
