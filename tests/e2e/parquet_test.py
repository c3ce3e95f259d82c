"""`bitloop data benchmarks` with Parquet files, made by golden/make_parquet.py: those of Hugging Face give the same documents as
JSON lines do, and of a file that is not what it should be there is one sentence and nothing written."""

import json
import os
import pathlib
import shutil
import struct
import subprocess

import pytest

import tiny_gpt2
from bitloop import BIN

FILES = pathlib.Path(__file__).resolve().parent / "golden" / "parquet"
HUB, STRANGE = FILES / "hub", FILES / "strange"


def prepare(folder, to, *more, program=BIN / "bitloop", **environment):
    return subprocess.run([program, "data", "benchmarks", folder, "--to", to, *more], text=True, capture_output=True, timeout=300,
                          env={**os.environ, **environment})


def taken(folder, to):
    """What was made of a folder of good files: (entries of --json, file -> documents)."""
    done = prepare(folder, to, "--unverified", "--allow-degraded", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    entries = {str(pathlib.Path(entry["source"]).relative_to(folder)): entry for entry in json.loads(done.stdout)["files"]}
    return entries, {path.name: [json.loads(line) for line in path.read_text().splitlines()] for path in to.glob("*.jsonl")}


def refused(content, tmp_path, code=2):
    """The one sentence about a file with this content, as PIQA's."""
    folder, to = tmp_path / "piqa", tmp_path / "made"
    folder.mkdir(exist_ok=True)
    file = folder / "validation-00000-of-00001.parquet"
    file.write_bytes(content)
    done = prepare(folder, to, "--unverified", "--allow-degraded")
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"bitloop: {file}"), done.stderr
    assert not to.exists()
    return lines[0].removeprefix(f"bitloop: {file}: ")


def test_documents_are_those_of_json_lines(tmp_path):
    plain = tiny_gpt2.write_documents(tmp_path / "plain")
    (plain / "wikitext2.jsonl").unlink()  # published as text
    (plain / "wiki.test.raw").write_text("".join(tiny_gpt2.WIKITEXT))
    _, from_lines = taken(plain, tmp_path / "from_lines")
    _, from_parquet = taken(HUB, tmp_path / "from_parquet")
    assert from_parquet == from_lines
    pages = [{"page": page} for page in tiny_gpt2.WIKITEXT]
    wanted = {f"{name}.jsonl": documents for name, documents in tiny_gpt2.DOCUMENTS.items()} | {"wikitext2.jsonl": pages}
    assert from_parquet == wanted


def test_what_is_used_and_what_is_not_says_why(tmp_path):
    entries, _ = taken(HUB, tmp_path)
    used = {source: entry["file"] for source, entry in entries.items() if entry["file"]}
    one = "00000-of-00001.parquet"
    assert used == {
        f"ai2_arc/ARC-Easy/test-{one}": "arc_easy.jsonl", f"ai2_arc/ARC-Challenge/test-{one}": "arc_challenge.jsonl",
        f"hellaswag/data/validation-{one}": "hellaswag.jsonl", "piqa/plain_text/validation-00000-of-00002.parquet": "piqa.jsonl",
        "piqa/plain_text/validation-00001-of-00002.parquet": "piqa.jsonl",
        f"winogrande/winogrande_xl/validation-{one}": "winogrande.jsonl", "lambada_openai/default/test/0000.parquet": "lambada.jsonl",
        f"wikitext/wikitext-2-raw-v1/test-{one}": "wikitext2.jsonl"}
    why = {source: entry["why_not"] for source, entry in entries.items() if not entry["file"]}
    assert why == {
        f"ai2_arc/ARC-Easy/train-{one}": "the train split, and arc_easy.jsonl is made of the test split",
        "lambada_openai/de/test/0000.parquet": "a translation; lambada is asked in English",
        f"wikitext/wikitext-103-raw-v1/test-{one}": "no benchmark that this version knows",
        f"wikitext/wikitext-2-raw-v1/validation-{one}": "wikitext2.jsonl is there already"}
    assert not any(entry["known"] for entry in entries.values())


