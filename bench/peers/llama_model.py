#!/usr/bin/env python3
"""A GGUF file of random numbers for bench/peers/llama_decoding.cpp: the GPT-2 of bench/decoding.py with TQ2_0 weights (2.06 bits each)
and the embedding, which is the head too, in bfloat16, or as llama.cpp itself quantises it with --head Q6_K. Needs the PyPI package
gguf. Layers of the same shape have the same weights; each lies in the file by itself."""

import argparse

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

RANDOM = np.random.default_rng(1)
VALUES = {Type.TQ2_0: (256, 66), Type.Q6_K: (256, 210)}  # numbers and bytes of a block


def blocks(rows, columns, kind):
    """Random blocks whose bytes mean finite numbers: their scale, a float16, stands last."""
    numbers, size = VALUES[kind]
    made = RANDOM.integers(0, 256, (rows, columns // numbers, size), dtype=np.uint8)
    if kind == Type.TQ2_0:  # no code is 3
        codes = RANDOM.integers(0, 3, (rows, columns // numbers, 64, 4), dtype=np.uint8)
        made[..., :64] = codes[..., 0] | codes[..., 1] << 2 | codes[..., 2] << 4 | codes[..., 3] << 6
    made[..., -2:] = np.frombuffer(np.float16(0.02 if kind == Type.TQ2_0 else 1e-5).tobytes(), dtype=np.uint8)
    return made.reshape(rows, -1)


def bfloat16(rows, columns):
    return (RANDOM.standard_normal((rows, columns), dtype=np.float32) * 0.02).view(np.uint32).__rshift__(16).astype(np.uint16).view(np.uint8)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output")
    for name, value in (("layers", 22), ("width", 2048), ("heads", 32), ("vocabulary", 50304), ("context", 1024)):
        parser.add_argument("--" + name, type=int, default=value)
    parser.add_argument("--head", choices=("BF16", "Q6_K"), default="BF16")
    options = parser.parse_args()
    D = options.width
    file = gguf.GGUFWriter(options.output, "gpt2")
    file.add_block_count(options.layers)
    file.add_context_length(options.context)
    file.add_embedding_length(D)
    file.add_feed_forward_length(4 * D)
    file.add_head_count(options.heads)
    file.add_layer_norm_eps(1e-5)
    file.add_vocab_size(options.vocabulary)
    file.add_tokenizer_model("no_vocab")
    head = bfloat16(options.vocabulary, D) if options.head == "BF16" else blocks(options.vocabulary, D, Type.Q6_K)
    file.add_tensor("token_embd.weight", head, raw_dtype=Type[options.head])
    file.add_tensor("position_embd.weight", RANDOM.standard_normal((options.context, D), dtype=np.float32) * np.float32(0.02))

    def norm(name):
        file.add_tensor(name + ".weight", np.ones(D, np.float32))
        file.add_tensor(name + ".bias", np.zeros(D, np.float32))

    norm("output_norm")
    shapes = {"attn_qkv": (3 * D, D), "attn_output": (D, D), "ffn_up": (4 * D, D), "ffn_down": (D, 4 * D)}
    made = {shape: blocks(*shape, Type.TQ2_0) for shape in shapes.values()}
    for i in range(options.layers):
        norm(f"blk.{i}.attn_norm")
        norm(f"blk.{i}.ffn_norm")
        for name, shape in shapes.items():
            file.add_tensor(f"blk.{i}.{name}.weight", made[shape], raw_dtype=Type.TQ2_0)
            file.add_tensor(f"blk.{i}.{name}.bias", np.zeros(shape[0], np.float32))
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


if __name__ == "__main__":
    main()
