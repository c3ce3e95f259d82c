"""Llamas as a user meets them: trained, exported, packed and generated from, and read from Hugging Face's folders, against the
architecture in numpy (tiny_llama.py)."""

import array
import json
import pathlib
import subprocess

import numpy
import pytest

import tiny_llama
from bitloop import BIN, ROOT
from small import make_share

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(), reason="built without the trainer (BITLOOP_TRAINER=OFF)")

GOLDEN = pathlib.Path(__file__).resolve().parent / "golden" / "tokenizers"
CASES = json.loads((GOLDEN / "cases.json").read_text())
TOKENIZER = (GOLDEN / "smollm.json").read_text()
SIZE = CASES["tokenizers"]["smollm"]["size"]


def run(*words, code=0, jail=True, **environment):
    done = subprocess.run([BIN / "bitloop", *map(str, words), *(["--allow-degraded"] if jail else [])], text=True, capture_output=True,
                          timeout=600, env={**__import__("os").environ, **environment})
    assert done.returncode == code, done.stdout + done.stderr
    return done


def generate(*words):
    return json.loads(run("generate", *words, "--json").stdout)["generations"]


def refused(*words):
    """The one sentence of a command that could not do its work."""
    done = run(*words, code=2)
    lines = done.stderr.strip().splitlines()
    assert done.stdout == "" and len(lines) == 1 and lines[0].startswith("bitloop: "), done.stderr
    return lines[0]


def check_greedy(config, tensors, ids, tokens, vocabulary):
    """Each token is the likeliest after those before it, or as likely as it up to float32's rounding."""
    ids = list(ids)
    for token in tokens:
        scores = tiny_llama.logits(config, tensors, ids)[-1][:vocabulary]
        assert scores[token] >= scores.max() - 1e-4 * abs(scores.max())
        ids.append(token)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """tiny-llama shrunk, ternary."""
    folder = tmp_path_factory.mktemp("llama")
    share = make_share(folder / "share")
    preset = json.loads((share / "presets" / "tiny-llama.json").read_text())
    preset["model"].update(layers=2, width=64, ffn_width=96)
    preset["train"].update(steps=12, warmup_iters=2)
    preset["eval"].update(every=6, batches=2, log_every=3)
    (share / "presets" / "tiny-llama.json").write_text(json.dumps(preset))
    done = run("train", ROOT / "quantizers" / "ternary.lua", "--preset", "tiny-llama", "--workspace", folder / "workspace", "--json",
               BITLOOP_SHARE=str(share))
    metrics = json.loads(done.stdout)["metrics"]
    assert metrics["params"] == 256 * 64 + 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64 + 2 * 64) + 64
    assert abs(metrics["bits_per_weight"] - metrics["packed_bits_per_weight"]) < 0.05 and metrics["val_loss"] < 6
    return folder / "workspace" / "runs" / "local-1"


def test_a_run_is_exported_packed_and_generated_from(trained, tmp_path):
    float_activations = tmp_path / "exported"
    run("export", trained, "--to", float_activations)
    config, tensors = tiny_llama.read(float_activations)
    assert config["architectures"] == ["LlamaForCausalLM"] and config["num_key_value_heads"] == 2 and "lm_head.weight" not in tensors
    for name, tensor in tensors.items():
        if name.endswith("_proj.weight"):
            assert len(numpy.unique(tensor)) == 3, name  # each layer has a scale of its own
    # The exported model in numpy and here, read back as a folder of Hugging Face: its tokens are not known, so by loss.
    tokens = array.array("H", ((i * i * 7 + i) % 256 for i in range(129)))
    (tmp_path / "tokens.bin").write_bytes(tokens.tobytes())
    scored = json.loads(run("eval", "--model", float_activations, "--tokens", tmp_path / "tokens.bin", "--json").stdout)
    logits = tiny_llama.logits(config, tensors, list(tokens)[:-1])
    chosen = logits[numpy.arange(128), list(tokens)[1:]] - numpy.log(numpy.exp(logits).sum(-1))
    assert scored["tasks"]["tokens"]["metrics"]["loss"]["value"] == pytest.approx(-chosen.mean(), abs=1e-5)
    # Packed, it says the same.
    run("pack", trained, "--output", tmp_path / "packed.safetensors")
    words = ("--prompt", "To be", "--temperature", "0", "--max-new-tokens", "12")
    assert generate(tmp_path / "packed.safetensors", *words) == generate(trained, *words)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("settings", [{}, {"tie_word_embeddings": True, "num_key_value_heads": 6, "rope_theta": 500000.0}])
def test_a_folder_of_hugging_face_goes_on_as_numpy_says(tmp_path, shards, settings):
    config, tensors = tiny_llama.make(SIZE, **settings)
    folder = tiny_llama.write(tmp_path / "model", config, tensors, TOKENIZER, shards)
    for place in (3, 8, 12):
        done = generate(folder, "--prompt", CASES["texts"][place], "--temperature", "0", "--max-new-tokens", "8", "--ignore-end")[0]
        ids = CASES["tokenizers"]["smollm"]["whole"][place]
        assert done["prompt_tokens"] == len(ids) and len(done["tokens"]) == 8
        check_greedy(config, tensors, ids, done["tokens"], SIZE)
    nothing = generate(folder, "--temperature", "0", "--max-new-tokens", "3", "--ignore-end")[0]
    assert nothing["prompt_tokens"] == 1
    check_greedy(config, tensors, [0], nothing["tokens"], SIZE)


