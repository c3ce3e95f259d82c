"""`bitloop profile`: where a step's time goes, as a table, as JSON and as a Chrome trace. Nothing faked."""

import json
import os
import re
import subprocess

import pytest

from bitloop import BIN, ROOT
from small import make_share

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(), reason="built without the trainer (BITLOOP_TRAINER=OFF)")

TERNARY = ROOT / "quantizers" / "ternary.lua"
KINDS = ("attn_qkv", "attention", "attn_proj", "mlp_fc", "mlp_proj")


@pytest.fixture(scope="module")
def share(tmp_path_factory):
    return make_share(tmp_path_factory.mktemp("share") / "share", steps=40)


def profile(share, folder, *words, file=TERNARY, code=0):
    (folder / "tmp").mkdir(exist_ok=True)
    done = subprocess.run([BIN / "bitloop", "profile", file, "--allow-degraded", *map(str, words)], text=True, capture_output=True,
                          timeout=300, cwd=folder, env={**os.environ, "BITLOOP_SHARE": str(share), "TMPDIR": str(folder / "tmp")})
    assert done.returncode == code, done.stdout + done.stderr
    assert list((folder / "tmp").iterdir()) == []  # nothing is left of the run
    return done


def parts_of(document):
    return {(part["part"], part["name"]): part for part in document["parts"]}


def check_numbers(document, steps):
    assert document["steps"] == steps and document["device"] == "cpu"
    assert sum(part["share"] for part in document["parts"]) == pytest.approx(1)
    # The parts are of the thread that leads, which is at work or waits from a step's beginning to its end.
    assert sum(part["ms"] for part in document["parts"]) == pytest.approx(document["timed_step_ms"], rel=0.02)
    assert document["tokens_per_s"] == pytest.approx(16 * 128 * 1000 / document["step_ms"], rel=1e-6)
    assert document["peak_flops_per_s"] > 1e9 and 0 < document["share_of_peak"]
    # 6 (12 L D D + V D) of products and 6 L T D of attention, a token
    flops = 6 * (12 * 2 * 64 * 64 + 256 * 64) + 6 * 2 * 128 * 64
    assert document["flops_per_s"] == pytest.approx(flops * document["tokens_per_s"])
    assert document["share_of_peak"] == pytest.approx(document["flops_per_s"] / document["peak_flops_per_s"])


def test_the_trace_is_one_that_chrome_reads(share, tmp_path):
    done = profile(share, tmp_path, "--steps", 3, "--out", "trace.json", "--json")
    answer = json.loads(done.stdout)
    assert answer["status"] == "ok" and answer["trace"] == "trace.json"
    document = answer["profile"]
    check_numbers(document, 3)
    found = parts_of(document)
    assert {("data", "batch"), ("weights", "quantise"), ("optimiser", "AdamW"), ("step", "rest")} <= set(found)
    for kind in KINDS:
        assert found[("forward", kind)]["ms"] > 0 and found[("backward", kind)]["ms"] > 0
    trace = json.loads((tmp_path / "trace.json").read_text())
    spans = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert len(spans) == document["spans"] and document["spans_left_out"] == 0
    assert all(set(span) == {"name", "cat", "ph", "ts", "dur", "pid", "tid"} and span["dur"] >= 0 for span in spans)
    assert {"data", "weights", "forward", "forward input", "backward", "optimiser", "step"} <= {span["cat"] for span in spans}
    steps = sorted((span for span in spans if span["name"] == "step"), key=lambda span: span["ts"])
    assert len(steps) == 3 and {span["tid"] for span in steps} == {0}
    assert sum(span["dur"] for span in steps) / 3e3 == pytest.approx(document["timed_step_ms"], rel=0.02)
    for thread in {span["tid"] for span in spans}:  # spans of a thread nest or follow each other
        open_ends = []
        for span in sorted((span for span in spans if span["tid"] == thread), key=lambda span: (span["ts"], -span["dur"])):
            while open_ends and open_ends[-1] <= span["ts"] + 0.01:
                open_ends.pop()
            end = span["ts"] + span["dur"]
            assert not open_ends or end <= open_ends[-1] + 0.01
            open_ends.append(end)


def test_step_by_step_through_autograd(share, tmp_path):
    done = profile(share, tmp_path, "--steps", 2, "--json", "--set", "train.execution=eager")
    document = json.loads(done.stdout)["profile"]
    assert document["execution"] == "eager"
    check_numbers(document, 2)
    found = parts_of(document)
    assert all(found[("forward", kind)]["ms"] > 0 for kind in KINDS)
    # Autograd's own operations, with the names that LibTorch gives them.
    assert {"QuantizedProduct", "Attention", "Gelu", "NativeLayerNormBackward0"} <= {name for part, name in found if part == "backward"}


def test_a_table_for_people(share, tmp_path):
    text = profile(share, tmp_path, "--steps", 2).stdout
    assert re.search(r"^quick: [\d.]+ ms a step, \d+ tokens/s \(fused, cpu on 2 threads, \d+ MB\)$", text, re.M)
    assert re.search(r"^[\d.]+ TFLOP/s: \d+% of the [\d.]+ TFLOP/s that a product of this shape reaches here$", text, re.M)
    rows = re.findall(r"^(\w[\w ]*?)  +(.*?)  +(\d*)  +([\d.]+)  +([\d.]+)%$", text, re.M)
    assert rows[-1][0] == "total" and rows[-1][4] == "100.0"
    assert sum(float(row[4]) for row in rows[:-1]) == pytest.approx(100, abs=0.05 * len(rows))
    assert not (tmp_path / "trace.json").exists()


def test_what_can_go_wrong(share, tmp_path):
    broken = tmp_path / "broken.lua"
    broken.write_text(TERNARY.read_text().replace("return (w / scale)", "error('not today')\n  return (w / scale)", 1))
    done = profile(share, tmp_path, "--json", "--out", "trace.json", file=broken, code=1)
    assert json.loads(done.stdout)["status"] == "script_error" and "not today" in done.stderr
    assert not (tmp_path / "trace.json").exists()
    assert profile(share, tmp_path, "--steps", 0, code=2).stdout == ""
    refused = profile(share, tmp_path, "--out", tmp_path / "no" / "folder" / "trace.json", code=2)
    assert "--out" in refused.stderr and refused.stderr.count("\n") == 1


def test_the_live_line(share, tmp_path):
    done = subprocess.run([BIN / "bitloop", "train", TERNARY, "--workspace", tmp_path / "workspace", "--allow-degraded", "--set",
                           "eval.log_every=2"], text=True, capture_output=True, timeout=300,
                          env={**os.environ, "BITLOOP_SHARE": str(share)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^step \d+/40  loss [\d.]+  (val [\d.]+  )?[\d,]+ tokens/s  \d+% of peak  \d+ MB  (\d+ s left  )?"
                     r"quant=\[-1:[\d.]+ 0:[\d.]+ \+1:[\d.]+\]$", done.stdout, re.M), done.stdout
