"""`bitloop data prepare`, and a training on the shards that it made: nothing faked."""

import gzip
import json
import os
import pathlib
import signal
import struct
import subprocess
import time

import pytest

from bitloop import BIN, ROOT
from small import small_settings

MERGES = ROOT / ".deps" / "data" / "gpt2-bpe" / "vocab.bpe"
END_OF_TEXT = 50256


def run(*words):
    return subprocess.run([BIN / "bitloop", "data", "prepare", *map(str, words)], text=True, capture_output=True, timeout=300)


def prepared(*words):
    done = run(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def vocabulary():
    """The bytes of each token, from the merges alone: OpenAI's encoder.py has the bytes that print as themselves first."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in shown]
    letters = {chr(byte): byte for byte in shown} | {chr(256 + i): byte for i, byte in enumerate(others)}
    tokens = [bytes([byte]) for byte in [*shown, *others]]
    for line in MERGES.read_text().splitlines()[1:]:
        if line.strip():
            tokens.append(bytes(letters[letter] for letter in line.replace(" ", "")))
    return tokens


def documents(folder, stem):
    """What the shards hold, as texts; their headers are checked."""
    tokens, ids = vocabulary(), []
    for shard in sorted(pathlib.Path(folder).glob(f"{stem}_*.bin")):
        data = shard.read_bytes()
        magic, version, count = struct.unpack("<3i", data[:12])
        assert (magic, version) == (20240520, 1) and len(data) == 1024 + 2 * count
        ids += struct.unpack(f"<{count}H", data[1024:])
    texts = []
    for token in ids:
        if token == END_OF_TEXT:
            texts.append(b"")
        else:
            texts[-1] += tokens[token]
    return [text.decode() for text in texts]


@pytest.fixture
def sources(tmp_path):
    folder = tmp_path / "sources"
    (folder / "more").mkdir(parents=True)
    texts = [f"Story {i}: it's {i * 7919 % 1000} o'clock, süß und 日本 {'na' * (i % 40)}!\n" for i in range(3000)]
    (folder / "a.jsonl").write_text("".join(json.dumps({"text": text, "id": i}) + "\n" for i, text in enumerate(texts[:1000])))
    with gzip.open(folder / "more" / "b.jsonl.gz", "wt") as file:
        file.write("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts[1000:2000]))
    (folder / "more" / "c.txt").write_text("\n<|endoftext|>\n".join(text.strip() for text in texts[2000:]))
    (folder / "README.md").write_text("not data")
    return folder, texts[:2000] + [text.strip() for text in texts[2000:]]


def test_the_shards_hold_the_documents(sources, tmp_path):
    folder, texts = sources
    document = prepared(folder, "--to", tmp_path / "out", "--name", "web", "--shard-tokens", 20_000, "--held-out", 0.1)
    train, held = documents(tmp_path / "out", "web_train"), documents(tmp_path / "out", "web_val")
    assert sorted(train + held) == sorted(texts) and len(held) == document["held_out"] > 200
    assert document["documents"] == 3000 and len(document["train"]) > 2 and document["train"][0]["tokens"] == 20_000
    for shard in document["train"] + document["val"]:
        assert len(shard["sha256"]) == 64
        said = subprocess.run(["sha256sum", tmp_path / "out" / shard["file"]], text=True, capture_output=True).stdout
        assert said.split()[0] == shard["sha256"]
    again = run(folder, "--to", tmp_path / "out", "--name", "web", "--shard-tokens", 20_000, "--held-out", 0.1)
    assert again.returncode == 0 and again.stdout.startswith("Done before: 3000 documents")


def test_killed_it_goes_on_to_the_same_bytes(tmp_path):
    source = tmp_path / "big.jsonl"
    source.write_text("".join(json.dumps({"text": f"{i} " + "some words of no great weight, " * 40}) + "\n" for i in range(40_000)))
    words = [source, "--shard-tokens", 400_000, "--held-out", 0.02, "--jobs", 2]
    whole = prepared(*words, "--to", tmp_path / "whole")
    for pause in (0.3, 0.6, 0.9, 1.2):
        process = subprocess.Popen([BIN / "bitloop", "data", "prepare", *map(str, words), "--to", tmp_path / "killed"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
    (tmp_path / "killed" / "manifest.json.tmp-1").write_text("{")  # as if killed while it was written
    document = prepared(*words, "--to", tmp_path / "killed")
    assert document["train"] == whole["train"] and document["val"] == whole["val"]
    names = lambda folder: sorted(path.name for path in (tmp_path / folder).iterdir())
    assert names("killed") == names("whole")


def test_a_training_on_all_shards_in_the_jail(sources, tmp_path):
    folder, _ = sources
    document = prepared(folder, "--to", tmp_path / "out", "--shard-tokens", 20_000, "--held-out", 0.1)
    (tmp_path / "out" / "secret.txt").write_text("not for the run")
    settings = small_settings(tmp_path)
    more = ["--set", "data.format=llmc", "--set", f"data.path={tmp_path}/out/data_train_*.bin", "--set", f"data.val_path={tmp_path}/out/data_val_*.bin"]
    words = [BIN / "bitloop", "train", ROOT / "quantizers" / "ternary.lua", *map(str, settings), *more]
    done = subprocess.run(words, text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    job = json.loads((tmp_path / "workspace" / "runs" / "local-1" / "job.json").read_text())
    assert [os.path.basename(file) for file in job["data_files"]["path"]] == [shard["file"] for shard in document["train"]]
    # A shard that is gone, or cut, is named.
    second = tmp_path / "out" / document["train"][1]["file"]
    second.write_bytes(second.read_bytes()[:-2])
    done = subprocess.run(words, text=True, capture_output=True, timeout=300)
    assert done.returncode != 0 and second.name in done.stdout + done.stderr and "promises" in done.stdout + done.stderr
    none = [word.replace("data_train_*", "none_*") for word in map(str, words)]
    done = subprocess.run(none, text=True, capture_output=True, timeout=300)
    assert done.returncode != 0 and "no file has such a name" in done.stdout + done.stderr


def test_wrong_usage_is_one_sentence(sources, tmp_path):
    folder, _ = sources
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"text": \n')
    for words, part in [([tmp_path / "none.txt", "--to", tmp_path / "o"], "none.txt"),
                        ([folder / "README.md", "--to", tmp_path / "o"], "not a .txt or .jsonl"),
                        ([tmp_path / "bad.jsonl", "--to", tmp_path / "o"], "bad.jsonl:2: not a JSON object"),
                        ([folder, "--to", tmp_path / "o", "--shard-tokens", 5], "--shard-tokens"),
                        ([folder, "--to", tmp_path / "o", "--name", "a/b"], "--name"),
                        ([folder], "--to")]:
        done = run(*words)
        assert done.returncode == 2 and part in done.stderr and not done.stdout, (words, done.stderr)
    assert not list((tmp_path / "o").glob("*.bin"))
