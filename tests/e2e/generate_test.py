"""`bitloop generate`: text from a run, its packed model and a Hugging Face model, whose greedy tokens are those of a model that is
computed in numpy from the exported weights, without a cache."""

import json
import math
import pathlib
import struct
import subprocess

import numpy
import pytest

import tiny_gpt2
from bitloop import BIN, ROOT
from small import make_share, small_run

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(), reason="built without the trainer (BITLOOP_TRAINER=OFF)")


def run(*words, code=0, text=None, **environment):
    done = subprocess.run([BIN / "bitloop", *map(str, words), "--allow-degraded"], input=text, text=True, capture_output=True, timeout=300,
                          env={**__import__("os").environ, **environment})
    assert done.returncode == code, done.stdout + done.stderr
    return done


def generate(*words, **more):
    return json.loads(run("generate", *words, "--json", **more).stdout)


@pytest.fixture(scope="module")
def bytes_run(tmp_path_factory):
    """A run of `quick` that was shrunk: its tokens are bytes. All float, so that numpy can repeat it."""
    folder = tmp_path_factory.mktemp("bytes")
    share = make_share(folder / "share", steps=60)
    run("train", ROOT / "quantizers" / "float.lua", "--workspace", folder / "workspace", "--json", BITLOOP_SHARE=str(share))
    return folder / "workspace" / "runs" / "local-1"


@pytest.fixture(scope="module")
def ternary_run(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("ternary"), "ternary")


def tensors(path):
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header, data = json.loads(whole[8:8 + length]), whole[8 + length:]
    header.pop("__metadata__", None)
    return {name: numpy.frombuffer(data[slice(*entry["data_offsets"])], dtype="<f4").reshape(entry["shape"]).astype(numpy.float64)
            for name, entry in header.items()}


def logits_of(weights, ids, heads):
    """The last place's, of a GPT-2 in the form of Hugging Face."""
    def norm(x, name):
        return (x - x.mean(-1, keepdims=True)) / numpy.sqrt(x.var(-1, keepdims=True) + 1e-5) * weights[name + ".weight"] + weights[name + ".bias"]

    def linear(x, name):
        return x @ weights[name + ".weight"] + weights[name + ".bias"]

    x = weights["wte.weight"][ids] + weights["wpe.weight"][:len(ids)]
    size = x.shape[1] // heads
    for block in range(sum(name.endswith("ln_1.weight") for name in weights)):
        q, k, v = (part.reshape(len(ids), heads, size).transpose(1, 0, 2)
                   for part in numpy.split(linear(norm(x, f"h.{block}.ln_1"), f"h.{block}.attn.c_attn"), 3, axis=1))
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(size) + numpy.triu(numpy.full((len(ids), len(ids)), -numpy.inf), 1)
        scores = numpy.exp(scores - scores.max(-1, keepdims=True))
        attended = (scores / scores.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(ids), -1)
        x = x + linear(attended, f"h.{block}.attn.c_proj")
        hidden = linear(norm(x, f"h.{block}.ln_2"), f"h.{block}.mlp.c_fc")
        hidden = 0.5 * hidden * (1 + numpy.tanh(math.sqrt(2 / math.pi) * (hidden + 0.044715 * hidden ** 3)))
        x = x + linear(hidden, f"h.{block}.mlp.c_proj")
    return norm(x, "ln_f")[-1] @ weights["wte.weight"].T


def test_greedy_tokens_are_those_of_another_program(bytes_run, tmp_path):
    run("export", bytes_run, "--to", tmp_path / "exported")
    weights = {name.removeprefix("transformer."): tensor for name, tensor in tensors(tmp_path / "exported" / "model.safetensors").items()}
    prompts = ["To be, or not", "Enter ", "é"]
    done = generate(bytes_run, "--temperature", "0", "--max-new-tokens", "40", *(word for prompt in prompts for word in ("--prompt", prompt)))
    for prompt, generation in zip(prompts, done["generations"]):
        ids = list(prompt.encode())
        assert generation["prompt_tokens"] == len(ids) and generation["finish"] == "length" and len(generation["tokens"]) == 40
        for token in generation["tokens"]:
            logits = logits_of(weights, ids, heads=2)[:256]
            # The likeliest, or as likely as it up to float32's rounding.
            assert logits[token] >= logits.max() - 1e-4
            ids.append(token)
        assert generation["text"] == bytes(generation["tokens"]).decode(errors="replace")


def test_a_prompt_alone_gives_what_it_gives_beside_others(ternary_run):
    words = ("--max-new-tokens", "12", "--temperature", "1", "--seed", "7")
    alone = generate(ternary_run, "--prompt", "The first", *words)["generations"][0]
    beside = generate(ternary_run, "--prompt", "The first", "--prompt", "Another, which is longer", *words)["generations"]
    assert beside[0] == alone and beside[1]["tokens"] != alone["tokens"]
    again = generate(ternary_run, "--prompt", "The first", *words)["generations"][0]
    assert again == alone
    other = generate(ternary_run, "--prompt", "The first", *words[:-1], "8")["generations"][0]
    assert other["tokens"] != alone["tokens"]


