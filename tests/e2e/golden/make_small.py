#!/usr/bin/env python3
"""Writes small_float.tsv and small_ternary.tsv, which small_golden_test.py compares with:

    python3 tests/e2e/golden/make_small.py .deps/data/shakespeare

after the build (BITLOOP_BIN names another folder than build/bin). Of bitloop it takes the tokens alone: `prepared` runs `bitloop data
prepare` over the texts that the set-up unpacks, and TOKENS is the hash of what comes out, so that a tokenizer that changed is not taken
for a training that did. The rest needs PyTorch (1.13 or newer, for the CPU) and shares no code with bitloop: a GPT-2, its first
weights, the order of the data, the quantizer, AdamW, clipping and the schedule are written down here once more, in PyTorch's own
operations.

SHAPES are those of the preset `small` (heads of 64, the padded vocabulary, biases, a tied head) with fewer layers, a shorter
context and a smaller batch: what two cores do in a minute. Two micro-batches a step.

The columns are the same training in several roundings, all from the same float32 weights: how far rounding alone moves the losses, from
which the test's tolerances are derived. `double` is float64, `train` float32. Ternary's has two more: in `bfloat16` both factors of
every product are rounded to it, forward and backward, in `stream` what lies between the products is, too. Its other columns are the
first RULE_STEPS of trainings by another rule (RULES), which the test has to tell apart. All of it takes half an hour."""

import argparse
import hashlib
import itertools
import math
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(os.environ.get("BITLOOP_BIN", HERE.parents[2] / "build" / "bin"))
SEED, STEPS, RULE_STEPS = 42, 200, 60
SHAPES = {"vocab": 50257, "padded": 50304, "context": 64, "layers": 2, "heads": 2, "width": 128}
BATCH, MICRO = 4, 2
RATE, LOWEST, WARM_UP, DECAY, BETAS, CLIP = 1e-3, 1e-4, 20, 0.1, (0.9, 0.95), 1.0
HELD_OUT = "passionate_pilgrim_gut.txt"  # short: its loss is measured and not looked at
TOKENS = "e04c419642a72f86776aa280fe6d17a4f1f771f9dd03839e72f1402fbfaad6fd"
RULES = {"learning rate 2% higher": {"rate": 1.02}, "beta2 0.96": {"beta2": 0.96}, "scale 2% larger": {"scale": 1.02}}
COLUMNS = {"float": ("train", "double"), "ternary": ("train", "double", "bfloat16", "stream", *RULES)}
MASK = (1 << 64) - 1


def prepared(texts, folder, programs=BIN):
    """The shards (train, validation) that bitloop makes of the folder of texts."""
    made = []
    for name, sources in (("train", sorted(path for path in texts.glob("*.txt") if path.name != HELD_OUT)), ("val", [texts / HELD_OUT])):
        subprocess.run([programs / "bitloop", "data", "prepare", *sources, "--to", folder / name, "--held-out", "0"], check=True,
                       stdout=subprocess.DEVNULL)
        made.append(folder / name / "data_train_000001.bin")
    if hashlib.sha256(made[0].read_bytes()).hexdigest() != TOKENS:
        raise ValueError("bitloop data prepare makes other tokens of the texts than those that the tables were made with")
    return made


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


