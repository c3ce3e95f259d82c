"""bench/proxy.py: its rank correlations against SciPy's, and a made-up workspace whose answer is known."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))
import proxy  # noqa: E402


def test_correlations_are_those_of_scipy():  # 1.17.1: stats.kendalltau, stats.spearmanr
    a, b = [1.78, 1.72, 1.75, 1.75, 1.64, 1.9], [2.3, 2.1, 2.2, 2.25, 2.2, 2.0]
    assert proxy.kendall(a, b) == pytest.approx(0.07142857142857144)
    assert proxy.spearman(a, b) == pytest.approx(-0.014705882352941178)
    assert proxy.kendall(a, a) == pytest.approx(1) and proxy.spearman(a, [-x for x in a]) == pytest.approx(-1)
    assert proxy.ranks([3, 1, 3, 2]) == [3.5, 1, 3.5, 2]


def test_without_an_order_there_is_no_correlation():
    assert proxy.kendall([1, 1], [1, 2]) is None and proxy.spearman([1, 1], [1, 2]) is None
    assert proxy.kendall([1], [2]) is None and proxy.spearman([], []) is None


def write_run(workspace, number, method, seed, steps, loss, curve, **changes):
    folder = workspace / "runs" / f"baseline-{number}"
    folder.mkdir(parents=True)
    job = {"preset": {"model": {"width": 128}, "data": {"path": "shakespeare"},
                      "train": {"steps": steps, "batch": 16, "learning_rate": 0.002}},
           "rules": {"quantize_head": False, "paper_compat": False}}
    job["rules"].update(changes)
    (folder / "job.json").write_text(json.dumps(job))
    (folder / "verdict.json").write_text(json.dumps({"jail": {"wall_ms": steps * 10}}))
    perplexity = lambda step: repr(2.718281828459045 ** curve[step]) if step in curve else "-"
    (folder / "log.tsv").write_text("step\teval_ppl\n" + "".join(f"{step}\t{perplexity(step)}\n" for step in range(0, steps + 1, 50)))
    status, written = ("ok", str(loss)) if loss else ("diverged", "")
    return f"baseline\tbaseline\t{number}\ttiny\t{method}\t{seed}\t{status}\t{written}\n"


@pytest.fixture
def workspace(tmp_path):
    """Full order float < two < ternary; after 100 steps of 300 a run's order is float < ternary < two, on the way it is right."""
    final = {"float": 1.6, "two": 1.7, "ternary": 1.8}
    short = {"float": 2.6, "two": 2.8, "ternary": 2.7}
    lines, number = ["session\ttype\ttest\ttask\tquantizer\tseed\tstatus\tval_loss\n"], 0
    for seed in (42, 43):
        for method in final:
            for steps, losses in ((300, final), (100, short)):
                number += 1
                loss = losses[method] + (seed - 42) / 1000
                lines.append(write_run(tmp_path, number, method, seed, steps, loss, {100: final[method] + 1, steps: loss}))
    lines.append(write_run(tmp_path, 90, "wild", 42, 300, None, {}))
    lines.append(write_run(tmp_path, 91, "float", 44, 900, 1.0, {}, quantize_head=True).replace("tiny", "tiny-mls"))
    lines.append(write_run(tmp_path, 92, "float", 42, 300, 9.0, {}))  # a repetition
    (tmp_path / "results.tsv").write_text("".join(lines))
    return tmp_path


def only_tiny(workspace):
    text = (workspace / "results.tsv").read_text()
    (workspace / "results.tsv").write_text("".join(line for line in text.splitlines(True) if "tiny-mls" not in line))
    return proxy.read_runs([workspace])


def test_only_runs_like_the_longest_are_compared(workspace):
    assert {run.steps for run in proxy.read_runs([workspace])} == {900}
    runs = only_tiny(workspace)
    assert len(runs) == 12 and {run.method for run in runs} == {"float", "two", "ternary"}
    assert max(run.loss for run in runs) < 3


def test_what_a_length_is_worth(workspace):
    runs = only_tiny(workspace)
    full = proxy.losses([run for run in runs if run.steps == 300])
    assert proxy.clear_pairs(full) == [("float", "ternary"), ("float", "two"), ("two", "ternary")]
    own = {steps: (wall, worth) for steps, wall, worth in proxy.own_schedule(runs, full)}
    assert own[100][0] == 1 and own[300][0] == 3
    assert own[300][1]["kendall"] == pytest.approx(1) and own[300][1]["pairs"] == 1
    assert own[100][1]["kendall"] == pytest.approx(1 / 3) and own[100][1]["pairs"] == pytest.approx(2 / 3)
    assert own[100][1]["single"] == pytest.approx(1 / 3) and own[100][1]["sd"] == pytest.approx(0.001 / 2 ** 0.5)
    cut = {steps: worth for steps, _, worth in proxy.cut_short(runs, full)}
    assert set(cut) == {100, 300} and cut[100]["kendall"] == pytest.approx(1)


def test_the_report_names_orders_and_what_was_not_measured(workspace):
    runs = only_tiny(workspace)
    text, own, cut = proxy.report(runs)
    assert "12 runs, 3 methods, seeds 42, 43; the full length is 300 steps." in text
    assert "- `float` before `int2`: not measured." in text
    for run in runs:
        run.method = {"two": "int2"}.get(run.method, run.method)
    text = proxy.report(runs)[0]
    assert "- `int2` before `ternary`: yes, by +0.1000; larger spread over seeds 0.0007, 0.01 of the gap." in text


def test_the_document_is_filled_between_its_markers():
    document = (ROOT / "docs" / "proxy.md").read_text()
    filled = proxy.fill(document, "| table |\n")
    assert proxy.fill(filled, "| table |\n") == filled and "| table |" in filled
    assert filled.split(proxy.BEGIN)[0] == document.split(proxy.BEGIN)[0]
    assert filled.split(proxy.END)[1] == document.split(proxy.END)[1]


def test_the_command_prints_and_refuses(workspace, tmp_path):
    only_tiny(workspace)
    done = subprocess.run([ROOT / "bench" / "proxy.py", "--workspace", workspace], capture_output=True, text=True)
    assert done.returncode == 0 and "**Against the published order:**" in done.stdout
    (tmp_path / "results.tsv").write_text("session\ttype\ttest\ttask\tquantizer\tseed\tstatus\tval_loss\n")
    done = subprocess.run([ROOT / "bench" / "proxy.py", "--workspace", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1 and "run bitloop baseline first" in done.stderr


def test_the_curve_is_drawn(workspace, tmp_path):
    runs = only_tiny(workspace)
    _, own, cut = proxy.report(runs)
    assert proxy.draw(own, cut, tmp_path / "proxy.svg")
    assert "<svg" in (tmp_path / "proxy.svg").read_text()
