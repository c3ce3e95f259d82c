"""What must hold for the repository as a whole: no test is forgotten, no file grows too long, no document points at nothing.

Each check is a function from a folder to a list of complaints, tried first on a made-up tree that has the fault."""

import os
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOT_OURS = {".git", ".deps", "build", "__pycache__", ".cache"}
SOURCES = {".cpp", ".h", ".cu", ".cuh", ".lua", ".py", ".cmake", ".sh", ".js", ".css", ".html"}
MOST_LINES = 500


def files(root):
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - NOT_OURS)
        if pathlib.Path(folder) == root / "results":
            folders[:] = [name for name in folders if name == "baselines"]  # the rest is the default workspace
        yield from (pathlib.Path(folder) / name for name in sorted(names))


def forgotten_tests(root):
    """Tests on disk that no CMakeLists.txt names: by name in their folder or one above it, or anywhere by their path."""
    complaints = []
    everything = "".join(path.read_text() for path in files(root) if path.name == "CMakeLists.txt")
    for file in files(root / "tests"):
        if not re.search(r"_test\.(cpp|py)$", file.name):
            continue
        lists = [folder / "CMakeLists.txt" for folder in file.parents if folder.is_relative_to(root / "tests")]
        texts = [re.sub(r"#.*", "", path.read_text()) for path in lists if path.exists()]
        by_name = re.compile(rf"(^|[\s/(\"]){re.escape(file.name)}\b")
        if not any(by_name.search(text) for text in texts) and str(file.relative_to(root)) not in everything:
            complaints.append(f"{file.relative_to(root)} is in no CMakeLists.txt, so it never runs")
    return complaints


def long_files(root):
    complaints = []
    for file in files(root):
        if file.suffix in SOURCES or file.name == "setup":
            lines = file.read_bytes().count(b"\n")
            if lines > MOST_LINES:
                complaints.append(f"{file.relative_to(root)} has {lines} lines; more than {MOST_LINES} is more than one idea")
    return complaints


def dead_paths(root):
    """Paths in backticks, and targets of links, in documents that name nothing. A path has a slash and begins with a folder
    or file at the repository's root or beside the document; what is built (`build/`, `.deps/`) is not looked for."""
    complaints = []
    for document in (file for file in files(root) if file.suffix == ".md"):
        text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.M | re.S)
        quoted = re.findall(r"`([A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*/?)`", text)
        links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
        known = {path.name for path in (*root.iterdir(), *document.parent.iterdir())}
        for path in quoted + links:
            first = path.split("/")[0]
            is_path = path in links or ("/" in path and (first in known or pathlib.Path(path).suffix in SOURCES))
            exists = (root / path).exists() or (document.parent / path).exists()
            if is_path and first not in NOT_OURS and not exists:
                complaints.append(f"{document.relative_to(root)} names `{path}`, which does not exist")
    return complaints


def unknown_tests(root):
    """Tests that docs/security.md names and nobody has: `Suite.Case` of GoogleTest, or `file_test.py::test_name`."""
    cases, functions = set(), set()
    for file in files(root / "tests"):
        if file.suffix == ".cpp":
            cases |= {f"{suite}.{case}" for suite, case in
                      re.findall(r"^TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)", file.read_text(), flags=re.M)}
        elif file.name.endswith("_test.py"):
            functions |= {f"{file.name}::{name}" for name in re.findall(r"^def (test_\w+)\(", file.read_text(), flags=re.M)}
    named = re.findall(r"`([A-Z]\w*\.[A-Z]\w*|\w+_test\.py::\w+)`", (root / "docs" / "security.md").read_text())
    return [f"docs/security.md names the test `{name}`, which does not exist" for name in named if name not in cases | functions]


def tree(folder, contents):
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_a_forgotten_test_is_seen(tmp_path):
    root = tree(tmp_path, {
        "tests/CMakeLists.txt": "# d_test.cpp\nadd_subdirectory(a)\n", "tests/a/CMakeLists.txt": "x(b_test.cpp sub/c_test.cpp)\n",
        "tests/a/b_test.cpp": "", "tests/a/sub/c_test.cpp": "", "tests/a/d_test.cpp": "", "tests/e_test.py": "",
        "tests/a/helper.cpp": ""})
    assert [complaint.split()[0] for complaint in forgotten_tests(root)] == ["tests/e_test.py", "tests/a/d_test.cpp"]


def test_a_long_file_is_seen(tmp_path):
    root = tree(tmp_path, {"a.cpp": "\n" * 501, "b.cpp": "\n" * 500, "c.json": "\n" * 900, "build/d.cpp": "\n" * 900})
    assert [complaint.split()[0] for complaint in long_files(root)] == ["a.cpp"]


def test_a_dead_path_is_seen(tmp_path):
    text = ("`docs/a.md` `docs/gone.md` `harness/` `/v1/tasks` `N/A` `build/bin/x` `gone/x.cpp` `results.tsv` `a.md` "
            "[link](a.md) [web](https://x.y/z) [dead](b.md)\n```\n`docs/fenced.md`\n```\n")
    root = tree(tmp_path, {"docs/a.md": text, "harness/x.h": ""})
    assert re.findall(r"`(.*?)`", "".join(dead_paths(root))) == ["docs/gone.md", "gone/x.cpp", "b.md"]


def test_an_unknown_test_is_seen(tmp_path):
    root = tree(tmp_path, {
        "docs/security.md": "`A.Holds` `B.Gone` `C.LongName` `x_test.py::test_a` `x_test.py::test_b` `a.md` `docs/a.md`",
        "tests/a/b_test.cpp": "TEST(A, Holds) {}\nTEST_P(C,\n       LongName) {}\n// TEST(B, Gone)\n",
        "tests/e2e/x_test.py": "def test_a(x):\n    pass\n"})
    assert re.findall(r"`(.*?)`", "".join(unknown_tests(root))) == ["B.Gone", "x_test.py::test_b"]


def test_every_test_is_built():
    assert forgotten_tests(ROOT) == []


def test_no_file_is_too_long():
    assert long_files(ROOT) == []


def test_documents_name_what_exists():
    assert dead_paths(ROOT) == []


def test_the_document_of_security_names_tests_that_exist():
    assert unknown_tests(ROOT) == []
    named = (ROOT / "docs" / "security.md").read_text()
    layers = re.findall(r'^    \{"(\w+)", "', (ROOT / "sandbox" / "layers.cpp").read_text(), flags=re.M)
    assert len(layers) == 15 and [layer for layer in layers if not re.search(rf"^\|[^|]*\b{layer}\b", named, flags=re.M)] == []
