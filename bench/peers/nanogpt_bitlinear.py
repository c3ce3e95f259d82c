#!/usr/bin/env python3
"""The peer that bitloop's speed is compared with: a compact nanoGPT with BitLinear layers in plain PyTorch.

It trains exactly the `tiny` preset: bytes (vocabulary 256), context 128, 4 layers, 4 heads, width 128, biases, tanh GELU, a
tied float head; 16 x 128 tokens a step of Shakespeare, AdamW (0.9, 0.95) with decay on matrices, clipping at 1. With
--quantizer ternary every linear layer of the blocks has absmean ternary weights and per-token absmax int8 activations with
straight-through gradients (BitNet b1.58). Prints one JSON document.

Whatever PyTorch offers to be fast without changing the mathematics is used: the fused AdamW, autograd functions whose
backward is free, torch.compile over the whole model and loss, bf16 autocast, and attention as products and a softmax: at
this size PyTorch 2.11's scaled_dot_product_attention has a slow backward on the CPU (--attention sdpa measures it).

Shapes: B batch, T tokens, D model, H heads, N out features, K in features.
"""

import argparse
import json
import math
import pathlib
import resource
import statistics
import sys
import time
import warnings

warnings.filterwarnings("ignore", message="Failed to initialize NumPy")
import torch  # noqa: E402
import torch.nn as nn  # noqa: E402
import torch.nn.functional as F  # noqa: E402

VOCABULARY, CONTEXT, LAYERS, HEADS, WIDTH = 256, 128, 4, 4, 128
BATCH, PEAK_RATE, WARMUP_STEPS, DECAY, CLIP = 16, 2e-3, 100, 0.1, 1.0
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


class TernaryWeight(torch.autograd.Function):
    """w_NK -> its ternary value; the gradient passes straight through."""

    @staticmethod
    def forward(ctx, w_NK):
        scale = w_NK.abs().mean().clamp(min=1e-5)
        return (w_NK / scale).round().clamp(-1, 1) * scale

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Int8Activation(torch.autograd.Function):
    """x_BTK -> its value in 8 bits a token; the gradient passes straight through."""

    @staticmethod
    def forward(ctx, x_BTK):
        scale = x_BTK.abs().amax(dim=-1, keepdim=True).clamp(min=1e-5) / 127
        return (x_BTK / scale).round().clamp(-128, 127) * scale

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class BitLinear(nn.Linear):
    def forward(self, x_BTK):
        return F.linear(Int8Activation.apply(x_BTK), TernaryWeight.apply(self.weight), self.bias)


def attention_by_products(q_BHTD, k_BHTD, v_BHTD):
    t, d = q_BHTD.shape[-2:]
    scores_BHTT = (q_BHTD @ k_BHTD.transpose(-2, -1)) * d**-0.5
    future = torch.ones(t, t, dtype=torch.bool, device=q_BHTD.device).triu(1)
    return scores_BHTT.masked_fill(future, float("-inf")).softmax(-1).to(v_BHTD.dtype) @ v_BHTD


def attention_by_sdpa(q_BHTD, k_BHTD, v_BHTD):
    return F.scaled_dot_product_attention(q_BHTD, k_BHTD, v_BHTD, is_causal=True)


