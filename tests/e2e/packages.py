"""The Python with the packages of requirements.txt, in which some tests run a program. scripts/test-venv makes it."""

from bitloop import ROOT

PYTHON = ROOT / ".deps" / "test-venv" / "bin" / "python"


def python():
    assert PYTHON.exists(), "there is no .deps/test-venv: run scripts/test-venv (make test does)"
    return PYTHON
