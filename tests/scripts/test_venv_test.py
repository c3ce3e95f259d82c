"""scripts/test-venv, in a make-believe clone: a requirement of its own, a local folder in place of the package index."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import zipfile

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path):
    """A clone whose tests need the package `tiny`, which the folder `index` has."""
    (tmp_path / "index").mkdir()
    wheel = tmp_path / "index" / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "SIZE = 1\n")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "tiny.py,,\ntiny-1.0.dist-info/METADATA,,\ntiny-1.0.dist-info/WHEEL,,\n")
    return make_clone(tmp_path, "clone", hashlib.sha256(wheel.read_bytes()).hexdigest())


def make_clone(folder, name, digest):
    root = folder / name
    (root / "scripts").mkdir(parents=True)
    (root / "tests/e2e").mkdir(parents=True)
    shutil.copy(SOURCE / "scripts/test-venv", root / "scripts")
    (root / "tests/e2e/requirements.txt").write_text(f"# comment\ntiny==1.0 --hash=sha256:{digest}\n")
    return root


def run(root, index=True):
    where = {"PIP_FIND_LINKS": str(root.parent / "index")} if index else {}
    return subprocess.run([root / "scripts/test-venv"], capture_output=True, text=True, env={
        "PATH": os.environ["PATH"], "HOME": str(root.parent / "home"), "PIP_NO_INDEX": "1", **where})


def size(root):
    program = "import tiny; print(tiny.SIZE)"
    return subprocess.run([root / ".deps/test-venv/bin/python", "-c", program], capture_output=True, text=True).stdout.strip()


def test_the_packages_are_there_and_a_second_run_touches_nothing(clone):
    done = run(clone)
    assert done.returncode == 0, done.stderr
    assert size(clone) == "1"
    before = (clone / ".deps/test-venv/.stamp").stat().st_mtime_ns
    assert run(clone, index=False).stdout == ""
    assert (clone / ".deps/test-venv/.stamp").stat().st_mtime_ns == before


def test_another_clone_needs_no_network_and_a_change_makes_it_anew(clone, tmp_path):
    assert run(clone).returncode == 0
    digest = (clone / "tests/e2e/requirements.txt").read_text().strip().split(":")[-1]
    other = make_clone(tmp_path, "other", digest)
    assert run(other, index=False).returncode == 0 and size(other) == "1"
    with (clone / "tests/e2e/requirements.txt").open("a") as requirements:
        requirements.write("# changed\n")
    (clone / ".deps/test-venv/leftover").touch()
    assert run(clone, index=False).returncode == 0
    assert not (clone / ".deps/test-venv/leftover").exists()


def test_without_network_it_says_so_in_one_sentence(clone):
    done = run(clone, index=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "could not be downloaded: is there a network" in done.stderr
    assert not (clone / ".deps/test-venv").exists()


def test_a_wheel_with_other_bytes_is_not_used(tmp_path, clone):
    other = make_clone(tmp_path, "other", "0" * 64)
    done = run(other)
    assert done.returncode == 1 and "another sha256 than tests/e2e/requirements.txt says" in done.stderr
    assert not (other / ".deps/test-venv").exists()


def test_a_damaged_wheel_in_the_cache_is_fetched_again(clone, tmp_path):
    assert run(clone).returncode == 0
    (cached,) = (tmp_path / "home/.cache/bitloop/test-wheels").iterdir()
    cached.write_bytes(b"something else")
    shutil.rmtree(clone / ".deps")
    assert run(clone).returncode == 0 and size(clone) == "1"


def test_every_requirement_is_pinned_to_one_wheel():
    lines = (SOURCE / "tests/e2e/requirements.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert pins and all(line.count("--hash=sha256:") == 1 and "==" in line for line in pins)
