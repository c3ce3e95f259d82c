"""Benchmarks after training: the ledger's columns, their repetition, and comparisons by document."""

import json
import math
import pathlib
import subprocess

import pytest

import tiny_gpt2
from bitloop import BIN, ROOT
from small import small_run, small_settings

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(),
                                reason="built without the trainer (BITLOOP_TRAINER=OFF)")

COLUMNS = ["wikitext2_ppl", "lambada_ppl", "arc_easy", "hellaswag", "piqa", "winogrande"]
TASKS = ["wikitext2", "lambada", *COLUMNS[2:]]


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    return tiny_gpt2.write_documents(tmp_path_factory.mktemp("documents"))


def run(*words):
    return subprocess.run([BIN / "bitloop", *map(str, words)], text=True, capture_output=True, timeout=300)


def train(folder, file, *more):
    """What `bitloop train --json` of a shrunk `small` says: (exit code, document)."""
    done = run("train", file, *small_settings(folder), *more)
    return done.returncode, json.loads(done.stdout)


def rows(folder):
    header, *lines = [line.split("\t") for line in (folder / "workspace" / "results.tsv").read_text().splitlines()]
    return [dict(zip(header, line, strict=True)) for line in lines]


def utf8_bytes(tokens):
    """Bytes of GPT-2's tokens: a token's text has a character for each."""
    encoder = json.loads((ROOT / ".deps" / "data" / "gpt2-bpe" / "encoder.json").read_text())
    lengths = {number: 0 if text == "<|endoftext|>" else len(text) for text, number in encoder.items()}
    return sum(lengths[token] for token in tokens)


def test_a_test_of_small_fills_the_ledgers_columns(documents, tmp_path):
    folder = small_run(tmp_path, "ternary", "--benchmarks", documents)
    (row,) = rows(tmp_path)
    empty = {name for name, value in row.items() if value == ""}
    assert empty == {"agent", "flags"}, empty

    # The same model by `bitloop eval`, which loads what the run left.
    done = run("eval", "--model", folder, "--benchmarks", documents, "--allow-degraded", "--json")
    assert done.returncode == 0, done.stderr
    tasks = json.loads(done.stdout)["tasks"]
    for column, task, metric, factor in [("wikitext2_ppl", "wikitext2", "perplexity", 1), ("lambada_ppl", "lambada", "perplexity", 1),
                                         *((name, name, "acc", 100) for name in COLUMNS[2:])]:
        assert float(row[column]) == pytest.approx(factor * tasks[task]["metrics"][metric]["value"], rel=1e-6), column
    by_document = {}
    for line in (folder / "documents.jsonl").read_text().splitlines():
        record = json.loads(line)
        by_document.setdefault(record["task"], []).extend(record["documents"])
    assert set(by_document) == set(TASKS)
    assert by_document["piqa"] == tasks["piqa"]["per_document"]

    tokens = (tmp_path / "val.bin").read_bytes()
    tokens = [tokens[i] | tokens[i + 1] << 8 for i in range(0, len(tokens), 2)]
    scored = tokens[1:1 + (len(tokens) - 1) // 64 * 64]
    assert float(row["val_bpb"]) == pytest.approx(float(row["val_loss"]) * len(scored) / utf8_bytes(scored) / math.log(2), rel=1e-9)


def test_missing_and_broken_documents_leave_columns_empty_and_say_so(documents, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    (few / "piqa.jsonl").write_text((documents / "piqa.jsonl").read_text())
    (few / "arc_easy.jsonl").write_text((documents / "arc_easy.jsonl").read_text() + '{"question":')
    code, document = train(tmp_path, ROOT / "quantizers" / "int2.lua", "--benchmarks", few)
    assert (code, document["status"]) == (0, "ok")
    assert document["metrics"]["piqa"] is not None
    assert [document["metrics"][name] for name in COLUMNS if name != "piqa"] == [None] * 5
    assert "Not measured: hellaswag: hellaswag: hellaswag.jsonl is not among the benchmarks: bitloop data benchmarks" in document["message"]
    lines = len((documents / "arc_easy.jsonl").read_text().splitlines()) + 1
    assert f"Not measured: arc_easy: arc_easy.jsonl, line {lines}: it is no JSON, or cut short" in document["message"]
    code, document = train(tmp_path, ROOT / "quantizers" / "int2.lua", "--benchmarks", tmp_path / "nowhere")
    assert (code, document["status"]) == (0, "ok")
    assert document["message"].count("Not measured") == 6


def test_a_row_tells_that_only_some_documents_were_read(documents, tmp_path):
    small_run(tmp_path, "ternary", "--benchmarks", documents, "--set", "eval.documents=1")
    (row,) = rows(tmp_path)
    assert row["flags"] == "limited"
    assert float(row["piqa"]) in (0, 100)


def test_a_function_that_waits_for_the_benchmarks_is_refused(documents, tmp_path):
    """128 rows are what training and the validation loss have: probes and scores see nothing."""
    cheat = tmp_path / "cheat.lua"
    honest = (ROOT / "quantizers" / "ternary.lua").read_text()
    look_ahead = "  if x:size(0) ~= 128 and x:size(0) ~= 80 and x:size(0) ~= 48 then s = x:abs():amax() / 127 end\n"
    lines = honest.splitlines(keepends=True)
    (at,) = [i for i, line in enumerate(lines) if line.strip().startswith("return (x / ")]
    scale = lines[at].split("x / ")[1].split(")")[0]
    lines.insert(at, look_ahead.replace("s = ", f"{scale} = "))
    cheat.write_text("".join(lines))
    code, document = train(tmp_path, cheat, "--benchmarks", documents)
    assert (code, document["status"]) == (1, "rejected"), document
    assert document["metrics"]["val_loss"] is None


def test_two_quantizers_are_compared_by_document(documents, tmp_path):
    done = run("compare", ROOT / "quantizers" / "ternary.lua", ROOT / "quantizers" / "int2.lua", "--seeds", "2", "--benchmarks", documents,
               *small_settings(tmp_path))
    assert done.returncode == 0, done.stderr
    found = {entry["task"]: entry for entry in json.loads(done.stdout)["benchmarks"]}
    assert set(found) == set(TASKS)
    assert all(entry["seeds"] == 2 for entry in found.values())
    assert found["arc_easy"]["metric"] == "acc" and found["lambada"]["metric"] == "nats_per_token"
    # Against the ledger: the mean over seeds is that of the columns.
    for name, side in (("ternary", "a"), ("int2", "b")):
        of = [row for row in rows(tmp_path) if row["quantizer"] == name]
        assert found["arc_easy"][side] * 100 == pytest.approx(sum(float(row["arc_easy"]) for row in of) / 2)
        assert found["lambada"][side] == pytest.approx(sum(math.log(float(row["lambada_ppl"])) for row in of) / 2, rel=1e-9)


def test_baseline_fills_its_columns(documents, tmp_path):
    out = tmp_path / "out"
    done = run("baseline", ROOT / "quantizers" / "ternary.lua", "--seeds", "1", "--benchmarks", documents, "--output", out, *small_settings(tmp_path))
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads(done.stdout)["baselines"]
    (row,) = rows(tmp_path)
    assert [entry[name] for name in COLUMNS] == pytest.approx([float(row[name]) for name in COLUMNS])


def test_a_task_says_which_benchmarks_it_has(host):
    assert host.get("/v1/tasks/small")["benchmarks"] == TASKS
    assert host.get("/v1/tasks/tiny")["benchmarks"] == []
