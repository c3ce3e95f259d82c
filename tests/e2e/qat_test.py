"""Quantisation-aware training from a trained model as a user and an agent have it: `bitloop train --init-from`, `bitloop
quantize`, a task with `init_from` over HTTP, and models that can't be begun with."""

import array
import hashlib
import json
import math
import os
import pathlib
import shutil
import struct
import subprocess

import pytest

from bitloop import BIN, ROOT, Host
from small import SHARE, make_share

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(),
                                reason="built without the trainer (BITLOOP_TRAINER=OFF)")

STEPS = 12
QUANTIZERS = ROOT / "quantizers"


class Bench:
    """A share folder with a small `quick`, and a workspace whose run local/1 is a trained float model."""

    def __init__(self, folder):
        self.folder, self.workspace = folder, folder / "workspace"
        self.share = make_share(folder / "share", steps=STEPS)
        (self.share / "data" / "gpt2-bpe").symlink_to(SHARE / "data" / "gpt2-bpe")
        self.environment = {**os.environ, "BITLOOP_SHARE": str(self.share)}
        assert self.train("float").returncode == 0

    def run(self, *words):
        return subprocess.run([BIN / "bitloop", *map(str, words), "--allow-degraded"], text=True, capture_output=True, timeout=300,
                              cwd=self.folder, env=self.environment)

    def train(self, quantizer, *more):
        file = quantizer if isinstance(quantizer, pathlib.Path) else QUANTIZERS / f"{quantizer}.lua"
        return self.run("train", file, "--workspace", self.workspace, "--json", *more)

    def trained(self, quantizer, *more):
        """A run that must end well: (its number, its records)."""
        done = self.train(quantizer, *more)
        assert done.returncode == 0, done.stdout + done.stderr
        number = max(int(path.name.split("-")[1]) for path in (self.workspace / "runs").iterdir())
        return number, self.records(number)

    def folder_of(self, number):
        return self.workspace / "runs" / f"local-{number}"

    def records(self, number):
        return [json.loads(line) for line in (self.folder_of(number) / "events.jsonl").read_text().splitlines()]

    def of_type(self, records, kind):
        return [record for record in records if record["type"] == kind]

    def refused(self, done, sentence):
        """One sentence, and nothing written."""
        assert done.returncode == 2 and done.stdout == "", (done.returncode, done.stdout, done.stderr)
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1 and sentence in lines[0], done.stderr


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("qat"))


def weights_of(folder):
    return folder / "output" / "weights.safetensors"


def safetensors(path):
    """(header, data) of a file."""
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    return json.loads(whole[8:8 + length]), whole[8 + length:]


def test_training_begins_with_the_models_weights_however_it_is_named(bench, tmp_path):
    trained = bench.folder_of(1)
    assert bench.run("export", trained, "--to", bench.folder / "hf", "--weights", "latent").returncode == 0
    shutil.copy(weights_of(trained), bench.folder / "bare.safetensors")
    sha256 = hashlib.sha256(weights_of(trained).read_bytes()).hexdigest()
    (of_float,) = [record for record in bench.of_type(bench.records(1), "val") if record["step"] == STEPS]
    first = {}
    for name in ("local/1", trained, weights_of(trained), "bare.safetensors", "hf"):
        _, records = bench.trained("ternary", "--init-from", name)
        header, (look,) = records[0], bench.of_type(records, "init_eval")
        assert header["init_from"]["path"] == str(name)
        if name != "hf":
            assert header["init_from"]["sha256"] == sha256
        # The float model as it came, and quantised at lambda 1 before any step.
        assert look["float_val_loss"] == pytest.approx(of_float["val_loss"], rel=1e-6)
        assert look["val_loss"] != look["float_val_loss"]
        (result,) = bench.of_type(records, "result")
        first[str(name)] = result["metrics"]["first_losses"]
    assert len({json.dumps(losses) for losses in first.values()}) == 1, first  # the same bits
    _, scratch = bench.trained("ternary")
    assert scratch[0]["init_from"] is None and "float_val_loss" not in bench.of_type(scratch, "init_eval")[0]
    assert bench.of_type(scratch, "result")[0]["metrics"]["first_losses"] not in first.values()
    assert first["hf"][0] < bench.of_type(scratch, "result")[0]["metrics"]["first_losses"][0]


