"""Exported models in the hands of other programs: tokenizer.json by Hugging Face's library `tokenizers` (scripts/test-venv has it),
and the whole folder by `transformers`, which needs torch: 2.5 GB that no test asks for. Where BITLOOP_TRANSFORMERS_PYTHON names
a Python with both, it is tried.

    python3 -m venv VENV && VENV/bin/pip install torch==2.11.0 transformers==5.24.0
    BITLOOP_TRANSFORMERS_PYTHON=VENV/bin/python ctest --test-dir build/release -R e2e.export
"""

import json
import os
import subprocess

import pytest

import tiny_llama
from bitloop import BIN, ROOT
from llama_test import CASES, SIZE, TOKENIZER, generate, refused, run
from packages import python
from small import make_share, small_run

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(), reason="built without the trainer (BITLOOP_TRAINER=OFF)")

TOKENIZE = """
import json, sys
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[1])
ids = [tokenizer.encode(text).ids for text in json.load(sys.stdin)]
json.dump([ids, [tokenizer.decode(each, skip_special_tokens=False) for each in ids]], sys.stdout)
"""
TRANSFORM = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32, attn_implementation="eager").eval()
found = []
for text in json.load(sys.stdin):
    ids = tokenizer(text, return_tensors="pt").input_ids
    done = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8, min_new_tokens=8, pad_token_id=0)
    found.append([ids[0].tolist(), done[0, ids.shape[1]:].tolist()])
json.dump(found, sys.stdout)
"""


def ask(program, folder, texts, interpreter=None):
    done = subprocess.run([interpreter or python(), "-c", program, folder], input=json.dumps(texts), text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Folders of models whose tokens are bytes, GPT-2's, and those of the Llama that the run began with."""
    folder = tmp_path_factory.mktemp("exported")
    share = make_share(folder / "share")
    run("train", ROOT / "quantizers" / "ternary.lua", "--workspace", folder / "bytes", "--json", BITLOOP_SHARE=str(share))
    run("export", folder / "bytes" / "runs" / "local-1", "--to", folder / "of_bytes")
    (folder / "small").mkdir()
    run("export", small_run(folder / "small", "ternary"), "--to", folder / "of_gpt2")
    config, tensors = tiny_llama.make(SIZE, tie_word_embeddings=True)
    tiny_llama.write(folder / "begun_with", config, tensors, TOKENIZER)
    (folder / "texts").mkdir()
    (folder / "texts" / "all.jsonl").write_text(json.dumps({"text": "To be, or not to be. " * 200}) + "\n")
    run("data", "prepare", folder / "texts", "--to", folder / "shards", "--tokenizer", folder / "begun_with", "--held-out", "0", jail=False)
    shard = folder / "shards" / "data_train_000001.bin"
    settings = {"model.vocab_size": SIZE, "model.padded_vocab_size": SIZE, "model.context": config["max_position_embeddings"],
                "model.layers": config["num_hidden_layers"], "model.heads": config["num_attention_heads"],
                "model.kv_heads": config["num_key_value_heads"], "model.width": config["hidden_size"],
                "model.ffn_width": config["intermediate_size"], "model.norm_epsilon": config["rms_norm_eps"],
                "model.rope_theta": config["rope_theta"], "train.sequence": config["max_position_embeddings"], "eval.window": 32,
                "data.path": shard, "data.val_path": shard, "limits.memory_mb": 4096, "limits.threads": 2, "train.device": "cpu"}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    train = ("train", ROOT / "quantizers" / "ternary.lua", "--preset", "smollm-135m", "--steps", "2", "--workspace", folder / "llama", "--json",
             *words)
    run(*train, "--init-from", folder / "begun_with")
    run(*train, "--init-from", folder / "llama" / "runs" / "local-1")  # a run that began with that run
    run("export", folder / "llama" / "runs" / "local-2", "--to", folder / "of_its_own")
    return folder


