#!/usr/bin/env python3
"""The peer of packed decoding: a GPT-2 of the same shape with random bfloat16 weights in plain PyTorch, one sequence, keys and values
kept. Prints {"tokens_per_s", "peak_memory_mb"}, the best of a few stretches of tokens.

Every product is one torch.nn.functional.linear on bfloat16, which oneDNN computes with what the processor has for it; between
products stands as little as the model allows. Shapes: D model, H heads, V vocabulary."""

import argparse
import json
import resource
import time
import warnings

warnings.filterwarnings("ignore", message="Failed to initialize NumPy")
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("layers", 22), ("width", 2048), ("heads", 32), ("vocabulary", 50304), ("tokens", 8), ("stretches", 3),
                        ("threads", 2)):
        parser.add_argument("--" + name, type=int, default=value)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    D, H, bf16 = options.width, options.heads, torch.bfloat16

    drawn = {}

    def weight(rows, columns):  # the same numbers for a shape, each time in memory of their own
        if (rows, columns) not in drawn:
            drawn[rows, columns] = torch.empty(rows, columns, dtype=bf16).normal_(0, 0.02)
        return drawn[rows, columns].clone()

    blocks = [[weight(3 * D, D), weight(D, D), weight(4 * D, D), weight(D, 4 * D)] for _ in range(options.layers)]
    embedding, ones, zeros = weight(options.vocabulary, D), torch.ones(D, dtype=bf16), torch.zeros(D, dtype=bf16)
    length = options.tokens * options.stretches + 1
    keys = torch.zeros(options.layers, H, length, D // H, dtype=bf16)
    values = torch.zeros_like(keys)

    def step(token, place):
        x = embedding[token].view(1, D)
        for i, (qkv, projection, up, down) in enumerate(blocks):
            q, k, v = F.linear(F.layer_norm(x, (D,), ones, zeros), qkv).view(3, H, D // H)
            keys[i, :, place], values[i, :, place] = k, v
            y = F.scaled_dot_product_attention(q.unsqueeze(1), keys[i, :, :place + 1], values[i, :, :place + 1])
            x = x + F.linear(y.reshape(1, D), projection)
            x = x + F.linear(F.gelu(F.linear(F.layer_norm(x, (D,), ones, zeros), up), approximate="tanh"), down)
        return int(F.linear(F.layer_norm(x, (D,), ones, zeros), embedding).argmax())

    best, token = 0.0, 1
    with torch.inference_mode():
        token = step(token, 0)
        for stretch in range(options.stretches):
            start = time.perf_counter()
            for i in range(options.tokens):
                token = step(token, 1 + stretch * options.tokens + i)
            best = max(best, options.tokens / (time.perf_counter() - start))
    print(json.dumps({"tokens_per_s": best, "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