def test_what_cant_be_begun_with_is_one_sentence_and_writes_nothing(bench):
    def refused(sentence, *words):
        before = sorted((bench.workspace / "runs").iterdir())
        bench.refused(bench.train("ternary", *words), sentence)
        assert sorted((bench.workspace / "runs").iterdir()) == before

    refused("no/where, is not there: name the folder of a run", "--init-from", "no/where")
    refused("is another model than the preset quick's: its layers is 2, not 1", "--init-from", "local/1", "--set", "model.layers=1")
    refused("its heads is 2, not 4", "--init-from", "local/1", "--set", "model.heads=4")
    (bench.folder / "empty").mkdir(exist_ok=True)
    refused("has neither job.json of a run nor config.json", "--init-from", "empty")


def test_models_that_are_damaged_are_named_by_the_jail(bench):
    """What only a reader of the tensors can see: found by a pre-flight, before there is a run."""
    header, data = safetensors(weights_of(bench.folder_of(1)))
    broken = bench.folder / "broken.safetensors"

    def write(change_header=lambda header: header, data=data):
        text = json.dumps(change_header(json.loads(json.dumps(header)))).encode()
        broken.write_bytes(struct.pack("<Q", len(text)) + text + data)

    def refused(sentence):
        before = sorted((bench.workspace / "runs").iterdir())
        bench.refused(bench.train("ternary", "--init-from", "broken.safetensors"), sentence)
        assert sorted((bench.workspace / "runs").iterdir()) == before

    begin, _ = header["wte.weight"]["data_offsets"]
    write(data=data[:begin] + struct.pack("<f", math.nan) + data[begin + 4:])
    refused("--init-from: broken.safetensors holds a number in 'wte.weight' that is not finite")

    def turned(header):
        header["wpe.weight"]["shape"].reverse()
        return header

    write(turned)
    refused("has 'wpe.weight' as 64 x 128, but the preset's model makes it 128 x 64")

    def renamed(header):
        header["gate.weight"] = header.pop("wpe.weight")
        return header

    write(renamed)
    refused("is of another architecture: it has no 'wpe.weight', which the preset's gpt2 has")
    broken.write_bytes(weights_of(bench.folder_of(1)).read_bytes()[:-5])
    refused("broken.safetensors")
    write()
    assert bench.train("ternary", "--init-from", "broken.safetensors").returncode == 0


def packed_of(number, bench):
    return bench.folder_of(number) / "output" / "packed.safetensors"


def first_losses(bench, records):
    return bench.of_type(records, "result")[0]["metrics"]["first_losses"]


def test_training_begins_with_the_values_of_a_packed_model(bench):
    # All numbers of a float model are in its packed file: the same bits as from its weights.
    _, from_weights = bench.trained("ternary", "--init-from", "local/1")
    _, from_packed = bench.trained("ternary", "--init-from", packed_of(1, bench))
    assert first_losses(bench, from_packed) == first_losses(bench, from_weights)
    # Of a quantised one the values stand for the weights that are gone; QuEST's are turned back.
    for name in ("ternary", "quest_ternary", "kmeans", "tequila"):
        file = bench.folder / f"{name}.lua"
        file.write_text((QUANTIZERS / file.name).read_text().replace('kind = "hadamard", block = 128', 'kind = "hadamard", block = 64'))
        number, records = bench.trained(file)
        (score,) = bench.of_type(records, "eval")
        _, looked = bench.trained("float", "--init-from", packed_of(number, bench), "--steps", "1")
        (look,) = bench.of_type(looked, "init_eval")
        _, looked = bench.trained("float", "--init-from", f"local/{number}", "--steps", "1")
        (other,) = bench.of_type(looked, "init_eval")
        # Activations are float there, so it is the score but for their rounding.
        val = [record for record in bench.of_type(records, "val") if record["step"] == STEPS][0]["val_loss"]
        assert look["float_val_loss"] == pytest.approx(val, abs=0.02), name
        assert look["float_val_loss"] != other["float_val_loss"], name


