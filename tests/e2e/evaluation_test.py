"""`bitloop eval` as a user runs it, against what lm-evaluation-harness said of the same model and documents
(golden/evaluation.json), and `bitloop data benchmarks`."""

import array
import json
import math
import os
import pathlib
import struct
import subprocess

import pytest

import tiny_gpt2
from bitloop import BIN, ROOT
from small import small_run

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(),
                                reason="built without the trainer (BITLOOP_TRAINER=OFF)")

GOLDEN = json.loads((pathlib.Path(__file__).resolve().parent / "golden" / "evaluation.json").read_text())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_gpt2.write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    return tiny_gpt2.write_documents(tmp_path_factory.mktemp("documents"))


def run(*words):
    return subprocess.run([BIN / "bitloop", *map(str, words)], text=True, capture_output=True, timeout=300)


def evaluate(model, documents, *more):
    return run("eval", "--model", model, "--benchmarks", documents, "--allow-degraded", *more)


def refused(done):
    """The one sentence of a command that could not do its work."""
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("bitloop: "), done.stderr
    return lines[0]


def test_every_number_is_the_harnesss(model, documents, tmp_path):
    done = evaluate(model, documents, "--json", "--output", tmp_path / "scores.json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result = json.loads(done.stdout)
    assert json.loads((tmp_path / "scores.json").read_text()) == result
    assert result["skipped"] == {}
    for task, golden in GOLDEN.items():
        ours = result["tasks"][task]
        assert len(ours["per_document"]) == len(golden["log_probabilities"]) == ours["documents"]
        for document, wanted in zip(ours["per_document"], golden["log_probabilities"]):
            assert document["log_probabilities"] == pytest.approx(wanted, abs=1e-4, rel=1e-6), task
        for metric, wanted in golden["metrics"].items():
            assert ours["metrics"][metric]["value"] == pytest.approx(wanted, rel=1e-4), (task, metric)
        for metric, wanted in golden["stderr"].items():
            if metric != "perplexity":  # by bootstrap, from another source of chance
                assert ours["metrics"][metric]["stderr"] == pytest.approx(wanted, rel=1e-4), (task, metric)
    bootstrap = result["tasks"]["lambada_openai"]["metrics"]["perplexity"]["stderr"]
    assert bootstrap > 0
    # Blocks of the context's length: about as much a token as by documents.
    assert result["tasks"]["wikitext2"]["metrics"]["perplexity"]["value"] > 1


def test_a_table_for_people_and_a_limit(model, documents):
    done = evaluate(model, documents, "--tasks", "arc_easy,piqa", "--limit", "1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["task", "documents", "metric", "value", "stderr"]
    assert [line.split()[:3] for line in lines[1:]] == [["arc_easy", "1", "acc"], ["arc_easy", "1", "acc_norm"],
                                                        ["piqa", "1", "acc"], ["piqa", "1", "acc_norm"]]


def test_names_without_a_prefix_are_read_too(documents, tmp_path):
    plain = tiny_gpt2.write_model(tmp_path / "plain", prefix="")
    result = json.loads(evaluate(plain, documents, "--tasks", "piqa", "--json").stdout)
    assert result["tasks"]["piqa"]["per_document"][0]["log_probabilities"] == pytest.approx(
        GOLDEN["piqa"]["log_probabilities"][0], abs=1e-4)


def test_missing_documents_are_said_and_never_a_number(model, documents, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    (few / "piqa.jsonl").write_text((documents / "piqa.jsonl").read_text())
    done = evaluate(model, few, "--json")
    result = json.loads(done.stdout)
    assert list(result["tasks"]) == ["piqa"]
    assert "arc_easy.jsonl is not among the benchmarks" in result["skipped"]["arc_easy"]
    assert "winogrande.jsonl is not among the benchmarks" in refused(evaluate(model, few, "--tasks", "winogrande"))
    (tmp_path / "none").mkdir()
    assert "no documents there; bitloop data benchmarks" in refused(evaluate(model, tmp_path / "none"))


@pytest.mark.parametrize("line, task, said", [
    ('{"goal": "x", "sol1": "a", "label": 0}', "piqa", "there is no field 'sol2'"),
    ('{"goal": "x", "sol1": "a", "sol2": 3, "label": 0}', "piqa", "'sol2' is not a text"),
    ('{"goal": "x", "sol1": "", "sol2": "b", "label": 0}', "piqa", "one of its choices is empty"),
    ('{"goal": "x", "sol1": "a", "sol2": "b", "label": 2}', "piqa", "its answer is choice 2 (from 0), but there are 2"),
    ('{"goal": "x", "sol1": "a", "sol2": "b", "label": "q"}', "piqa", "its answer is none of the choices"),
    ('{"goal": "x", "sol1": "a", "so', "piqa", "it is no JSON, or cut short"),
    ('[1, 2]', "piqa", "it is no JSON object"),
    ('{"question": "x", "choices": {"text": ["a", null, "c"], "label": ["A", "B", "C"]}, "answerKey": "A"}', "arc_easy",
     "there is a null in one of its lists"),
    ('{"goal": "x", "sol1": "a", "sol2": "%s", "label": 0}' % ("word " * 70), "piqa", "but the model's context is 64"),
    ('{"question": "x", "choices": {"text": ["a"], "label": ["A"]}, "answerKey": "Z"}', "arc_easy", "its answer is none of the choices"),
    ('{"sentence": "no gap", "option1": "a", "option2": "b", "answer": "1"}', "winogrande", "winogrande.lua:"),
])
def test_a_bad_document_is_named_with_file_line_and_field(model, tmp_path, line, task, said):
    good = json.dumps(tiny_gpt2.DOCUMENTS[task][0])
    (tmp_path / f"{task}.jsonl").write_text(f"{good}\n\n{line}\n")
    sentence = refused(evaluate(model, tmp_path, "--tasks", task))
    assert sentence.startswith(f"bitloop: {task}.jsonl, line 3: "), sentence
    assert said in sentence


def test_a_model_that_can_not_be_read_is_named(model, documents, tmp_path):
    def said(folder):
        return refused(evaluate(folder, documents, "--tasks", "piqa"))

    assert "there is no such file or folder" in said(tmp_path / "nowhere")
    for config, sentence in [({"model_type": "mistral"}, "model_type 'mistral' is not read"),
                             ({"vocab_size": 50000}, "50000 tokens, but GPT-2's tokenizer 50257"),
                             ({"activation_function": "relu"}, "activation_function 'relu'"),
                             ({"n_inner": 17}, "n_inner is 17"),
                             ({"n_layer": 3}, "model.safetensors has no tensor 'transformer.h.2.ln_1.weight'"),
                             ({"n_positions": 32}, "'transformer.wpe.weight' is 64 x 16, but config.json makes it 32 x 16"),
                             ({"tie_word_embeddings": False}, "tie_word_embeddings is false"),
                             ({"n_embd": "x"}, "n_embd must be a whole number"),
                             ({"n_head": 3}, "n_embd 16 is not a multiple of n_head 3"),
                             ({"model_type": 5}, "model_type '5' is not read"),
                             ({"quantization_config": {}}, "quantization_config is not read")]:
        folder = tmp_path / f"{next(iter(config))}-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(tiny_gpt2.CONFIG | config))
        (folder / "model.safetensors").symlink_to(model / "model.safetensors")
        assert sentence in said(folder)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text(json.dumps(tiny_gpt2.CONFIG))
    assert "model.safetensors" in said(broken)
    whole = (model / "model.safetensors").read_bytes()
    for content, sentence in [(b"", "is cut short"), (b"\xff" * 64, "no safetensors file"), (whole[:-4], "is cut short"),
                              (struct.pack("<Q", 2) + b"[]", "its header is not JSON"),
                              (whole.replace(b'"F32"', b'"I32"'), "which is not read")]:
        (broken / "model.safetensors").write_bytes(content)
        assert sentence in said(broken)
    (broken / "model.safetensors").unlink()
    os.mkfifo(broken / "model.safetensors")
    assert "model.safetensors is not a file" in said(broken)
    (broken / "model.safetensors").unlink()
    nan = bytearray(whole)
    nan[-4:] = struct.pack("<f", math.nan)
    (broken / "model.safetensors").write_bytes(nan)
    assert "holds a number in 'transformer.ln_f.bias' that is not finite" in said(broken)
    nan[-64:] = struct.pack("<16f", *[3e38] * 16)  # finite, but its logits are not
    (broken / "model.safetensors").write_bytes(nan)
    assert "what the model says of document 1 is no finite number" in said(broken)
    (broken / "config.json").write_text("[" * 500_000 + "]" * 500_000)
    assert "is no JSON" in said(broken)
    (broken / "config.json").write_text("{")
    assert "is no JSON" in said(broken)


def test_a_model_in_parts_is_one_model(model, documents, tmp_path):
    whole = (model / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header, data = json.loads(whole[8:8 + length]), whole[8 + length:]
    header.pop("__metadata__", None)
    names = sorted(header)
    index = {}

    def write_part(file, of):
        entries, body = {}, b""
        for name in of:
            begin, end = header[name]["data_offsets"]
            entries[name] = {**header[name], "data_offsets": [len(body), len(body) + end - begin]}
            body += data[begin:end]
            index[name] = file
        text = json.dumps(entries).encode()
        text += b" " * (-len(text) % 8)
        (tmp_path / file).write_bytes(struct.pack("<Q", len(text)) + text + body)

    write_part("model-00001-of-00002.safetensors", names[:7])
    write_part("model-00002-of-00002.safetensors", names[7:])
    (tmp_path / "config.json").write_text(json.dumps(tiny_gpt2.CONFIG))
    at = tmp_path / "model.safetensors.index.json"
    at.write_text(json.dumps({"metadata": {}, "weight_map": index}))
    assert scores(tmp_path, documents) == scores(model, documents)

    write_part("model-00002-of-00002.safetensors", names[6:])
    assert "model-00002-of-00002.safetensors has '" + names[6] + "', which another file" in refused(evaluate(tmp_path, documents))
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    assert "model-00002-of-00002.safetensors: No such file" in refused(evaluate(tmp_path, documents))
    for weight_map in ({}, {"a": "../../etc/passwd"}, {"a": 3}, []):
        at.write_text(json.dumps({"weight_map": weight_map}))
        assert "must have a weight_map from tensors to the names of files beside it" in refused(evaluate(tmp_path, documents))
    at.write_text(json.dumps({"weight_map": {str(i): f"{i}.safetensors" for i in range(30)}}))
    assert "names 30 files, more than the 24" in refused(evaluate(tmp_path, documents))


def test_the_loss_of_a_file_of_tokens(model, tmp_path):
    tokens = array.array("H", ((i * 7919) % 50257 for i in range(64 * 5 + 30)))
    plain, shard = tmp_path / "plain.bin", tmp_path / "shard.bin"
    plain.write_bytes(tokens.tobytes())
    shard.write_bytes(struct.pack("<256i", 20240520, 1, len(tokens), *[0] * 253) + tokens.tobytes())
    found = {}
    for file in (plain, shard):
        done = run("eval", "--model", model, "--tokens", file, "--allow-degraded", "--json")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert list(result["tasks"]) == ["tokens"]
        found[file] = result["tasks"]["tokens"]
    assert found[plain] == found[shard]
    metrics = found[plain]["metrics"]
    windows = [document["log_probabilities"][0] for document in found[plain]["per_document"]]
    assert len(windows) == found[plain]["documents"] == 5  # 350 tokens: five windows of 64, and their targets
    loss = -sum(windows) / 5 / 64
    assert metrics["loss"]["value"] == pytest.approx(loss)
    assert metrics["perplexity"]["value"] == pytest.approx(math.exp(loss))
    deviation = math.sqrt(sum((-window / 64 - loss) ** 2 for window in windows) / 4)
    assert metrics["loss"]["stderr"] == pytest.approx(deviation / math.sqrt(5), rel=1e-4)
    assert 0.3 < metrics["bits_per_byte"]["value"] < 30
    limited = json.loads(run("eval", "--model", model, "--tokens", plain, "--limit", 2, "--allow-degraded", "--json").stdout)
    assert limited["tasks"]["tokens"]["per_document"] == found[plain]["per_document"][:2]

    plain.write_bytes(tokens.tobytes() + b"x")
    sentence = refused(run("eval", "--model", model, "--tokens", plain, "--allow-degraded"))
    assert "plain.bin: 701 bytes is no whole number of uint16 tokens" in sentence
    plain.write_bytes(b"\xff\xff" * 200)
    assert "token 65535 at position 0 is not in the vocabulary" in refused(run("eval", "--model", model, "--tokens", plain, "--allow-degraded"))
    plain.write_bytes(tokens.tobytes()[:100])
    assert "shorter than a window of the model" in refused(run("eval", "--model", model, "--tokens", plain, "--allow-degraded"))
    assert "--tokens: " in refused(run("eval", "--model", model, "--tokens", tmp_path / "none.bin", "--allow-degraded"))


def test_many_files_among_the_documents_are_refused(model, documents, tmp_path):
    for number in range(40):
        (tmp_path / f"{number}.jsonl").write_text("{}")
    assert "40 .jsonl files, more than the 20" in refused(evaluate(model, tmp_path, "--tasks", "piqa"))


def test_a_perplexity_beyond_all_numbers_is_printed(model, tmp_path):
    (tmp_path / "wikitext2.jsonl").write_text(json.dumps({"page": "word" * 400}) + "\n")
    done = evaluate(model, tmp_path, "--tasks", "wikitext")
    assert done.returncode == 0, done.stderr
    assert "word_perplexity" in done.stdout and "inf" in done.stdout


def test_an_export_follows_no_link(tmp_path):
    folder = small_run(tmp_path, "float")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "model.safetensors").symlink_to(victim)
    assert run("export", folder, "--to", tmp_path / "to", "--allow-degraded").returncode == 0
    assert victim.read_text() == "precious"
    assert not (tmp_path / "to" / "model.safetensors").is_symlink()


def test_unknown_tasks_are_named(model, documents):
    assert "there is no task 'arc': arc_challenge, arc_easy" in refused(evaluate(model, documents, "--tasks", "arc"))
    assert "--limit must not be negative" in refused(evaluate(model, documents, "--limit", "-1"))
    assert "no file can be written there" in refused(evaluate(model, documents, "--output", "/nowhere/scores.json"))


def test_benchmarks_are_taken_by_name_only_when_asked(model, tmp_path):
    published, to = tmp_path / "published" / "deep", tmp_path / "made"
    published.mkdir(parents=True)
    (published / "PIQA_valid.jsonl").write_text("".join(json.dumps(d) + "\n" for d in tiny_gpt2.DOCUMENTS["piqa"]))
    (published / "wiki.valid.raw").write_text(" \n = One = \n \n Text . \n = = Part = = \n More . \n \n = Two = \n \n End .\n")
    (published / "notes.txt").write_text("nothing")
    none = run("data", "benchmarks", tmp_path / "published", "--to", to)
    assert none.returncode == 2 and "no file of a benchmark there" in none.stderr
    assert "not the file that piqa.jsonl was tested with; --unverified takes it" in none.stdout
    done = run("data", "benchmarks", tmp_path / "published", "--to", to, "--unverified", "--json")
    assert done.returncode == 0, done.stderr
    files = {pathlib.Path(entry["source"]).name: entry for entry in json.loads(done.stdout)["files"]}
    assert files["PIQA_valid.jsonl"]["documents"] == 2 and not files["PIQA_valid.jsonl"]["known"]
    assert files["notes.txt"]["why_not"] == "no benchmark that this version knows"
    pages = [json.loads(line)["page"] for line in (to / "wikitext2.jsonl").read_text().splitlines()]
    assert pages == [" \n = One = \n \n Text . \n = = Part = = \n More . \n \n", " = Two = \n \n End .\n"]
    assert json.loads((to / "benchmarks.json").read_text())["piqa.jsonl"]["source"] == "PIQA_valid.jsonl"
    assert evaluate(model, to, "--tasks", "piqa,wikitext2").returncode == 0

    (published / "PIQA_valid.jsonl").write_text('{"goal": 1}\n{"goal":')
    broken = run("data", "benchmarks", tmp_path / "published", "--to", to, "--unverified")
    assert broken.returncode == 2 and "PIQA_valid.jsonl, line 2: it is no JSON object, or cut short" in broken.stderr
    assert len((to / "piqa.jsonl").read_text().splitlines()) == 2  # the old one is whole


def scores(model, documents):
    done = evaluate(model, documents, "--tasks", "piqa,arc_easy,wikitext", "--json")
    assert done.returncode == 0, done.stderr
    return {task: [document["log_probabilities"] for document in found["per_document"]]
            for task, found in json.loads(done.stdout)["tasks"].items()}


def test_a_run_is_scored_and_its_export_is_the_same_model(documents, tmp_path):
    folder = small_run(tmp_path, "float")
    exported = tmp_path / "exported"
    done = run("export", folder, "--to", exported, "--allow-degraded")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in exported.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    ours, theirs = scores(folder, documents), scores(exported, documents)
    for task in ours:
        for a, b in zip(ours[task], theirs[task], strict=True):
            assert a == pytest.approx(b, abs=1e-4, rel=1e-6), task


def test_a_quantised_run_is_scored_with_its_candidate(documents, tmp_path):
    folder = small_run(tmp_path, "ternary")
    whole = scores(folder, documents)
    weights = {}
    for use in ("quantised", "latent"):
        assert run("export", folder, "--to", tmp_path / use, "--weights", use, "--allow-degraded").returncode == 0
        weights[use] = scores(tmp_path / use, documents)
    # int8 activations are close to float ones; without its quantised weights it is another model.
    near = abs(whole["wikitext"][0][0] - weights["quantised"]["wikitext"][0][0])
    far = abs(whole["wikitext"][0][0] - weights["latent"]["wikitext"][0][0])
    assert 0 < near < 0.1 * far, (near, far)


def test_what_can_not_be_scored_or_exported_says_why(documents, tmp_path):
    done = run("train", ROOT / "quantizers" / "quest_ternary.lua", "--preset", "quick", "--steps", "1", "--eval-every", "1", "--workspace",
               tmp_path, "--allow-degraded")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "local-1"
    assert "the run's model (quick) has no GPT-2 tokens" in refused(evaluate(folder, documents))
    sentence = refused(run("export", folder, "--to", tmp_path / "to", "--allow-degraded"))
    assert "transforms what its layers read" in sentence and "--weights latent" in sentence
    assert not list((tmp_path / "to").iterdir())  # nothing half-written
    assert run("export", folder, "--to", tmp_path / "to", "--weights", "latent", "--allow-degraded").returncode == 0
    assert json.loads((tmp_path / "to" / "config.json").read_text())["vocab_size"] == 256
    assert "job.json" in refused(run("export", tmp_path, "--to", tmp_path / "to", "--allow-degraded"))
    (folder / "output" / "weights.safetensors").write_bytes(b"short")
    assert "weights.safetensors is cut short" in refused(run("export", folder, "--to", tmp_path / "to2", "--allow-degraded"))