class Model:
    """The loss of a batch. rounding: "" (none beyond the tensors' own), "bfloat16" or "stream"."""

    def __init__(self, torch, quantizer, rounding="", scale=1.0):
        self.torch, self.quantizer, self.scale = torch, quantizer, scale

        def to_bfloat16(x):
            return x.to(torch.bfloat16).to(x.dtype)

        class Product(torch.autograd.Function):  # x (R, K) and w (N, K), or batches of them: x w^T
            @staticmethod
            def forward(ctx, x, w):
                x, w = to_bfloat16(x), to_bfloat16(w)
                ctx.save_for_backward(x, w)
                return x @ w.transpose(-2, -1)

            @staticmethod
            def backward(ctx, dy):
                x, w = ctx.saved_tensors
                dy = to_bfloat16(dy)
                dx, dw = dy @ w, dy.transpose(-2, -1) @ x
                return dx, dw if w.dim() == dw.dim() else dw.flatten(0, -3).sum(0)

        class Stored(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return to_bfloat16(x)

            @staticmethod
            def backward(ctx, dy):
                return to_bfloat16(dy)

        self.product = Product.apply if rounding else lambda x, w: x @ w.transpose(-2, -1)
        self.stored = Stored.apply if rounding == "stream" else lambda x: x

    def straight_through(self, latent, value):
        return latent + (value - latent).detach()

    def weight(self, w):
        """Ternary's value; scales are kept as float16."""
        scale = w.abs().mean().clamp(min=1e-5) * self.scale
        return self.straight_through(w, (w / scale).round().clamp(-1, 1) * scale.to(self.torch.float16).to(w.dtype))

    def activation(self, x):
        scale = x.abs().amax(-1, keepdim=True).clamp(min=1e-5) / 127
        return self.straight_through(x, (x / scale).round().clamp(-128, 127) * scale.to(self.torch.float16).to(x.dtype))

    def loss(self, w, ids, targets):
        torch, functional = self.torch, self.torch.nn.functional
        B, T = ids.shape
        D, H = SHAPES["width"], SHAPES["heads"]

        def norm(x, name):
            return functional.layer_norm(x, (D,), w[name], w[name + ".bias"], 1e-5)

        def linear(x, name):
            weight = w[name]
            if self.quantizer == "ternary":
                x, weight = self.activation(x), self.weight(weight)
            return self.product(x, weight) + w[name + ".bias"]

        x = self.stored(w["wte"][ids] + w["wpe"][:T])
        future = torch.ones(T, T, dtype=torch.bool).triu(1)
        for layer in range(SHAPES["layers"]):
            qkv = self.stored(linear(norm(x, f"{layer}.ln_1"), f"{layer}.qkv"))
            q, k, v = (part.view(B, T, H, D // H).transpose(1, 2) for part in qkv.split(D, 2))
            scores = (self.product(q, k) / math.sqrt(D // H)).masked_fill(future, -math.inf)
            attended = self.stored(self.product(scores.softmax(-1), v.transpose(2, 3)))
            x = self.stored(x + linear(attended.transpose(1, 2).reshape(B, T, D), f"{layer}.proj"))
            hidden = functional.gelu(linear(norm(x, f"{layer}.ln_2"), f"{layer}.fc"), approximate="tanh")
            x = self.stored(x + linear(hidden, f"{layer}.mlp"))
        logits = self.product(norm(x, "ln_f"), w["wte"])
        return functional.cross_entropy(logits.view(B * T, -1), targets.reshape(-1))


def losses(train, quantizer, double=False, rounding="", rule=None):
    import torch

    settings = dict(RULES[rule]) if rule else {}
    faster, beta2 = settings.pop("rate", 1.0), settings.pop("beta2", BETAS[1])
    tokens = torch.frombuffer(bytearray(train.read_bytes()[1024:]), dtype=torch.int16).to(torch.int64) & 0xFFFF
    kind = torch.float64 if double else torch.float32
    model = Model(torch, quantizer, rounding, **settings)
    w = {name: tensor.to(kind).requires_grad_(True) for name, tensor in first_weights(torch).items()}
    optimizer = torch.optim.AdamW([{"params": [p for p in w.values() if p.dim() >= 2], "weight_decay": DECAY},
                                   {"params": [p for p in w.values() if p.dim() < 2], "weight_decay": 0.0}], betas=(BETAS[0], beta2), eps=1e-8)
    T = SHAPES["context"]
    for step in range(STEPS):
        windows = torch.stack([tokens[place:place + T + 1] for place in places(len(tokens), step)])
        total = 0.0
        for first in range(0, BATCH, MICRO):
            rows = windows[first:first + MICRO]
            loss = model.loss(w, rows[:, :-1], rows[:, 1:])
            (loss * (MICRO / BATCH)).backward()
            total += loss.item() * MICRO / BATCH
        torch.nn.utils.clip_grad_norm_(w.values(), CLIP)
        for group in optimizer.param_groups:
            group["lr"] = rate(step) * faster
        optimizer.step()
        optimizer.zero_grad()
        yield total


def column(train, quantizer, name):
    if name in RULES:
        return list(itertools.islice(losses(train, quantizer, rule=name), RULE_STEPS))
    return list(losses(train, quantizer, double=name == "double", rounding=name if name in ("bfloat16", "stream") else ""))


def read(quantizer):
    """{column: losses of the steps}"""
    header, *lines = [line.split("\t") for line in (HERE / f"small_{quantizer}.tsv").read_text().splitlines()]
    assert tuple(header) == ("step", *COLUMNS[quantizer]) and [int(line[0]) for line in lines] == list(range(1, STEPS + 1))
    return {name: [float(line[i]) for line in lines if line[i]] for i, name in enumerate(header) if i}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=pathlib.Path)
    texts = parser.parse_args().texts
    with tempfile.TemporaryDirectory() as folder:
        train, _ = prepared(texts, pathlib.Path(folder))
        for quantizer, names in COLUMNS.items():
            table = {name: column(train, quantizer, name) for name in names}
            rows = itertools.zip_longest(range(1, STEPS + 1), *table.values())
            (HERE / f"small_{quantizer}.tsv").write_text("\t".join(("step", *names)) + "\n" + "".join(
                "\t".join("" if cell is None else repr(cell) for cell in row) + "\n" for row in rows))
            for name, found in table.items():
                apart = max(abs(a - b) for a, b in zip(found, table["double"]))
                print(f"{quantizer}, {name}: {len(found)} losses from {found[0]:.4f} to {found[-1]:.4f}, at most {apart:.2g} from float64's", file=sys.stderr)


if __name__ == "__main__":
    main()