def test_a_packed_model_that_cant_be_begun_with_is_one_sentence(bench):
    def refused(sentence, file, *words):
        before = sorted((bench.workspace / "runs").iterdir())
        bench.refused(bench.train("ternary", "--init-from", file, *words), sentence)
        assert sorted((bench.workspace / "runs").iterdir()) == before

    number, _ = bench.trained("ternary")
    whole = packed_of(number, bench).read_bytes()
    broken = bench.folder / "broken-packed.safetensors"
    broken.write_bytes(whole[:-1])
    refused("broken-packed.safetensors is cut short", broken)
    broken.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused("is damaged: ", broken)
    refused("is another model than the preset's: its number of heads is 2, but the preset's is 4", packed_of(number, bench), "--set", "model.heads=4")
    file = bench.folder / "changed_input.lua"
    file.write_text((QUANTIZERS / "ternary.lua").read_text().replace(
        "function Q.activation_quant", "function Q.input(x, ctx) return x * 0.5 end\nfunction Q.activation_quant"))
    done = bench.run("train", file, "--workspace", bench.workspace, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    number = max(int(path.name.split("-")[1]) for path in (bench.workspace / "runs").iterdir())
    refused("is a packed model whose quantizer has `input`", packed_of(number, bench))


def test_another_model_of_hugging_face_is_refused(bench):
    assert bench.run("export", bench.folder_of(1), "--to", bench.folder / "hf2", "--weights", "latent").returncode == 0
    config = json.loads((bench.folder / "hf2" / "config.json").read_text())
    for change, sentence in [({"n_head": 4}, "its number of heads is 4, but the preset's is 2"), ({"model_type": "opt"}, "hf2 can't be used: ")]:
        (bench.folder / "hf2" / "config.json").write_text(json.dumps({**config, **change}))
        bench.refused(bench.train("ternary", "--init-from", "hf2"), sentence)


def test_a_folder_with_a_missing_part_is_refused(bench):
    folder = bench.folder / "hf3"
    assert bench.run("export", bench.folder_of(1), "--to", folder, "--weights", "latent").returncode == 0
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(
        {"weight_map": {"transformer.wte.weight": "model-00001-of-00002.safetensors", "transformer.wpe.weight": "model-00002-of-00002.safetensors"}}))
    before = sorted((bench.workspace / "runs").iterdir())
    bench.refused(bench.train("ternary", "--init-from", "hf3"), "model-00002-of-00002.safetensors")
    assert sorted((bench.workspace / "runs").iterdir()) == before


def test_a_hadamard_block_that_does_not_divide_a_row_is_named(bench):
    done = bench.train("quest_ternary", "--init-from", "local/1")
    document = json.loads(done.stdout)
    assert done.returncode == 1 and document["status"] == "script_error"
    assert "transform (layer h.0.attn.c_attn): block 128 does not divide its 64 inputs" in document["message"]
    assert document["metrics"]["val_loss"] is None


def test_the_options_of_the_recipe_train(bench):
    """Soft tanh, a learned gain and recovery from the dead zone, all at once."""
    text = (QUANTIZERS / "ternary_qat.lua").read_text()
    assert "SOFT, LEARNED, RECOVER = false, false, false" in text
    file = bench.folder / "options.lua"
    file.write_text(text.replace("RECOVER = false, false, false", "RECOVER = true, true, true"))
    number, records = bench.trained(file, "--init-from", "local/1", "--set", "qat.lambda=linear", "--set", "qat.ramp=8")
    metrics = bench.of_type(records, "result")[0]["metrics"]
    assert metrics["bits_per_weight"] > math.log2(3) + 32 / 128  # a gain a layer
    header, data = safetensors(weights_of(bench.folder_of(number)))
    gains = [struct.unpack("<f", data[slice(*entry["data_offsets"])])[0] for name, entry in header.items() if name.endswith("params.gain")]
    assert len(gains) == 8 and all(gain != 1 for gain in gains)


def test_a_model_that_changed_is_noticed_by_a_replay(bench):
    copy = bench.folder / "copied"
    shutil.copytree(bench.folder_of(1), copy, ignore=shutil.ignore_patterns("*.lock"))
    number, _ = bench.trained("ternary", "--init-from", "copied")
    same = bench.run("replay", f"local/{number}", "--workspace", bench.workspace)
    assert same.returncode == 0, same.stdout + same.stderr
    header, data = safetensors(weights_of(copy))
    begin, _ = header["wte.weight"]["data_offsets"]
    whole = bytearray(weights_of(copy).read_bytes())
    whole[len(whole) - len(data) + begin] ^= 1
    weights_of(copy).write_bytes(whole)
    changed = bench.run("replay", f"local/{number}", "--workspace", bench.workspace)
    assert changed.returncode == 3 and "is another file than when the run was made" in changed.stderr, changed.stderr
    shutil.rmtree(copy)
    gone = bench.run("replay", f"local/{number}", "--workspace", bench.workspace)
    assert gone.returncode == 3 and "can't be read any more" in gone.stderr, gone.stderr


