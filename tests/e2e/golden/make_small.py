#!/usr/bin/env python3
"""Writes small_float.tsv, which small_golden_test.py compares with: python3 tests/e2e/golden/make_small.py TRAIN.BIN.

It needs PyTorch (1.13 or newer, for the CPU) and shares no code with bitloop: a GPT-2, its first weights, the order of the
data, AdamW, clipping and the schedule are written down here once more, in PyTorch's own operations. TRAIN.BIN is
tinyshakespeare as GPT-2 tokens (text-small.tar.xz of the shared data).

SHAPES are those of the preset `small` (heads of 64, the padded vocabulary, biases, a tied head) with fewer layers, a shorter
context and a smaller batch: what two cores do in a minute. Two micro-batches a step.

The column `double` is the same in float64, from the same float32 weights: how far rounding alone moves the losses, from
which the test's tolerance is derived."""

import argparse
import math
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
TABLE = HERE / "small_float.tsv"
COLUMNS = ("step", "train", "double")
SEED, STEPS = 42, 200
SHAPES = {"vocab": 50257, "padded": 50304, "context": 64, "layers": 2, "heads": 2, "width": 128}
BATCH, MICRO = 4, 2
RATE, LOWEST, WARM_UP, DECAY, BETAS, CLIP = 1e-3, 1e-4, 20, 0.1, (0.9, 0.95), 1.0
MASK = (1 << 64) - 1


def mix(x):
    """splitmix64's step."""
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & MASK
    return x ^ x >> 31


def places(size, step):
    """Where the windows of a step begin."""
    return [mix(mix(mix(SEED) ^ step) ^ row) % (size - SHAPES["context"]) for row in range(BATCH)]


def rate(step):
    if step < WARM_UP:
        return RATE * (step + 1) / (WARM_UP + 1)
    return LOWEST + 0.5 * (1 + math.cos(math.pi * (step - WARM_UP) / (STEPS - WARM_UP))) * (RATE - LOWEST)


def first_weights(torch):
    """In the order in which they are drawn."""
    D, L, made = SHAPES["width"], SHAPES["layers"], {}
    random = torch.Generator().manual_seed(SEED)

    def normal(name, shape, deviation):
        made[name] = torch.empty(shape).normal_(0.0, deviation, generator=random)

    normal("wte", (SHAPES["padded"], D), 0.02)
    normal("wpe", (SHAPES["context"], D), 0.02)
    for layer in range(L):
        for name, rows, columns, deviation in (("qkv", 3 * D, D, 0.02), ("proj", D, D, 0.02 / math.sqrt(2 * L)),
                                               ("fc", 4 * D, D, 0.02), ("mlp", D, 4 * D, 0.02 / math.sqrt(2 * L))):
            normal(f"{layer}.{name}", (rows, columns), deviation)
            made[f"{layer}.{name}.bias"] = torch.zeros(rows)
        for norm in ("ln_1", "ln_2"):
            made[f"{layer}.{norm}"], made[f"{layer}.{norm}.bias"] = torch.ones(D), torch.zeros(D)
    made["ln_f"], made["ln_f.bias"] = torch.ones(D), torch.zeros(D)
    return made


def mean_loss(torch, w, ids, targets):
    functional = torch.nn.functional
    B, T = ids.shape
    D, H = SHAPES["width"], SHAPES["heads"]

    def norm(x, name):
        return functional.layer_norm(x, (D,), w[name], w[name + ".bias"], 1e-5)

    def linear(x, name):
        return functional.linear(x, w[name], w[name + ".bias"])

    x = w["wte"][ids] + w["wpe"][:T]
    future = torch.ones(T, T, dtype=torch.bool).triu(1)
    for layer in range(SHAPES["layers"]):
        q, k, v = (part.view(B, T, H, D // H).transpose(1, 2) for part in linear(norm(x, f"{layer}.ln_1"), f"{layer}.qkv").split(D, 2))
        scores = (q @ k.transpose(2, 3) / math.sqrt(D // H)).masked_fill(future, -math.inf)
        x = x + linear((scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, D), f"{layer}.proj")
        x = x + linear(functional.gelu(linear(norm(x, f"{layer}.ln_2"), f"{layer}.fc"), approximate="tanh"), f"{layer}.mlp")
    logits = norm(x, "ln_f") @ w["wte"].t()
    return functional.cross_entropy(logits.view(B * T, -1), targets.reshape(-1))


def losses(train, double):
    import torch

    tokens = torch.frombuffer(bytearray(train.read_bytes()), dtype=torch.int16).to(torch.int64) & 0xFFFF
    kind = torch.float64 if double else torch.float32
    w = {name: tensor.to(kind).requires_grad_(True) for name, tensor in first_weights(torch).items()}
    optimizer = torch.optim.AdamW([{"params": [p for p in w.values() if p.dim() >= 2], "weight_decay": DECAY},
                                   {"params": [p for p in w.values() if p.dim() < 2], "weight_decay": 0.0}], betas=BETAS, eps=1e-8)
    T = SHAPES["context"]
    for step in range(STEPS):
        windows = torch.stack([tokens[place:place + T + 1] for place in places(len(tokens), step)])
        total = 0.0
        for first in range(0, BATCH, MICRO):
            rows = windows[first:first + MICRO]
            loss = mean_loss(torch, w, rows[:, :-1], rows[:, 1:])
            (loss * (MICRO / BATCH)).backward()
            total += loss.item() * MICRO / BATCH
        torch.nn.utils.clip_grad_norm_(w.values(), CLIP)
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        optimizer.step()
        optimizer.zero_grad()
        yield total


def read():
    header, *lines = [line.split("\t") for line in TABLE.read_text().splitlines()]
    assert tuple(header) == COLUMNS
    return [(int(step), float(train), float(double)) for step, train, double in lines]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=pathlib.Path)
    train = parser.parse_args().train
    single, double = list(losses(train, False)), list(losses(train, True))
    TABLE.write_text("\t".join(COLUMNS) + "\n" +
                     "".join(f"{i + 1}\t{a!r}\t{b!r}\n" for i, (a, b) in enumerate(zip(single, double))))
    apart = [abs(a - b) for a, b in zip(single, double)]
    print(f"{STEPS} losses from {single[0]:.4f} to {single[-1]:.4f}; float32 and float64 are at most {max(apart):.2g} apart", file=sys.stderr)


if __name__ == "__main__":
    main()
