"""What editors are told of the language: luacheck accepts every quantizer and knows what is absent, the annotations are
Lua, and .luarc.json names folders that exist."""

import json
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUANTIZERS = sorted((ROOT / "quantizers").glob("*.lua"))


def luacheck(*files, text=None):
    if not shutil.which("luacheck"):
        pytest.skip("luacheck is not installed: scripts/setup installs Debian's lua-check")
    command = ["luacheck", "--no-color", "--no-cache", "--codes", "--config", ROOT / ".luacheckrc", *files]
    return subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, timeout=60)


def test_quantizers_have_no_warnings():
    assert len(QUANTIZERS) > 20
    result = luacheck(*QUANTIZERS)
    assert result.returncode == 0, result.stdout
    assert f"Total: 0 warnings / 0 errors in {len(QUANTIZERS)} files" in result.stdout


@pytest.mark.parametrize("line, warning", [
    ("local t = os.time() return t", "accessing undefined variable 'os'"),
    ("print(1)", "accessing undefined variable 'print'"),
    ("return ('x'):rep(2), string.find('x', 'y')", "accessing undefined field 'find' of global 'string'"),
    ("return torch.clip(1)", "accessing undefined field 'clip' of global 'torch'"),
    ("return bitloop.round(1)", "accessing undefined field 'round' of global 'bitloop'"),
    ("torch.abs = 1", "setting read-only field 'abs' of global 'torch'"),
    ("math = {}", "setting read-only global variable 'math'"),
    ("global = 1", "setting non-standard global variable 'global'"),
    ("local unused = 1", "unused variable 'unused'"),
])
def test_a_mistake_is_seen(line, warning):
    result = luacheck("-", text=line + "\n")
    assert result.returncode != 0 and warning in result.stdout, result.stdout


def test_a_clean_file_passes():
    assert luacheck("-", text="return torch.abs(bitloop.ste_round(torch.ones(math.max(1, 2))))\n").returncode == 0


@pytest.mark.parametrize("path", sorted((ROOT / "lua/library").rglob("*.lua")),
                         ids=lambda path: str(path.relative_to(ROOT / "lua/library")))
def test_annotations_are_lua(path):
    text = path.read_text()
    assert text.startswith("---@meta\n"), f"{path} lacks ---@meta, so it would count as a program"
    # compiles without running
    subprocess.run(["lua5.4", "-", path], input="assert(loadfile(arg[1]))", text=True, check=True, timeout=60)


TAGS = {"meta", "alias", "class", "field", "generic", "nodiscard", "operator", "overload", "param", "return"}


@pytest.mark.parametrize("path", sorted((ROOT / "lua/library").rglob("*.lua")),
                         ids=lambda path: str(path.relative_to(ROOT / "lua/library")))
def test_annotations_are_well_formed(path):
    """Each tag is one the server knows, brackets close, and a function's parameters are those that are annotated."""
    named = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        place = f"{path}:{number}: {line}"
        if tag := re.match(r"---@(\w+)", line):
            assert tag[1] in TAGS, place
            for opening, closing in ("()", "{}", "[]"):
                assert line.count(opening) == line.count(closing), place
            if parameter := re.match(r"---@param (\w+|\.\.\.)\??\s+\S", line):
                named.append(parameter[1])
            assert tag[1] != "param" or parameter, place
        elif function := re.match(r"function [\w.:]+\((.*)\) end$", line):
            assert [name for name in function[1].split(", ") if name] == named, place
            named = []
        else:
            assert not line or line.startswith("--") or re.match(r"(local )?\w+ = \{\}$", line), place


def test_types_are_declared():
    """Every type that an annotation uses is a class or alias of the library, or one of Lua's."""
    text = "\n".join(path.read_text() for path in (ROOT / "lua/library").rglob("*.lua"))
    declared = set(re.findall(r"^---@(?:class|alias) ([\w.]+)", text, re.M))
    declared |= set(re.findall(r"^---@generic (\w+)", text, re.M)) | {"K", "V"}
    declared |= {"any", "boolean", "fun", "function", "integer", "nil", "number", "string", "table"}
    used = set()
    for line in re.findall(r"^---@(?:param \S+|return|operator \w+|field \S+) ?(.*)", text, re.M):
        kind = re.match(r"[^\s(){}]+", line.lstrip(":( "))
        used |= {name for name in re.split(r"[|,<>?\[\]():]+", kind[0]) if re.match(r"[A-Za-z]", name)} if kind else set()
    assert "Tensor" in used and used <= declared, used - declared


def test_luarc_points_at_the_library():
    settings = json.loads((ROOT / ".luarc.json").read_text())
    assert settings["runtime.version"] == "Lua 5.4"
    for folder in settings["workspace.library"]:
        assert (ROOT / folder / "tensor.lua").exists()
    # the sandbox's own standard library takes the place of every one of the server's
    assert {name for name, state in settings["runtime.builtin"].items() if state == "disable"} >= {
        "basic", "string", "math", "table", "io", "os", "debug", "package", "coroutine", "utf8"}