def test_lambda_follows_the_preset_and_scores_are_at_one(bench):
    number, records = bench.trained("ternary_qat", "--init-from", "local/1", "--set", "qat.lambda=linear", "--set", "qat.delay=2", "--set",
                                    "qat.ramp=8", "--set", "qat.max=0.8", "--set", "train.schedule=constant", "--set", "eval.log_every=1")
    steps = {record["step"]: record for record in bench.of_type(records, "step")}
    for step, record in steps.items():
        assert record["lambda"] == pytest.approx(0.8 * min(1, max(0, step - 1 - 2) / 8))
    assert {steps[step]["lr"] for step in range(4, STEPS + 1)} == {0.002}
    for record in bench.of_type(records, "val"):
        assert record["lambda"] < 1
        assert record["lambda_val_loss"] != record["val_loss"]
    lines = [line.split("\t") for line in (bench.folder_of(number) / "log.tsv").read_text().splitlines()]
    assert lines[0] == "step lambda train_loss train_ppl eval_ppl eval_bpb lr time_s best_ppl q_neg1 q_zero q_pos1".split()
    evaluated = [line for line in lines[1:] if line[4] != "-"]
    assert [float(line[8]) for line in evaluated] == [min(float(line[4]) for line in evaluated[:i + 1]) for i in range(len(evaluated))]
    for line, record in zip(evaluated, bench.of_type(records, "val")):
        assert float(line[4]) == pytest.approx(math.exp(record["val_loss"]), rel=1e-5)


def test_a_plateau_rises_and_ends_below_one(bench):
    _, records = bench.trained("ternary_qat", "--init-from", "local/1", "--set", "qat.lambda=plateau", "--set", "qat.rise=0.3", "--set",
                               "qat.every=3", "--set", "qat.max=0.8", "--set", "eval.log_every=1")
    found = [record["lambda"] for record in bench.of_type(records, "step")]
    assert found == pytest.approx([0] * 3 + [0.3] * 3 + [0.6] * 3 + [0.8] * 3)


def test_shorter_sequences_and_windows(bench):
    number, records = bench.trained("ternary", "--init-from", "local/1", "--set", "train.sequence=64", "--set", "eval.window=32")
    (result,) = bench.of_type(records, "result")
    assert result["metrics"]["tokens"] == STEPS * 16 * 64
    (score,) = bench.of_type(records, "eval")
    whole = bench.of_type(bench.records(1), "eval")[0]
    assert whole["tokens"] % 128 == 0 and score["tokens"] % 32 == 0 and whole["tokens"] <= score["tokens"] < whole["tokens"] + 128
    _, eager = bench.trained("ternary", "--init-from", "local/1", "--set", "train.sequence=64", "--set", "eval.window=32", "--set",
                             "train.execution=eager")
    assert bench.of_type(eager, "result")[0]["metrics"]["first_losses"] == pytest.approx(result["metrics"]["first_losses"], abs=0.01)


@pytest.mark.parametrize("bits", ["8", "16"])
@pytest.mark.parametrize("group", ["64", "128", "256"])
def test_activations_of_8_and_16_bits_and_groups(bench, bits, group):
    text = (QUANTIZERS / "ternary_qat.lua").read_text().replace("group = 128", f"group = {group}").replace("GROUP = 128", f"GROUP = {group}")
    if bits == "8":
        text = text.replace("activation_bits = 16", "activation_bits = 8").replace("32767", "127").replace("-32768", "-128")
    file = bench.folder / "grouped.lua"
    file.write_text(text)
    done = bench.run("train", file, "--workspace", bench.workspace, "--json", "--init-from", "local/1", "--set", "qat.lambda=cosine", "--set",
                     "qat.ramp=4")
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads(done.stdout)["metrics"]
    assert metrics["bits_per_weight"] == pytest.approx(math.log2(3) + 32 / int(group), rel=0.01)


