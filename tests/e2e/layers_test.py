"""Each layer of the jail taken away in turn: nothing starts without it, everything that looks at the machine names it, and
where --allow-degraded accepts it the row says so."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from bitloop import BIN
from native import PLAYER, Player, native_host

LAYERS = ["user_namespace", "mount_namespace", "pid_namespace", "net_namespace", "ipc_namespace", "uts_namespace", "file_system",
          "landlock", "capabilities", "seccomp", "rlimits", "memory", "descriptors", "deadline", "cgroup"]
MISSING = "missing: disabled for a test"


@pytest.fixture(scope="module")
def folder():
    # Not pytest's own, which nobody else may enter: without a file system of its own the jail's user has to.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="layers-"))
    folder.chmod(0o755)
    try:
        skip_without_a_sandbox(folder)
        yield folder
    finally:
        shutil.rmtree(folder)


def skip_without_a_sandbox(folder):
    with native_host(folder) as host:
        states = host.get("/healthz")["sandbox"]
        assert [layer["layer"] for layer in states] == LAYERS
        if any(layer["state"] != "active" for layer in states if layer["layer"] != "cgroup"):
            pytest.skip("this machine has no complete sandbox")


def bitloop(folder, layer, *words):
    environment = {**os.environ, "BITLOOP_SHARE": str(folder / "share"), "BITLOOP_TRAINER": str(PLAYER), "BITLOOP_DISABLE_LAYERS": layer}
    return subprocess.run([BIN / "bitloop", *words, "--workspace", folder / "workspace"], capture_output=True, text=True,
                          env=environment, timeout=60)


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer != "cgroup"])
def test_nothing_starts_without_a_layer(folder, layer):
    for words in (["serve", "--port", "0"], ["train", str(folder / "share" / "quantizers" / "ternary.lua"), "--json"]):
        refused = bitloop(folder, layer, *words)
        assert refused.returncode == 3 and refused.stdout == ""
        assert refused.stderr.count("\n") == 1 and f"{layer} (disabled for a test)" in refused.stderr
        assert "--allow-degraded" in refused.stderr


@pytest.mark.parametrize("layer", LAYERS)
def test_the_doctor_names_it(folder, layer):
    found = json.loads(bitloop(folder, layer, "doctor", "--json").stdout)["checks"]
    named = [check for check in found if check["check"] == "sandbox" and check["detail"] == f"{layer} {MISSING}"]
    assert len(named) == 1 and named[0]["state"] == "warning"
    assert ("--allow-degraded" in named[0]["advice"]) == (layer != "cgroup")


@pytest.mark.parametrize("layer", LAYERS)
def test_health_verdict_and_row_name_it(folder, layer):
    with native_host(folder, BITLOOP_DISABLE_LAYERS=layer) as host:
        state = {item["layer"]: item["state"] for item in host.get("/healthz")["sandbox"]}
        assert state[layer] == MISSING
        # What else is gone could not do without it.
        assert all(other in ("active", MISSING) or "needs the" in other for name, other in state.items() if name != "cgroup")
        played = Player(host).to_the_end("loaded")
        assert played.status == "ok"
        assert played.row["flags"] == ("" if layer == "cgroup" else "degraded")
        assert {item["layer"]: item["state"] for item in played.verdict["jail"]["layers"]} == state
        assert host.stop() == 0

