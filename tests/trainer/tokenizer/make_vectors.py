#!/usr/bin/env python3
"""Makes unicode_vectors.json: random text of all planes, and what tiktoken makes of it. Wants tiktoken of PyPI, and the
vocabulary that scripts/setup unpacks."""

import json
import pathlib
import random

import tiktoken
from tiktoken.load import data_gym_to_mergeable_bpe_ranks

HERE = pathlib.Path(__file__).resolve().parent
BPE = HERE.parents[2] / ".deps/data/gpt2-bpe"
# The pattern that tiktoken's own "gpt2" has.
PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""

POOLS = ["abcdefghijklmnopqrstuvwxyz", "AEIOU", "0123456789", " \t\n\r\u000b\u000c\u0085\u00a0\u2003\u3000\u200b", "'", "'s't're've'm'll'd",
         ".,!?-()[]{}<>|@#$%^&*_+=/\\~`\"", "éüñßøčśžğ", "αβγДЖЩאבגعربहिन्दी", "中文日本語한국어", "½²³①Ⅷ٣४", "😀👩‍🚀🏳️‍🌈☃️", "\u0301\u0308\u200d\ufeff"]


def text(rng):
    made = []
    for _ in range(rng.randint(1, 12)):
        kind = rng.random()
        if kind < 0.75:
            pool = rng.choice(POOLS)
            made.append("".join(rng.choice(pool) for _ in range(rng.randint(1, 8))))
        else:
            point = rng.choice([rng.randrange(0x80, 0x800), rng.randrange(0x800, 0xd800), rng.randrange(0xe000, 0x10000),
                                rng.randrange(0x10000, 0x110000)])
            made.append(chr(point) * rng.randint(1, 2))
        if rng.random() < 0.4:
            made.append(" " * rng.randint(1, 3))
    return "".join(made)


def main():
    ranks = data_gym_to_mergeable_bpe_ranks(str(BPE / "vocab.bpe"), str(BPE / "encoder.json"))
    gpt2 = tiktoken.Encoding("gpt2", explicit_n_vocab=50257, pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 50256})
    rng = random.Random(2026)
    vectors = []
    for _ in range(600):
        sample = text(rng)
        vectors.append({"text": sample, "ids": gpt2.encode_ordinary(sample)})
    (HERE / "unicode_vectors.json").write_text("[\n" + ",\n".join(json.dumps(vector) for vector in vectors) + "\n]\n")


main()
