"""scripts/gpu-bundle: of a make-believe build, and of the real one where everything that it packs is built. What it packs is whole, has
no link out of itself, and is small enough to be carried."""

import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tarfile

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BITLOOP_BUILD", SOURCE / "build" / "release"))
MOST_BYTES = 60_000_000
sys.path.insert(0, str(SOURCE / "bench"))
import gpu  # noqa: E402  (bench/gpu.py)
import gpu_place  # noqa: E402

PROGRAMS = ["bin/bitloop", "bin/bitloop-trainer", "bin/bitloop_bench_gpu", "bin/bitloop_bench_random_packed", "lib/libbitloop_cuda.so"]
TESTS = ["bitloop_cuda_tests", "bitloop_device_tests"]
LIBRARY = "int answer() { return 42; }"
PROGRAM = '#include <stdio.h>\nint answer();\nint main() { printf("%d\\n", answer()); }'


def bundle(build, archive):
    return subprocess.run([build["script"], build["folder"], archive], text=True, capture_output=True, timeout=100)


def unpack(archive, to):
    with tarfile.open(archive) as packed:
        packed.extractall(to)
    return to / "bitloop-gpu"


def complaints(root, home):
    """What is wrong with an unpacked bundle; home: folders of the building machine that nothing may name."""
    found = [f"it lacks {name}" for name in gpu.NEEDED if not (root / name).is_file()]
    for path in root.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            found.append(f"{path.relative_to(root)} links out of it")
        elif path.is_file() and not path.stat().st_mode & stat.S_IROTH:
            found.append(f"{path.relative_to(root)} can't be read by the jail's user")
    for path in (*(root / "bin").iterdir(), *(root / "lib").iterdir()):
        said = subprocess.run(["readelf", "-d", path], text=True, capture_output=True).stdout
        for folder in re.findall(r"R(?:UN)?PATH\).*\[(.*)\]", said):
            found += [f"{path.relative_to(root)} looks for libraries in {part}" for part in folder.split(":") if part != "$ORIGIN/../deps"]
        if path.suffix != ".so" and any(str(folder) in gpu_path(path) for folder in home):
            found.append(f"{path.name}'s search path names the building machine")
    return found


def gpu_path(program):
    """The bytes of RPATH as the loader sees them, which readelf, going by sections, does not."""
    elf = gpu_place.Elf(program.read_bytes())
    for tag in (gpu_place.DT_RPATH, gpu_place.DT_RUNPATH):
        if tag in elf.entries:
            at = elf.offset(elf.value(gpu_place.DT_STRTAB)) + elf.value(tag)
            return elf.data[at:elf.data.index(0, at)].decode()
    return ""


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A clone with a build in it: each program is a small one that needs a library of the build's, found by an absolute RPATH."""
    root = tmp_path_factory.mktemp("template")
    build, libraries = root / "build" / "release", root / ".deps" / "libraries"
    for folder in (build / "tests", root / "build/bin", root / "build/lib", root / "build/share/bitloop", libraries, root / "scripts"):
        folder.mkdir(parents=True)
    subprocess.run(["cc", "-x", "c", "-", "-shared", "-Wl,-soname,libanswer.so", "-o", libraries / "libanswer.so"], input=LIBRARY, text=True, check=True)
    subprocess.run(["cc", "-x", "c", "-", "-x", "none", libraries / "libanswer.so", f"-Wl,--disable-new-dtags,-rpath,{libraries}:", "-o",
                    root / "program"], input=PROGRAM, text=True, check=True)
    for name in PROGRAMS:
        shutil.copy(root / "program", root / "build" / name)
    for name in TESTS:
        shutil.copy(root / "program", build / "tests" / name)
    shutil.copy(SOURCE / "scripts/gpu-bundle", root / "scripts")
    for name in ("bench", "quantizers", "tests/e2e"):
        shutil.copytree(SOURCE / name, root / name, ignore=shutil.ignore_patterns("golden", "escapes", "__pycache__"))
    for name in gpu.NEEDED:
        if name.startswith("share/bitloop/data/"):
            file = root / ".deps" / name.removeprefix("share/bitloop/")
        elif name.startswith("share/"):
            file = root / "build" / name
        else:
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"bytes of {name}")
    (root / "build/share/bitloop/data").symlink_to(root / ".deps" / "data")
    (build / "CMakeCache.txt").write_text(f"BITLOOP_OUTPUT_DIR:PATH={root}/build\n")
    return root