def test_quantize_is_a_table_of_what_training_would_have_to_beat(bench):
    number, _ = bench.trained("ternary", "--init-from", "local/1")
    packed = bench.folder / "packed.safetensors"
    done = bench.run("quantize", "local/1", QUANTIZERS / "ternary.lua", QUANTIZERS / "kmeans.lua", "--beside", f"local/{number}", "--out", packed,
                     "--workspace", bench.workspace, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    rows = {(row["name"], row["kind"]): row for row in document["rows"]}
    assert list(rows) == [("float", "as it came"), ("ternary", "without training"), ("kmeans", "without training"), ("ternary", "trained")]
    (score,) = bench.of_type(bench.records(1), "eval")
    assert rows["float", "as it came"]["val_loss"] == pytest.approx(score["val_loss"], rel=1e-6)
    for row in document["rows"]:
        assert row["difference"] == pytest.approx(row["val_loss"] - score["val_loss"], abs=1e-6)
        assert row["val_ppl"] == pytest.approx(math.exp(row["val_loss"]))
    codebooks, weights = 192 + 64 + 256 + 2 * 64, 64 * (192 + 64 + 256 + 256)  # of a layer: one for 128 inputs of a row, or fewer
    assert rows["kmeans", "without training"]["bits_per_weight"] == pytest.approx(3 + codebooks * 8 * 16 / weights)
    assert 0 < rows["kmeans", "without training"]["quant_err_rms"] and 0 <= rows["kmeans", "without training"]["dead_frac"] < 0.5
    assert document["packed"] == {"file": str(packed), "bytes": packed.stat().st_size}
    # No step was made: what is packed are the codes of the float model's own weights.
    scored = bench.run("generate", packed, "--prompt", "A", "--max-new-tokens", "4", "--temperature", "0")
    assert scored.returncode == 0, scored.stderr
    table = bench.run("quantize", "local/1", QUANTIZERS / "ternary.lua", "--workspace", bench.workspace)
    assert [line.split()[0] for line in table.stdout.splitlines()] == ["model", "float", "ternary"]
    assert not any(path.name.startswith("bitloop-quantize-") for path in bench.folder.iterdir())


def test_further_texts_are_columns_of_the_table(bench):
    text = bench.folder / "other.bin"
    text.write_bytes(array.array("H", list(next((bench.share / "data" / "shakespeare").iterdir()).read_bytes()[5000:9000])).tobytes())
    number, _ = bench.trained("ternary", "--init-from", "local/1")
    words = ("quantize", "local/1", QUANTIZERS / "int4.lua", "--beside", f"local/{number}", "--tokens", f"one={text}", "--tokens", f"wikitext103={text}",
             "--set", "eval.window=32", "--workspace", bench.workspace)
    done = bench.run(*words, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [row["kind"] for row in rows] == ["as it came", "without training", "trained"]

    def loss(run):
        done = bench.run("eval", "--model", bench.folder_of(run), "--tokens", text, "--window", "32", "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)["tasks"]["tokens"]
        assert found["documents"] == (4000 - 1) // 32
        return found["metrics"]["loss"]["value"]

    for row in rows:
        assert row["tokens"]["one"] == row["tokens"]["wikitext103"]
        assert row["tokens"]["one"]["ppl"] == pytest.approx(math.exp(row["tokens"]["one"]["loss"]))
    assert rows[0]["tokens"]["one"]["loss"] == pytest.approx(loss(1), rel=1e-6)
    assert rows[1]["tokens"]["one"]["loss"] != rows[0]["tokens"]["one"]["loss"]
    assert rows[2]["tokens"]["one"]["loss"] == pytest.approx(loss(number), rel=1e-6)
    table = bench.run(*words).stdout.splitlines()
    assert table[0].split()[-2:] == ["one", "wikitext103"]
    assert table[1].split()[-1] == f"{rows[0]['tokens']['one']['ppl']:.3f}"
    for sentence, *more in [("there is no such file", "--tokens", "x=/nowhere"), ("must be NAME=FILE", "--tokens", text),
                            ("there are two of that name", "--tokens", f"a={text}", "--tokens", f"a={text}")]:
        bench.refused(bench.run("quantize", "local/1", QUANTIZERS / "int4.lua", "--workspace", bench.workspace, *more), sentence)
    bench.refused(bench.run("eval", "--model", bench.folder_of(1), "--tokens", text, "--window", "129"),
                  "a window of 129 tokens is longer than the model's context, 128")


def test_quantize_says_what_is_wrong(bench):
    def said(code, sentence, *words):
        done = bench.run("quantize", *words, "--workspace", bench.workspace)
        assert done.returncode == code and sentence in done.stderr, (done.returncode, done.stdout, done.stderr)
        assert len(done.stderr.strip().splitlines()) == 1

    said(2, "no/where, is not there", "no/where", QUANTIZERS / "ternary.lua")
    said(2, "no finished run of that name", "local/1", QUANTIZERS / "ternary.lua", "--beside", "local/99")
    said(2, "no file can be written", "local/1", QUANTIZERS / "ternary.lua", "--out", "/nowhere/x")
    one = bench.folder / "one.lua"
    one.write_text((QUANTIZERS / "kmeans.lua").read_text().replace("ENTRIES, BLOCK = 8", "ENTRIES, BLOCK = 1"))
    said(1, "entries must be a whole number from 2 to 65536", "local/1", one)


@pytest.fixture
def task_share(bench, tmp_path):
    share = make_share(tmp_path / "share", steps=STEPS)
    task = json.loads((share / "tasks" / "quick.json").read_text())
    task.update(name="quick-qat", init_from="models/start", description="From a float model.")
    (share / "tasks" / "quick-qat.json").write_text(json.dumps(task))
    return share


def test_an_agent_is_given_a_task_that_begins_with_a_model(bench, task_share, tmp_path):
    with Host(tmp_path / "workspace", fake=False, BITLOOP_SHARE=str(task_share)) as host:
        assert host.get("/v1/tasks/quick-qat")["init_from"] == "models/start"
        assert host.get("/v1/tasks/quick")["init_from"] is None
        session = host.session("quick-qat")
        # The model is not there yet: said when it is needed, and nothing is charged.
        for call in ("/checks", "/tests"):
            refused = session.post(call, {})
            assert refused.status == 503 and refused["code"] == "init_unavailable", refused.text
            assert "models/start, is not there" in refused["detail"]
        assert session.get()["tests_left"] == 3
        place = tmp_path / "workspace" / "models" / "start"
        shutil.copytree(bench.folder_of(1), place, ignore=shutil.ignore_patterns("*.lock"))
        check = session.post("/checks", {})
        assert check.status == 200 and check["ok"], check.text
        ended = session.test(description="from the float model")
        assert ended["status"] == "ok", ended.text
        events = [json.loads(line) for line in session.get("/tests/1/events.jsonl").text.splitlines()]
        assert events[0]["init_from"] == {"path": "models/start", "sha256": hashlib.sha256(weights_of(place).read_bytes()).hexdigest()}
        (look,) = bench.of_type(events, "init_eval")
        assert look["float_val_loss"] > 0
        # A reviewer's hidden seeds begin with the same weights.
        assert session.post("/submission", {"test": 1}).status == 200
        assert host.stop() == 0
    done = bench.run("verify", session.id, "--seeds", "1", "--workspace", tmp_path / "workspace", "--json")
    assert done.returncode in (0, 1), done.stderr
    (run,) = (tmp_path / "workspace" / "runs").glob("verify-*")
    assert json.loads((run / "job.json").read_text())["init_from"]["sha256"] == events[0]["init_from"]["sha256"]


def test_the_command_line_takes_the_tasks_model(bench, task_share, tmp_path):
    environment = {**os.environ, "BITLOOP_SHARE": str(task_share)}
    words = [BIN / "bitloop", "train", QUANTIZERS / "ternary.lua", "--preset", "quick-qat", "--workspace", tmp_path / "workspace", "--allow-degraded"]
    missing = subprocess.run(words, text=True, capture_output=True, timeout=300, env=environment)
    bench.refused(missing, "models/start, is not there")
    shutil.copytree(bench.folder_of(1), task_share / "data" / "models" / "start", ignore=shutil.ignore_patterns("*.lock"))
    done = subprocess.run(words, text=True, capture_output=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    job = json.loads((tmp_path / "workspace" / "runs" / "local-1" / "job.json").read_text())
    assert job["init_from"]["path"] == "models/start" and job["init_from"]["kind"] == "run"
