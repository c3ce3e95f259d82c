#!/usr/bin/env python3
"""Makes the folders in llama/: small random Llamas of Hugging Face's transformers, with their logits, the gradients of a loss, and
what greedy generation goes on with. tests/trainer/checkpoint/llama_golden_test.cpp and llama_test.py compare with them.

    python3 -m venv VENV && VENV/bin/pip install torch==2.11.0 'transformers==4.57.6' safetensors
    VENV/bin/python tests/e2e/golden/make_llama.py

Each has config.json and model.safetensors, and golden.safetensors with `ids` and `targets` (B, T), `logits` (B, T, V), `loss`,
`grad.<name>`, and `generated` (what follows the first 5 ids of each row).
"""
import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

HERE = pathlib.Path(__file__).resolve().parent / "llama"
PROMPT, NEW = 5, 12

# heads, heads of keys and values, width, hidden width, and what else is unusual
MODELS = {
    "as_many_heads": dict(num_attention_heads=4, num_key_value_heads=4, hidden_size=32, intermediate_size=44),
    "shared_by_two": dict(num_attention_heads=4, num_key_value_heads=2, hidden_size=32, intermediate_size=44, tie_word_embeddings=False,
                          rope_theta=500000.0, rms_norm_eps=1e-6),
    "shared_by_all": dict(num_attention_heads=4, num_key_value_heads=1, hidden_size=32, intermediate_size=37),
    "odd_sizes": dict(num_attention_heads=3, num_key_value_heads=3, hidden_size=18, intermediate_size=7, attention_bias=True, mlp_bias=True,
                      rope_theta=100.0, rms_norm_eps=1e-3, vocab_size=29),
    "like_smollm": dict(num_attention_heads=9, num_key_value_heads=3, hidden_size=36, intermediate_size=40),
    "in_bfloat16": dict(num_attention_heads=2, num_key_value_heads=1, hidden_size=16, intermediate_size=24),
    "in_float16": dict(num_attention_heads=2, num_key_value_heads=2, hidden_size=16, intermediate_size=24, tie_word_embeddings=False),
}


def make(name, number, settings):
    torch.manual_seed(number)
    config = LlamaConfig(**{"vocab_size": 40, "num_hidden_layers": 2, "max_position_embeddings": 32, "tie_word_embeddings": True,
                            "rms_norm_eps": 1e-5, "initializer_range": 0.2, "attn_implementation": "eager", "bos_token_id": 0,
                            "eos_token_id": None, "pad_token_id": None, **settings})
    model = LlamaForCausalLM(config).float()
    stored = {"in_bfloat16": torch.bfloat16, "in_float16": torch.float16}.get(name, torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # biases and norms away from their initial values
                parameter.add_(torch.randn_like(parameter) * 0.1)
            parameter.copy_(parameter.to(stored))
    ids = torch.randint(config.vocab_size, (2, 24))
    targets = torch.randint(config.vocab_size, (2, 24))
    logits = model(ids).logits
    loss = torch.nn.functional.cross_entropy(logits.view(-1, config.vocab_size), targets.view(-1))
    loss.backward()
    gradients = {key: value.grad.clone() for key, value in model.named_parameters()}
    generated = model.generate(ids[:, :PROMPT], attention_mask=torch.ones(2, PROMPT, dtype=torch.long), do_sample=False,
                               max_new_tokens=NEW, min_new_tokens=NEW, pad_token_id=0)[:, PROMPT:]
    folder = HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    model.to(stored).save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    golden = {f"grad.{key}": value for key, value in gradients.items()}
    golden |= {"ids": ids.float(), "targets": targets.float(), "logits": logits.detach(), "loss": loss.detach().reshape(1),
               "generated": generated.float()}
    save_file({key: value.contiguous() for key, value in golden.items()}, folder / "golden.safetensors")
    for file in folder.iterdir():
        file.chmod(0o644)


if __name__ == "__main__":
    for number, (name, settings) in enumerate(MODELS.items()):
        make(name, number, settings)