@pytest.fixture
def build(template, tmp_path):
    root = tmp_path / "clone"
    shutil.copytree(template, root, symlinks=True)
    (root / "build/release/CMakeCache.txt").write_text(f"BITLOOP_OUTPUT_DIR:PATH={root}/build\n")
    (root / "build/share/bitloop/data").unlink()
    (root / "build/share/bitloop/data").symlink_to(root / ".deps" / "data")
    return {"script": root / "scripts/gpu-bundle", "folder": root / "build/release", "root": root}


def test_the_bundle_is_whole_and_leads_nowhere_else(build, template, tmp_path):
    done = bundle(build, tmp_path / "bundle.tar.gz")
    assert done.returncode == 0, done.stderr
    root = unpack(tmp_path / "bundle.tar.gz", tmp_path / "unpacked")
    assert complaints(root, [template, build["root"]]) == []
    assert (root / "share/bitloop/data/gpt2-bpe/vocab.bpe").read_text() == "bytes of share/bitloop/data/gpt2-bpe/vocab.bpe"


def test_the_trainer_finds_libraries_where_it_is_told(build, template, tmp_path):
    assert bundle(build, tmp_path / "bundle.tar.gz").returncode == 0
    root = unpack(tmp_path / "bundle.tar.gz", tmp_path / "unpacked")
    trainer = root / "bin/bitloop-trainer"
    assert "libanswer.so" in subprocess.run([trainer], text=True, capture_output=True).stderr  # not by the building machine's path
    for folder in ("one", "a longer name of another folder"):  # and again, when the bundle has moved
        shutil.copytree(template / ".deps/libraries", tmp_path / folder)
        done = subprocess.run([sys.executable, "-B", root / "bench/gpu_place.py", tmp_path / folder], text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert subprocess.run([trainer], text=True, capture_output=True).stdout == "42\n"
        assert gpu_path(trainer) == f"{tmp_path / folder}:{root}/deps"
        shutil.rmtree(tmp_path / folder)


@pytest.mark.parametrize("gone", ["build/bin/bitloop_bench_gpu", "build/lib/libbitloop_cuda.so", "build/release/tests/bitloop_cuda_tests",
                                  ".deps/data/gpt2-bpe/vocab.bpe", "build/share/bitloop/presets/medium.json", "build/release/CMakeCache.txt"])
def test_what_is_missing_is_named(build, tmp_path, gone):
    (build["root"] / gone).unlink()
    done = bundle(build, tmp_path / "bundle.tar.gz")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("scripts/gpu-bundle: ") and pathlib.Path(gone).name in done.stderr
    assert not list(tmp_path.glob("bundle*"))


def test_a_large_bundle_is_refused(build, tmp_path):
    (build["root"] / "build/share/bitloop/large").write_bytes(os.urandom(MOST_BYTES))
    done = bundle(build, tmp_path / "bundle.tar.gz")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "more than 60000000" in done.stderr
    assert not list(tmp_path.glob("bundle*"))


def test_a_fault_is_seen(build, tmp_path):
    assert bundle(build, tmp_path / "bundle.tar.gz").returncode == 0
    root = unpack(tmp_path / "bundle.tar.gz", tmp_path / "unpacked")
    (root / "quantizers/float.lua").unlink()
    (root / "share/bitloop/link").symlink_to("/etc")
    shutil.copy(build["root"] / "program", root / "bin/stray")
    found = complaints(root, [build["root"]])
    assert [part for part in ("float.lua", "links out", "stray looks for") if not any(part in each for each in found)] == []


def test_the_real_bundle(tmp_path):
    cache = BUILD / "CMakeCache.txt"
    output = re.search(r"^BITLOOP_OUTPUT_DIR:PATH=(.*)$", cache.read_text(), flags=re.M) if cache.exists() else None
    wanted = [pathlib.Path(output[1]) / name for name in PROGRAMS] + [BUILD / "tests" / name for name in TESTS] if output else [cache]
    missing = [path.name for path in wanted if not path.exists()]
    if missing:
        pytest.skip(f"the bundle's programs are not built: {', '.join(missing)}")
    build = {"script": SOURCE / "scripts/gpu-bundle", "folder": BUILD}
    done = bundle(build, tmp_path / "bundle.tar.gz")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "bundle.tar.gz").stat().st_size <= MOST_BYTES
    root = unpack(tmp_path / "bundle.tar.gz", tmp_path / "unpacked")
    assert complaints(root, [SOURCE]) == []
    libraries = set(os.listdir(root / "deps"))
    assert {"libgit2.so.1.5", "liblua5.4-c++.so.0", "libfmt.so.9"} <= libraries and not {name for name in libraries if name.startswith("libc.so")}