def test_the_manifest_has_every_source_and_its_hash(tmp_path):
    entries, documents = taken(HUB, tmp_path)
    manifest = json.loads((tmp_path / "benchmarks.json").read_text())
    assert {file: entry["documents"] for file, entry in manifest.items()} == {file: len(list_) for file, list_ in documents.items()}
    parts = [f"piqa/plain_text/validation-0000{part}-of-00002.parquet" for part in (0, 1)]
    assert manifest["piqa.jsonl"]["source"] == [f"hub/{part}" for part in parts]
    assert manifest["piqa.jsonl"]["sha256"] == [entries[part]["sha256"] for part in parts]
    assert manifest["lambada.jsonl"]["source"] == "hub/lambada_openai/default/test/0000.parquet"
    summed = subprocess.run(["sha256sum", HUB / "lambada_openai/default/test/0000.parquet"], capture_output=True, text=True, check=True)
    assert manifest["lambada.jsonl"]["sha256"] == summed.stdout.split()[0]


def test_only_when_asked(tmp_path):
    done = prepare(HUB, tmp_path / "made")
    assert done.returncode == 2 and "no file of a benchmark there" in done.stderr
    assert "not the file that piqa.jsonl was tested with; --unverified takes it" in done.stdout
    assert not (tmp_path / "made").exists()


def test_the_folder_that_was_given_may_be_the_data_set_itself(tmp_path):
    for folder in (HUB / "hellaswag", f"{HUB / 'hellaswag'}/", f"{HUB}/hellaswag/data/.."):
        done = prepare(folder, tmp_path, "--unverified", "--allow-degraded")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1].startswith("1 files in")


def test_the_validation_split_of_wikitext_where_there_is_no_test_split(tmp_path):
    folder = tmp_path / "wikitext-2-raw-v1"
    folder.mkdir()
    shutil.copy(HUB / "wikitext/wikitext-2-raw-v1/validation-00000-of-00001.parquet", folder)
    _, documents = taken(folder, tmp_path / "made")
    assert documents["wikitext2.jsonl"] == [{"page": tiny_gpt2.WIKITEXT[0]}]


def test_a_file_that_lacks_a_part_is_not_used(tmp_path):
    folder = tmp_path / "piqa"
    folder.mkdir()
    shutil.copy(HUB / "piqa/plain_text/validation-00001-of-00002.parquet", folder)
    done = prepare(folder, tmp_path / "made", "--unverified", "--allow-degraded")
    assert done.returncode == 2
    assert "not used" in done.stdout and "part 0 of 2 is not there" in done.stdout