class Block(nn.Module):
    def __init__(self, linear, attention):
        super().__init__()
        self.attention = attention
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.attention_out = linear(WIDTH, 3 * WIDTH), linear(WIDTH, WIDTH)
        self.fc, self.mlp_out = linear(WIDTH, 4 * WIDTH), linear(4 * WIDTH, WIDTH)

    def forward(self, x_BTD):
        b, t, d = x_BTD.shape
        q, k, v = self.qkv(self.ln_1(x_BTD)).split(d, dim=-1)
        q, k, v = (z.view(b, t, HEADS, d // HEADS).transpose(1, 2) for z in (q, k, v))
        mixed = self.attention(q, k, v)
        x_BTD = x_BTD + self.attention_out(mixed.transpose(1, 2).reshape(b, t, d))
        return x_BTD + self.mlp_out(F.gelu(self.fc(self.ln_2(x_BTD)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, quantizer, attention):
        super().__init__()
        # Both are chosen here, once a process: torch.compile must never see a quantizer change under it.
        linear = BitLinear if quantizer == "ternary" else nn.Linear
        attention = attention_by_sdpa if attention == "sdpa" else attention_by_products
        self.tokens, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block(linear, attention) for _ in range(LAYERS))
        self.ln_f = nn.LayerNorm(WIDTH)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                residual = name.endswith(("attention_out.weight", "mlp_out.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * LAYERS) if residual else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, ids_BT, targets_BT):
        x_BTD = self.tokens(ids_BT) + self.positions.weight[: ids_BT.shape[1]]
        for block in self.blocks:
            x_BTD = block(x_BTD)
        logits = F.linear(self.ln_f(x_BTD), self.tokens.weight)
        return F.cross_entropy(logits.view(-1, VOCABULARY).float(), targets_BT.view(-1))


def load_text(folder):
    """(training bytes, validation bytes): plays in order of their names, every tenth from the fourth on is validation."""
    plays = sorted(folder.glob("*.txt"))
    if not plays:
        sys.exit(f"nanogpt_bitlinear.py: no plays in {folder}; run scripts/setup first")
    parts = ([], [])
    for index, play in enumerate(plays):
        parts[index % 10 == 3].append(play.read_bytes())
    return [torch.frombuffer(bytearray(b"".join(part)), dtype=torch.uint8).long() for part in parts]


def batch_of(text, generator):
    starts = torch.randint(len(text) - CONTEXT, (BATCH, 1), generator=generator)
    window = text[starts + torch.arange(CONTEXT + 1)]
    return window[:, :-1].contiguous(), window[:, 1:].contiguous()


def rate_at(step, steps):
    warmup = min(WARMUP_STEPS, max(1, steps // 4))
    if step < warmup:
        return PEAK_RATE * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return PEAK_RATE * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))


def evaluate(model, text, batches):
    """Mean loss in nats a byte over evenly spread windows, in float32 and without torch.compile."""
    starts = torch.linspace(0, len(text) - CONTEXT - 1, batches * BATCH).long()[:, None]
    windows = text[starts + torch.arange(CONTEXT + 1)].view(batches, BATCH, CONTEXT + 1)
    with torch.no_grad():
        return statistics.fmean(model(w[:, :-1], w[:, 1:].contiguous()).item() for w in windows)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mode", choices=["eager", "compile"], default="eager")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--quantizer", choices=["ternary", "float"], default="ternary")
    parser.add_argument("--attention", choices=["products", "sdpa"], default="products")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--warmup-steps", type=int, default=20, help="steps before the clock starts")
    parser.add_argument("--block", type=int, default=10, help="steps a measurement")
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's own choice")
    parser.add_argument("--eval-batches", type=int, default=20)
    parser.add_argument("--data", type=pathlib.Path, default=REPOSITORY / ".deps/data/shakespeare")
    arguments = parser.parse_args()
    if arguments.steps < arguments.warmup_steps + arguments.block:
        parser.error("--steps must be at least --warmup-steps + --block")
    return arguments


def main():
    options = parse_arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    train_text, validation_text = load_text(options.data)
    generator = torch.Generator().manual_seed(options.seed)
    model = GPT(options.quantizer, options.attention)
    step_loss = torch.compile(model) if options.mode == "compile" else model
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() != 2]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.95), fused=True)
    autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.dtype == "bfloat16")

    losses, blocks, started = [], [], None
    for step in range(options.steps):
        since_warmup = step - options.warmup_steps
        if since_warmup >= 0 and since_warmup % options.block == 0:
            now = time.perf_counter()
            if started is not None:
                blocks.append(now - started)
            started = now
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, options.steps)
        ids, targets = batch_of(train_text, generator)
        with autocast:
            loss = step_loss(ids, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.detach())
    if (options.steps - options.warmup_steps) % options.block == 0:
        blocks.append(time.perf_counter() - started)

    step_s = statistics.median(blocks) / options.block
    print(json.dumps({
        "peer": "nanogpt_bitlinear", "torch": torch.__version__, "threads": torch.get_num_threads(),
        "mode": options.mode, "dtype": options.dtype, "quantizer": options.quantizer,
        "attention": options.attention, "steps": options.steps, "seed": options.seed,
        "tokens_per_s": round(BATCH * CONTEXT / step_s, 1), "step_ms": round(step_s * 1000, 3),
        "step_ms_best": round(min(blocks) / options.block * 1000, 3),
        "train_loss": round(torch.stack(losses[-10:]).mean().item(), 4),
        "val_loss": round(evaluate(model, validation_text, options.eval_batches), 4),
        "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }))


if __name__ == "__main__":
    main()
