"""`bitloop pack` as a user runs it, its file read by a program that shares no code with it, and scores made from it."""

import json
import math
import pathlib
import struct
import subprocess

import pytest

import tiny_gpt2
from bitloop import BIN, ROOT
from small import small_run

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(),
                                reason="built without the trainer (BITLOOP_TRAINER=OFF)")


def run(*words):
    return subprocess.run([BIN / "bitloop", *map(str, words)], text=True, capture_output=True, timeout=300)


def pack(folder, output, *more):
    done = run("pack", folder, "--output", output, "--json", "--allow-degraded", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def read(path):
    """(metadata, {name: (dtype, shape, bytes)}) by docs/packing.md."""
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header, data = json.loads(whole[8:8 + length]), whole[8 + length:]
    metadata = header.pop("__metadata__")
    return metadata, {name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])]) for name, entry in header.items()}


def codes_of(data, count, levels, m, b):
    """The document's packing undone: indices of levels."""
    stream = int.from_bytes(data, "little")
    found = []
    for at in range(0, math.ceil(count / m)):
        number = stream >> (at * b) & ((1 << b) - 1)
        for _ in range(min(m, count - at * m)):
            found.append(number % levels)
            number //= levels
        assert number == 0
    assert stream >> (math.ceil(count / m) * b) == 0
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("ternary"), "ternary")


def test_the_file_is_what_the_document_says(trained, tmp_path):
    told = pack(trained, tmp_path / "model.safetensors")
    assert told["bytes"] == (tmp_path / "model.safetensors").stat().st_size
    metadata, tensors = read(tmp_path / "model.safetensors")
    assert (metadata["format"], metadata["version"]) == ("bitloop-packed", "1")
    job = json.loads(metadata["bitloop"])["job"]
    assert job["candidate"]["content"] == (ROOT / "quantizers/ternary.lua").read_text()
    assert "path" not in job["preset"]["data"]  # no names of the machine that it was made on

    # Against what export makes of the same weights: values are codes times the scale.
    assert run("export", trained, "--to", tmp_path / "exported", "--allow-degraded").returncode == 0
    whole = (tmp_path / "exported" / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header, data = json.loads(whole[8:8 + length]), whole[8 + length:]
    bits = weights = 0
    for layer, (rows, columns) in {"h.0.attn.c_attn": (96, 32), "h.0.attn.c_proj": (32, 32), "h.0.mlp.c_fc": (128, 32),
                                   "h.0.mlp.c_proj": (32, 128)}.items():
        codes = codes_of(tensors[f"{layer}.codes"][2], rows * columns, 3, 5, 8)
        dtype, shape, scale = tensors[f"{layer}.scale"]
        assert (dtype, shape) == ("F16", [])
        (scale,) = struct.unpack("<e", scale)
        exported = struct.unpack(f"<{rows * columns}f", data[slice(*header[f"transformer.{layer}.weight"]["data_offsets"])])
        transposed = [exported[k * rows + n] for n in range(rows) for k in range(columns)]  # Conv1D's is (in, out)
        assert [(code - 1) * scale for code in codes] == transposed
        bits += 8 * (len(tensors[f"{layer}.codes"][2]) + 2)
        weights += rows * columns
        assert f"{layer}.weight" not in tensors
    assert told["packed_bits_per_weight"] == pytest.approx(bits / weights)
    row = json.loads(run("results", "--workspace", trained.parents[1], "--json").stdout)["results"][0]
    assert row["packed_bits_per_weight"] == told["packed_bits_per_weight"]
    assert row["packed_bits_per_weight"] == pytest.approx(row["bits_per_weight"], rel=0.011)
    assert (trained / "output" / "packed.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


def test_a_packed_model_is_scored_as_its_run_is(trained, tmp_path):
    documents = tiny_gpt2.write_documents(tmp_path / "documents")
    found = {}
    pack(trained, tmp_path / "packed.safetensors")
    pack(trained, tmp_path / "narrow.safetensors", "--floats", "bfloat16")
    for name, model in [("run", trained), ("packed", tmp_path / "packed.safetensors"), ("narrow", tmp_path / "narrow.safetensors")]:
        done = run("eval", "--model", model, "--benchmarks", documents, "--tasks", "piqa,wikitext2", "--tokens", trained.parents[2] / "val.bin",
                   "--allow-degraded", "--json")
        assert done.returncode == 0, done.stderr
        found[name] = json.loads(done.stdout)["tasks"]
    assert found["run"] == found["packed"]  # bit by bit
    near = found["narrow"]["tokens"]["metrics"]["loss"]["value"]
    assert near != found["run"]["tokens"]["metrics"]["loss"]["value"]
    assert near == pytest.approx(found["run"]["tokens"]["metrics"]["loss"]["value"], abs=0.01)
    assert (tmp_path / "narrow.safetensors").stat().st_size < 0.6 * (tmp_path / "packed.safetensors").stat().st_size


def test_damage_is_named_and_never_scored(trained, tmp_path):
    whole = (trained / "output" / "packed.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    model = tmp_path / "model.safetensors"

    def said(content):
        model.write_bytes(content)
        done = run("eval", "--model", model, "--tokens", trained.parents[2] / "val.bin", "--allow-degraded")
        assert done.returncode == 2 and done.stdout == "", (done.stdout, done.stderr)
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1 and "model.safetensors" in lines[0], done.stderr
        return lines[0]

    assert "no packed model" in said(b"")
    assert "no packed model" in said(whole[:100])
    assert "is cut short" in said(whole[:-1])
    assert "overlap, or bytes that belong to none" in said(whole + b"\0")
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    assert "is damaged: " in said(flipped)
    text = whole[8:8 + length].replace(b'\\"context\\":64', b'\\"context\\":63')
    assert text != whole[8:8 + length]
    assert "its header has another checksum" in said(whole[:8] + text + whole[8 + length:])


def test_wrong_usage_writes_nothing(trained, tmp_path):
    for words, sentence in [((tmp_path, "--output", tmp_path / "x"), "job.json"), ((trained, "--output", tmp_path), "no file can be written"),
                            ((trained, "--output", "/nowhere/x"), "no file can be written")]:
        done = run("pack", *words, "--allow-degraded")
        assert done.returncode == 2 and sentence in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_repetition_makes_its_score_from_the_file(tmp_path):
    """Bit by bit the score that training made of the model in memory."""
    folder = small_run(tmp_path, "int2")
    verdict = json.loads((folder / "verdict.json").read_text())
    (determinism,) = [finding for finding in verdict["result"]["findings"] if finding["rule"] == "determinism"]
    assert determinism["ok"], determinism
    assert pathlib.Path(folder / "output" / "packed.safetensors").exists()
