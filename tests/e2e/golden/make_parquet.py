#!/usr/bin/env python3
"""Makes the Parquet files of golden/parquet/, which parquet_test.py reads, with pyarrow:

    python3 -m venv VENV && VENV/bin/pip install pyarrow==26.0.1
    VENV/bin/python tests/e2e/golden/make_parquet.py

hub/ has the documents of tiny_gpt2.py as data sets of Hugging Face have them, with their column types, splits and names;
strange/ has files that are not what they should be."""

import pathlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import tiny_gpt2  # noqa: E402

CHOICES = pa.struct([("text", pa.list_(pa.string())), ("label", pa.list_(pa.string()))])
TYPES = {
    "arc": pa.schema([("question", pa.string()), ("choices", CHOICES), ("answerKey", pa.string())]),
    "hellaswag": pa.schema([("activity_label", pa.string()), ("ctx_a", pa.string()), ("ctx_b", pa.string()),
                            ("endings", pa.list_(pa.string())), ("label", pa.string())]),
    "piqa": pa.schema([("goal", pa.string()), ("sol1", pa.string()), ("sol2", pa.string()), ("label", pa.int64())]),
    "winogrande": pa.schema([("sentence", pa.string()), ("option1", pa.string()), ("option2", pa.string()), ("answer", pa.string())]),
    "text": pa.schema([("text", pa.string())]),
}


def write(path, rows, schema, **more):
    file = HERE / "parquet" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), file, **more)


def wikitext_rows(pages):
    """Rows as the data set has them: a line each, and an empty text for a line of spaces alone."""
    return [{"text": line + "\n" if line.strip() else ""} for line in "".join(pages).split("\n")[:-1]]


def main():
    documents = tiny_gpt2.DOCUMENTS
    one = "00000-of-00001.parquet"
    write(f"hub/ai2_arc/ARC-Easy/test-{one}", documents["arc_easy"], TYPES["arc"])
    write(f"hub/ai2_arc/ARC-Easy/train-{one}", documents["arc_easy"][:1], TYPES["arc"])
    write(f"hub/ai2_arc/ARC-Challenge/test-{one}", documents["arc_challenge"], TYPES["arc"], compression="zstd")
    write(f"hub/hellaswag/data/validation-{one}", documents["hellaswag"], TYPES["hellaswag"], compression="gzip")
    for part in (0, 1):  # one file in two parts
        write(f"hub/piqa/plain_text/validation-0000{part}-of-00002.parquet", documents["piqa"][part:part + 1], TYPES["piqa"])
    write(f"hub/winogrande/winogrande_xl/validation-{one}", documents["winogrande"], TYPES["winogrande"])
    write("hub/lambada_openai/default/test/0000.parquet", documents["lambada"], TYPES["text"], compression="none")
    write("hub/lambada_openai/de/test/0000.parquet", [{"text": "Ein Satz"}], TYPES["text"])
    write(f"hub/wikitext/wikitext-2-raw-v1/test-{one}", wikitext_rows(tiny_gpt2.WIKITEXT), TYPES["text"])
    write(f"hub/wikitext/wikitext-2-raw-v1/validation-{one}", wikitext_rows(tiny_gpt2.WIKITEXT[:1]), TYPES["text"])
    write(f"hub/wikitext/wikitext-103-raw-v1/test-{one}", [{"text": " = Another = \n"}], TYPES["text"])

    piqa = TYPES["piqa"]
    write("strange/checksum.parquet", documents["piqa"], piqa, write_page_checksum=True, compression="none", use_dictionary=False,
          write_statistics=False)
    write("strange/timestamp.parquet", [{"goal": "a", "at": 0}], pa.schema([("goal", pa.string()), ("at", pa.timestamp("us"))]))
    write("strange/nan.parquet", [{"goal": 1.0}, {"goal": float("nan")}], pa.schema([("goal", pa.float64())]))
    # 777 rows: a number that the test finds again in the file and makes larger.
    write("strange/rows.parquet", [{"goal": "x"}] * 777, pa.schema([("goal", pa.string())]))
    # Small files of much text: 400 MB in rows of 200 kB, and 1 GiB in one row.
    write("strange/much.parquet", [{"goal": "x" * 200_000}] * 2000, pa.schema([("goal", pa.string())]), compression="zstd")
    write("strange/one.parquet", [{"goal": "x" * (1 << 30)}], pa.schema([("goal", pa.large_string())]), compression="zstd",
          use_dictionary=False, write_statistics=False)


if __name__ == "__main__":
    main()
