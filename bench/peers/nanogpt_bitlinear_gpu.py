#!/usr/bin/env python3
"""The peer at full scale: GPT-2 Medium's shape with BitLinear layers in plain PyTorch on one GPU.

The model is nanogpt_bitlinear.py's with other sizes: vocabulary 50,304, context 1,024, 24 layers, 16 heads, width 1,024.
bf16 autocast, float32 master weights, scaled_dot_product_attention, fused AdamW, torch.compile over the whole model and
loss. Trains on made-up ids; prints one JSON document. A step has 524,288 tokens; what is timed are its micro-batches and the
optimiser apart, put together as a step has them.
"""

import argparse
import json
import statistics
import time

import nanogpt_bitlinear as peer
import torch
import torch.nn as nn


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quantizer", choices=["ternary", "float"], default="ternary")
    parser.add_argument("--micro-batch", type=int, default=32)
    parser.add_argument("--micro-batches", type=int, default=8, help="that are timed")
    parser.add_argument("--mode", choices=["eager", "compile"], default="compile")
    options = parser.parse_args()
    peer.VOCABULARY, peer.CONTEXT, peer.LAYERS, peer.HEADS, peer.WIDTH = 50304, 1024, 24, 16, 1024
    torch.manual_seed(42)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    model = peer.GPT(options.quantizer, "sdpa").cuda()
    step_loss = torch.compile(model) if options.mode == "compile" else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), fused=True)
    ids = torch.randint(50257, (options.micro_batch, 1025), device="cuda")

    def micro_batch():
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = step_loss(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
        loss.backward()
        return loss.detach()

    def timed(work):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        return time.perf_counter() - start

    compile_s = timed(lambda: [micro_batch() for _ in range(3)])
    micro_s = statistics.median(timed(micro_batch) for _ in range(options.micro_batches))

    def update():
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    update()
    loss = micro_batch()
    update_s = timed(update)
    micro_batches = 524288 / (options.micro_batch * 1024)
    print(json.dumps({
        "peer": "nanogpt_bitlinear", "torch": torch.__version__, "device": torch.cuda.get_device_name(),
        "mode": options.mode, "quantizer": options.quantizer, "micro_batch": options.micro_batch,
        "tokens_per_s": round(524288 / (micro_s * micro_batches + update_s)),
        "micro_batch_ms": round(micro_s * 1000, 2), "optimiser_ms": round(update_s * 1000, 2),
        "peak_memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2), "warm_up_s": round(compile_s, 1),
        "loss": round(loss.item(), 4),
    }))


if __name__ == "__main__":
    main()