def test_every_kind_of_cut_is_one_sentence(tmp_path):
    whole = (HUB / "hellaswag/data/validation-00000-of-00001.parquet").read_bytes()
    for size in (0, 1, 4, 8, 100, len(whole) // 2, len(whole) - 8, len(whole) - 4, len(whole) - 1):
        assert refused(whole[:size], tmp_path).startswith("it is no whole Parquet file: "), size
    assert refused(whole[100:], tmp_path)
    assert refused(whole[:100] + whole[200:], tmp_path)
    assert refused(bytes(len(whole)), tmp_path).startswith("it is no whole Parquet file: ")
    assert refused(b'{"goal": "a text"}\n', tmp_path).startswith("it is no whole Parquet file: ")


def test_a_flipped_byte_is_one_sentence_where_pages_have_checksums(tmp_path):
    whole = (STRANGE / "checksum.parquet").read_bytes()
    at = whole.index(b"Pour it into a flask")
    for place in (at, at + 7, at + 19):
        broken = bytearray(whole)
        broken[place] ^= 1
        assert "checksum" in refused(bytes(broken), tmp_path)
    footer = len(whole) - 8 - struct.unpack("<I", whole[-8:-4])[0]
    broken = bytearray(whole)
    broken[footer] ^= 0xff
    assert refused(bytes(broken), tmp_path)


@pytest.mark.parametrize("name, sentence", [
    ("timestamp", "column 'at': its type is timestamp[us], which is not read"),
    ("nan", "row 2, column 'goal': a number is not finite"),
    ("much", "its rows are more than 256 MiB of text"),
    ("one", "reading it takes more than 1024 MiB of memory"),
])
def test_files_that_are_strange_are_one_sentence(tmp_path, name, sentence):
    assert refused((STRANGE / f"{name}.parquet").read_bytes(), tmp_path) == sentence


def varint(number):
    coded = b""
    while number > 127:
        coded += bytes([number & 127 | 128])
        number >>= 7
    return coded + bytes([number])


@pytest.mark.parametrize("how_many", ["the file's number", "all numbers"])
@pytest.mark.parametrize("claim", [778, 1 << 30, 1 << 62])
def test_a_claim_of_many_rows_is_one_sentence(tmp_path, how_many, claim):
    whole = (STRANGE / "rows.parquet").read_bytes()
    at = len(whole) - 8 - struct.unpack("<I", whole[-8:-4])[0]
    # A field of 64 bits in thrift's compact protocol: its type, then the number, twice as large for its sign.
    found, claimed = b"\x16" + varint(2 * 777), b"\x16" + varint(2 * claim)
    footer = whole[at:-8]
    assert footer.count(found) >= 3  # of the file, of the group of rows, of the column
    footer = footer.replace(found, claimed, 1 if how_many == "the file's number" else -1)
    assert refused(whole[:at] + footer + struct.pack("<I", len(footer)) + b"PAR1", tmp_path)


def test_a_broken_file_leaves_what_there_was(tmp_path):
    folder, to = tmp_path / "hub", tmp_path / "made"
    shutil.copytree(HUB, folder)
    _, before = taken(folder, to)
    manifest = (to / "benchmarks.json").read_bytes()
    file = folder / "winogrande/winogrande_xl/validation-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    done = prepare(folder, to, "--unverified", "--allow-degraded")
    assert done.returncode == 2 and str(file) in done.stderr
    assert (to / "benchmarks.json").read_bytes() == manifest
    assert {path.name: [json.loads(line) for line in path.read_text().splitlines()] for path in to.glob("*.jsonl")} == before


def test_other_columns_than_wikitexts_are_named(tmp_path):
    folder = tmp_path / "wikitext-2-raw-v1"
    folder.mkdir()
    shutil.copy(STRANGE / "rows.parquet", folder / "test-00000-of-00001.parquet")
    done = prepare(folder, tmp_path / "made", "--unverified", "--allow-degraded")
    assert done.returncode == 2 and "line 1: there is neither a text nor a page" in done.stderr


def test_without_the_jail_nothing_is_read(tmp_path):
    done = prepare(HUB, tmp_path / "made", "--unverified", BITLOOP_DISABLE_LAYERS="seccomp")
    assert done.returncode == 3, (done.stdout, done.stderr)
    assert len(done.stderr.splitlines()) == 1 and "seccomp" in done.stderr and "--allow-degraded" in done.stderr
    assert not (tmp_path / "made").exists()


def test_without_the_program_there_is_one_sentence(tmp_path):
    alone = tmp_path / "bin" / "bitloop"
    alone.parent.mkdir()
    shutil.copy(BIN / "bitloop", alone)
    done = prepare(HUB, tmp_path / "made", "--unverified", "--allow-degraded", program=alone)
    assert done.returncode == 3
    assert done.stderr.startswith(f"bitloop: {tmp_path}/bin/bitloop-parquet is not there")
    assert len(done.stderr.splitlines()) == 1

    # The same program, looking for its libraries in another folder: no file is at fault.
    program = alone.with_name("bitloop-parquet")
    whole = (BIN / "bitloop-parquet").read_bytes()
    assert b"arrow/lib" in whole
    program.write_bytes(whole.replace(b"arrow/lib", b"arrow/lob"))
    program.chmod(0o755)
    done = prepare(HUB, tmp_path / "made", "--unverified", "--allow-degraded", program=alone)
    assert done.returncode == 3
    assert done.stderr.startswith(f"bitloop: {program} does not run: ") and "libparquet" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_host_does_not_link_arrow():
    linked = {name: subprocess.run(["ldd", BIN / name], capture_output=True, text=True, check=True).stdout
              for name in ("bitloop", "bitloop-parquet")}
    assert "libparquet" in linked["bitloop-parquet"]  # the positive control: ldd does list libraries
    assert "parquet" not in linked["bitloop"] and "arrow" not in linked["bitloop"]