def test_tokens_of_its_own_tokenizer_are_scored_and_have_bytes(tmp_path):
    config, tensors = tiny_llama.make(SIZE)
    folder = tiny_llama.write(tmp_path / "model", config, tensors, TOKENIZER)
    (tmp_path / "texts").mkdir()
    texts = [text for text in CASES["texts"] if text.strip() and "\x00" not in text]
    (tmp_path / "texts" / "all.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    run("data", "prepare", tmp_path / "texts", "--to", tmp_path / "shards", "--tokenizer", folder, "--held-out", "0", jail=False)
    shard = tmp_path / "shards" / "data_train_000001.bin"
    ids = array.array("H", shard.read_bytes()[1024:])
    wanted = []
    for text, plain in zip(CASES["texts"], CASES["tokenizers"]["smollm"]["plain"]):
        if text in texts:
            wanted += [0, *plain]
    assert list(ids) == wanted
    assert json.loads((tmp_path / "shards" / "manifest.json").read_text())["inputs"]["tokenizer"] != "gpt2"
    scored = json.loads(run("eval", "--model", folder, "--tokens", shard, "--json").stdout)["tasks"]["tokens"]["metrics"]
    context = config["max_position_embeddings"]
    losses = []
    for begin in range(0, len(ids) - context, context):
        logits = tiny_llama.logits(config, tensors, list(ids[begin:begin + context]))
        losses.append(numpy.log(numpy.exp(logits).sum(-1)) - logits[numpy.arange(context), ids[begin + 1:begin + context + 1]])
    assert scored["loss"]["value"] == pytest.approx(numpy.mean(losses), rel=1e-5)
    assert scored["bits_per_byte"]["value"] > 0


def test_what_is_wrong_with_a_folder_is_said_in_one_sentence(tmp_path):
    config, tensors = tiny_llama.make(SIZE)

    def said(name, changed=None, removed=(), tokenizer=TOKENIZER, prompt="Hello", more=None, shards=1, lose=None):
        kept = {key: value for key, value in {**tensors, **(more or {})}.items() if key not in removed}
        folder = tiny_llama.write(tmp_path / name, {**config, **(changed or {})}, kept, tokenizer, shards)
        if lose:
            (folder / lose).unlink()
        return refused("generate", folder, "--prompt", prompt)

    layer = "model.layers.1.mlp.up_proj.weight"
    broken = tensors[layer].copy()
    broken[3, 5] = numpy.nan
    for number, (sentence, case) in enumerate([
            ("model-00002-of-00003.safetensors", dict(shards=3, lose="model-00002-of-00003.safetensors")),
            ("has no tensor 'model.layers.1.mlp.up_proj.weight'", dict(removed=[layer])),
            ("'model.layers.1.mlp.up_proj.weight' is 70 x 47, but config.json makes it 70 x 48", dict(more={layer: broken[:, :47].copy()})),
            ("holds a number in 'model.layers.1.mlp.up_proj.weight' that is not finite", dict(more={layer: broken})),
            ("has 'model.layers.0.self_attn.q_norm.weight', which the model of config.json has not",
             dict(more={"model.layers.0.self_attn.q_norm.weight": tensors["model.norm.weight"]})),
            ("'lm_head.weight' is not the token embedding", dict(changed={"tie_word_embeddings": True})),
            ("model_type 'mistral' is not read", dict(changed={"model_type": "mistral"})),
            ("rope_scaling of type 'llama3' is not read", dict(changed={"rope_scaling": {"rope_type": "llama3", "factor": 8.0}})),
            ("hidden_act is \"gelu\"", dict(changed={"hidden_act": "gelu"})),
            ("head_dim is 16", dict(changed={"head_dim": 16})),
            ("attention_bias and mlp_bias differ", dict(changed={"attention_bias": True})),
            ("num_hidden_layers must be a whole number", dict(changed={"num_hidden_layers": -1})),
            ("has no tensor 'model.layers.2.input_layernorm.weight'", dict(changed={"num_hidden_layers": 16_000_000})),
            (f"tokenizer.json has {SIZE} tokens, but the model 16000000", dict(changed={"vocab_size": 16_000_000})),
            ("but config.json makes it 16000000 x 48", dict(changed={"intermediate_size": 16_000_000})),
            ("hidden_size 47 is not a multiple of num_attention_heads 6", dict(changed={"hidden_size": 47})),
            ("num_attention_heads 6 is not a multiple of num_key_value_heads 4", dict(changed={"num_key_value_heads": 4})),
            ("rms_norm_eps must be a number from", dict(changed={"rms_norm_eps": -1})),
            ("rope_theta must be a number from", dict(changed={"rope_theta": 0})),
            ("tokenizer.json has", dict(tokenizer=(GOLDEN / "few_bytes.json").read_text().replace('"id":0', '"id":900'))),
            ("tokenizer.json: it is no JSON object", dict(tokenizer="{")),
            ("and no tokenizer.json: it can't be given a text", dict(tokenizer=None)),
            ("but the model's context is 64: shorten it", dict(prompt="word " * 100))]):
        assert sentence in said(f"case{number}", **case)
    assert not list(tmp_path.glob("**/*.part"))
