"""`cmake --install`: what it installs works by itself, from wherever it lies."""

import json
import os
import subprocess

import pytest

from bitloop import FAKE, ROOT


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    if "BITLOOP_BUILD" not in os.environ:
        pytest.fail("set BITLOOP_BUILD to the build folder, as ctest does")
    folder = tmp_path_factory.mktemp("installed")
    done = subprocess.run(["cmake", "--install", os.environ["BITLOOP_BUILD"], "--prefix", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    moved = folder.with_name("moved")
    folder.rename(moved)
    return moved


def bitloop(prefix, *words, **environment):
    settings = {key: value for key, value in os.environ.items() if not key.startswith("BITLOOP_")}
    return subprocess.run([prefix / "bin" / "bitloop", *map(str, words)], capture_output=True, text=True, timeout=300, cwd="/",
                          env={**settings, **environment})


def test_the_host_works(prefix, tmp_path):
    done = bitloop(prefix, "--version")
    assert done.returncode == 0 and done.stdout.startswith("bitloop ")
    done = bitloop(prefix, "train", ROOT / "quantizers" / "ternary.lua", "--allow-degraded", "--json", "--workspace", tmp_path / "w",
                   BITLOOP_SUPERVISOR=FAKE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "ok"


def test_the_files_are_those_that_are_read_and_no_others(prefix):
    share = prefix / "share" / "bitloop"
    for folder, source, endings in (("tasks", "harness/tasks", [".json"]), ("presets", "trainer/presets", [".json"]),
                                    ("quantizers", "quantizers", [".lua"]), ("baselines", "results/baselines", [".tsv", ".json"])):
        wanted = sorted(path.name for path in (ROOT / source).iterdir() if path.suffix in endings)
        assert sorted(path.name for path in (share / folder).iterdir()) == wanted
    assert {"program.md", "lua.md", "model.md"} <= {path.name for path in share.iterdir()}


def test_parquet_is_read(prefix, tmp_path):
    done = bitloop(prefix, "data", "benchmarks", ROOT / "tests/e2e/golden/parquet/hub", "--to", tmp_path, "--unverified", "--allow-degraded")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "piqa.jsonl").exists()


def test_the_trainer_works(prefix):
    if not (prefix / "bin" / "bitloop-trainer").exists():
        pytest.skip("built without the trainer")
    assert (prefix / "share" / "bitloop" / "data").is_dir()
    done = bitloop(prefix, "check", ROOT / "quantizers" / "ternary.lua", "--allow-degraded", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True