@pytest.mark.parametrize("quantizer", ["ternary", "flat_group", "five_levels", "group64"])
def test_the_packed_model_says_the_same(quantizer, request, tmp_path):
    """Token for token what its run says, whatever its codes and activations are; read where it lies."""
    folder = request.getfixturevalue("ternary_run") if quantizer == "ternary" else small_run(tmp_path, quantizer)
    run("pack", folder, "--output", tmp_path / "model.safetensors")
    words = ("--prompt", "Once upon a time", "--prompt", "The", "--temperature", "0", "--max-new-tokens", "16")
    packed = generate(tmp_path / "model.safetensors", *words)
    assert packed["generations"] == generate(folder, *words)["generations"]
    assert 0 < packed["speed"]["weight_bytes"] < (tmp_path / "model.safetensors").stat().st_size
    # With narrow floats it is another model, which is the same by itself and beside others.
    run("pack", folder, "--output", tmp_path / "narrow.safetensors", "--floats", "bfloat16")
    narrow = generate(tmp_path / "narrow.safetensors", *words)["generations"]
    assert generate(tmp_path / "narrow.safetensors", *words[2:])["generations"] == narrow[1:]


def test_a_packed_file_that_is_hurt_is_named_and_says_nothing(ternary_run, tmp_path):
    whole = (ternary_run / "output" / "packed.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    model = tmp_path / "model.safetensors"

    def said(content):
        model.write_bytes(content)
        done = run("generate", model, "--prompt", "To be", code=2)
        assert done.stdout == "" and len(done.stderr.strip().splitlines()) == 1 and "model.safetensors" in done.stderr, done.stderr
        return done.stderr

    assert "is cut short" in said(whole[:-1])
    for place in (8 + length, len(whole) // 2, len(whole) - 1):
        assert "is damaged: " in said(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1:])
    newer = whole[8:8 + length].replace(b'"version":"1"', b'"version":"9"')
    assert "version '9'" in said(whole[:8] + newer + whole[8 + length:])
    wide = whole[8:8 + length].replace(b'\\"context\\":64', b'\\"context\\":63')
    assert wide != whole[8:8 + length] and "its header has another checksum" in said(whole[:8] + wide + whole[8 + length:])


def test_text_is_written_as_people_read_it(bytes_run):
    plain = run("generate", bytes_run, "--prompt", "To be", "--max-new-tokens", "20", "--temperature", "0").stdout
    whole = generate(bytes_run, "--prompt", "To be", "--max-new-tokens", "20", "--temperature", "0")["generations"][0]
    assert plain == "To be" + whole["text"] + "\n"
    assert run("generate", bytes_run, "--prompt", "-", "--max-new-tokens", "20", "--temperature", "0", text="To be").stdout == plain
    several = run("generate", bytes_run, "--prompt", "A", "--prompt", "B", "--max-new-tokens", "3", "--temperature", "0").stdout
    assert several.startswith("=== A\nA") and "\n=== B\nB" in several
    assert len(generate(bytes_run, "--max-new-tokens", "3")["generations"][0]["tokens"]) == 3  # without a prompt
    speed = run("generate", bytes_run, "--benchmark", "--prompt", "To be", "--max-new-tokens", "30").stdout
    lines = [line.split()[:2] for line in speed.splitlines()]
    assert [line[0] for line in lines] == ["load", "prompt", "new", "reads", "memory"]
    assert "\nprompt  5 tokens, " in speed and "\nnew     29 tokens, " in speed and "% of a copy" in speed


def test_it_ends_at_the_context(bytes_run):
    context = json.loads((bytes_run / "job.json").read_text())["preset"]["model"]["context"]
    whole = generate(bytes_run, "--prompt", "x" * (context - 5), "--max-new-tokens", "50")["generations"][0]
    assert whole["finish"] == "context" and len(whole["tokens"]) == 5
    refused = run("generate", bytes_run, "--prompt", "x" * context, code=2)
    assert refused.stderr == (f"bitloop: prompt 1 has {context} tokens, but the model's context is {context}: shorten it\n")


def test_a_model_of_hugging_face(tmp_path):
    tiny_gpt2.write_model(tmp_path / "model")
    done = generate(tmp_path / "model", "--prompt", "Hello", "--max-new-tokens", "5", "--temperature", "0")
    assert len(done["generations"][0]["tokens"]) <= 5 and done["generations"][0]["prompt_tokens"] == 1


def test_what_is_wrong_is_said(tmp_path, bytes_run):
    assert "there is no such file or folder" in run("generate", tmp_path / "nowhere", code=2).stderr
    assert "--temperature" in run("generate", bytes_run, "--temperature", "-1", code=2).stderr
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    assert "no packed model" in run("generate", tmp_path / "cut.safetensors", code=2).stderr
    hurt = subprocess.run([BIN / "bitloop", "generate", bytes_run, "--allow-degraded", "--prompt", b"\xff\xfe"], capture_output=True)
    assert hurt.returncode == 2 and b"not UTF-8" in hurt.stderr


@pytest.mark.skipif(pathlib.Path("/dev/nvidiactl").exists(), reason="there is a driver here")
def test_without_a_gpu_one_that_is_asked_for_is_missed_and_auto_stays_on_the_processor(ternary_run):
    words = (ternary_run, "--prompt", "To be", "--temperature", "0", "--max-new-tokens", "8")
    missed = run("generate", *words, "--device", "cuda", code=3)
    assert missed.stderr.count("\n") == 1 and "or stay on the CPU" in missed.stderr
    here, auto = generate(*words), generate(*words, "--device", "auto")
    assert here["device"] == auto["device"] == "cpu"
    assert here["generations"] == auto["generations"]
