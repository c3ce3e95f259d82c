"""NativeBit in PyTorch, written from its description alone: GPT-2 with learned codebooks in its linear layers, a few steps of
training from the weights of nativebit_model.py. Writes golden/nativebit.json.

Runs in a Python that has torch; shares no code with bitloop."""

import json
import math

import torch
import torch.nn.functional as F

from bitloop import HERE
from nativebit_model import BLOCK, ENTRIES, HEADS, LAYERS, SHOWN, STEPS, TRAINING, batches, rates, tensors


class Codebooks:
    """Of one layer: blocks of a row's inputs, each with its values."""

    def __init__(self, weight, entries, block):
        self.block, self.entries = block, entries
        blocks = self.blocks(weight)
        q = (torch.arange(entries, dtype=torch.float64) + 0.5) / entries
        n = blocks.shape[-1]
        place = (q * n - 0.5).clamp(0, n - 1)
        ordered = blocks.double().sort(-1).values
        low = place.floor().long()
        high = (low + 1).clamp(max=n - 1)
        self.values = (ordered[..., low] + (ordered[..., high] - ordered[..., low]) * (place - low)).float()
        one_hot = F.one_hot(self.indices(weight), entries).float()
        self.count = one_hot.sum(-2)
        self.total = self.values * self.count

    def blocks(self, weight):
        rows, columns = weight.shape
        assert columns % self.block == 0
        return weight.reshape(rows, columns // self.block, self.block)

    def indices(self, weight):
        return (self.blocks(weight).unsqueeze(-1) - self.values.unsqueeze(-2)).abs().argmin(-1)

    def quantize(self, weight):
        """Indices, and the weights' values as they are stored: float16."""
        indices = self.indices(weight)
        return indices, self.values.half().float().gather(-1, indices).reshape(weight.shape)

    def follow(self, weight, indices, average):
        one_hot = F.one_hot(indices, self.entries).float()
        count = one_hot.sum(-2)
        total = (one_hot * self.blocks(weight).unsqueeze(-1)).sum(-2)
        self.count = average * self.count + (1 - average) * count
        self.total = average * self.total + (1 - average) * total
        alive = self.count > 1e-3
        self.values = torch.where(alive, self.total / self.count.clamp(min=1e-3), self.values)


def activations(x):
    """int8 by the token's largest magnitude; straight through. Scales are stored as float16."""
    scale = (x.detach().abs().amax(-1, keepdim=True).clamp(min=1e-5) / 127).half().float()
    exact = x.detach().abs().amax(-1, keepdim=True).clamp(min=1e-5) / 127
    return x + ((x.detach() / exact).round().clamp(-128, 127) * scale - x.detach())


class Model:
    def __init__(self):
        self.p = {name: torch.tensor(values, dtype=torch.float32).reshape(shape).requires_grad_(True)
                  for name, (shape, values) in tensors().items()}
        self.linear = [name for name in self.p if name.endswith(".weight") and ".c_" in name]
        self.books = {name: Codebooks(self.p[name].detach(), ENTRIES, BLOCK) for name in self.linear}
        self.indices, self.kept = {}, {}

    def requantize(self):
        for name in self.linear:
            self.indices[name], self.kept[name] = self.books[name].quantize(self.p[name].detach())

    def layer(self, name, x):
        w = self.p[name + ".weight"]
        used = w + (self.kept[name + ".weight"] - w).detach()
        return activations(x) @ used.T + self.p[name + ".bias"]

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.p[name + ".weight"], self.p[name + ".bias"], 1e-5)

    def loss(self, ids):
        heads = HEADS
        inputs, targets = ids[:, :-1], ids[:, 1:]
        B, T = inputs.shape
        x = self.p["wte.weight"][inputs] + self.p["wpe.weight"][:T]
        width = x.shape[-1]
        for i in range(LAYERS):
            qkv = self.layer(f"h.{i}.attn.c_attn", self.norm(f"h.{i}.ln_1", x))
            q, k, v = (part.view(B, T, heads, width // heads).transpose(1, 2) for part in qkv.split(width, -1))
            scores = q @ k.transpose(-1, -2) / math.sqrt(width // heads)
            scores = scores.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), -math.inf)
            attended = (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, width)
            x = x + self.layer(f"h.{i}.attn.c_proj", attended)
            hidden = F.gelu(self.layer(f"h.{i}.mlp.c_fc", self.norm(f"h.{i}.ln_2", x)), approximate="tanh")
            x = x + self.layer(f"h.{i}.mlp.c_proj", hidden)
        logits = self.norm("ln_f", x) @ self.p["wte.weight"].T
        return F.cross_entropy(logits.reshape(B * T, -1), targets.reshape(-1))

    def commitment(self, step):
        share = min(1.0, (step + 1) / 200)
        return share * sum((self.p[name] - self.kept[name]).square().mean() for name in self.linear)


def trained(every):
    model, steps = Model(), batches(STEPS, TRAINING["train.batch"], 128)
    first = model.books[SHOWN + ".weight"].values.flatten().tolist()
    decay = [p for p in model.p.values() if p.dim() >= 2]
    plain = [p for p in model.p.values() if p.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": TRAINING["train.weight_decay"]}, {"params": plain, "weight_decay": 0.0}],
                                  betas=(0.9, 0.95), eps=1e-8)
    losses = []
    for step, batch in enumerate(steps):
        if step % every == 0:
            model.requantize()
        loss = model.loss(torch.tensor(batch))
        optimizer.zero_grad()
        (loss + model.commitment(step)).backward()
        torch.nn.utils.clip_grad_norm_(list(model.p.values()), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rates()[step]
        optimizer.step()
        if step % every == 0:
            for name in model.linear:
                model.books[name].follow(model.p[name].detach(), model.indices[name], 0.99)
        losses.append(loss.item())
    book = model.books[SHOWN + ".weight"]
    rounded = [[float(f"{value:.7g}") for value in values] for values in
               (first, book.values.flatten().tolist(), book.count.flatten().tolist(), model.p[SHOWN + ".weight"].flatten().tolist()[::37])]
    return {"losses": losses, "rates": rates(), "first_codebook": rounded[0], "codebook": rounded[1], "count": rounded[2], "weights": rounded[3]}


if __name__ == "__main__":
    (HERE / "golden" / "nativebit.json").write_text(json.dumps({str(every): trained(every) for every in (1, 3)}) + "\n")