def test_the_library_makes_the_tokens_that_the_model_was_trained_on(exported):
    texts = [text for text in CASES["texts"] if "<|endoftext|>" not in text]
    ids, back = ask(TOKENIZE, exported / "of_bytes" / "tokenizer.json", texts)
    assert ids == [list(text.encode()) for text in texts] and back == texts
    ids, back = ask(TOKENIZE, exported / "of_gpt2" / "tokenizer.json", ["Hello world", *texts, "a<|endoftext|>"])
    assert ids[0] == [15496, 995] and ids[-1] == [64, 50256] and back[1:-1] == texts
    ids, _ = ask(TOKENIZE, exported / "of_its_own" / "tokenizer.json", CASES["texts"])
    assert ids == CASES["tokenizers"]["smollm"]["whole"]
    assert (exported / "of_its_own" / "tokenizer.json").read_text() == TOKENIZER


@pytest.mark.parametrize("name", ["of_bytes", "of_gpt2", "of_its_own"])
def test_an_exported_folder_goes_on_from_texts(exported, name):
    """Read by bitloop again: its tokenizer is the run's, whose packed model says nearly the same (its activations are quantised)."""
    done = generate(exported / name, "--prompt", "To be", "--temperature", "0", "--max-new-tokens", "4", "--ignore-end")
    run_of = {"of_bytes": "bytes/runs/local-1", "of_gpt2": "small/workspace/runs/local-1", "of_its_own": "llama/runs/local-2"}[name]
    same = generate(exported / run_of, "--prompt", "To be", "--temperature", "0", "--max-new-tokens", "4", "--ignore-end")
    assert done[0]["prompt_tokens"] == same[0]["prompt_tokens"] > 0 and len(done[0]["tokens"]) == 4
    config = json.loads((exported / name / "config.json").read_text())
    assert config["eos_token_id"] == {"of_bytes": None, "of_gpt2": 50256, "of_its_own": 0}[name]


@pytest.mark.parametrize("name", ["of_bytes", "of_gpt2", "of_its_own"])
def test_transformers_says_what_bitloop_says(exported, name):
    interpreter = os.environ.get("BITLOOP_TRANSFORMERS_PYTHON")
    if not interpreter:
        pytest.skip("BITLOOP_TRANSFORMERS_PYTHON names no Python with torch and transformers")
    texts = ["To be", "The King, thy father's ghost", "naïve café 12"]
    for text, (ids, tokens) in zip(texts, ask(TRANSFORM, exported / name, texts, interpreter)):
        ours = generate(exported / name, "--prompt", text, "--temperature", "0", "--max-new-tokens", "8", "--ignore-end")[0]
        assert ours["prompt_tokens"] == len(ids) and ours["tokens"] == tokens


def test_a_packed_model_is_exported_as_its_run_is(exported, tmp_path):
    folder = exported / "bytes" / "runs" / "local-1"
    run("export", folder / "output" / "packed.safetensors", "--to", tmp_path / "again")
    for file in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (tmp_path / "again" / file).read_bytes() == (exported / "of_bytes" / file).read_bytes()
    assert "a packed model has no weights before quantisation" in refused("export", folder / "output" / "packed.safetensors", "--to",
                                                                          tmp_path / "latent", "--weights", "latent")


def test_a_tokenizer_of_another_model_is_refused_and_nothing_written(exported, tmp_path):
    llama, small = exported / "llama" / "runs" / "local-2", exported / "small" / "workspace" / "runs" / "local-1"
    sentence = refused("export", llama, "--to", tmp_path / "to", "--tokenizer", exported / "of_gpt2")
    assert f"tokenizer.json has 50257 tokens, but the model {SIZE}: they don't belong together" in sentence
    (tmp_path / "broken.json").write_text("{")
    assert "broken.json: it is no JSON object" in refused("export", small, "--to", tmp_path / "to", "--tokenizer", tmp_path / "broken.json")
    assert "nowhere" in refused("export", small, "--to", tmp_path / "to", "--tokenizer", tmp_path / "nowhere")
    assert not (tmp_path / "to").exists()
    # A packed file knows nothing of the folder: it is asked for.
    packed = llama / "output" / "packed.safetensors"
    done = run("export", packed, "--to", tmp_path / "without")
    assert "no tokenizer.json" in done.stdout and not (tmp_path / "without" / "tokenizer.json").exists()
    run("export", packed, "--to", tmp_path / "with", "--tokenizer", exported / "begun_with")
    assert (tmp_path / "with" / "tokenizer.json").read_text() == TOKENIZER
