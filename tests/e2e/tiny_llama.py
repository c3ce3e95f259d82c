"""A small random Llama in the form of Hugging Face, written without any of its libraries, and the architecture in numpy, in double
precision and without a cache. tests/trainer/checkpoint/llama_golden_test.cpp holds bitloop against `transformers` itself."""

import json
import math
import struct

import numpy

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 48,
          "intermediate_size": 70, "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2,
          "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False,
          "bos_token_id": 0, "eos_token_id": 0, "torch_dtype": "float32"}


def make(vocabulary, **settings):
    """(config, {name: float32 array})"""
    config = {**CONFIG, "vocab_size": vocabulary, **settings}
    width, hidden = config["hidden_size"], config["intermediate_size"]
    keys = config["num_key_value_heads"] * (width // config["num_attention_heads"])
    random = numpy.random.default_rng(3)
    shapes = {"model.embed_tokens.weight": (vocabulary, width), "model.norm.weight": (width,)}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocabulary, width)
    for i in range(config["num_hidden_layers"]):
        for name, shape in {"input_layernorm": (width,), "post_attention_layernorm": (width,), "self_attn.q_proj": (width, width),
                            "self_attn.k_proj": (keys, width), "self_attn.v_proj": (keys, width), "self_attn.o_proj": (width, width),
                            "mlp.gate_proj": (hidden, width), "mlp.up_proj": (hidden, width), "mlp.down_proj": (width, hidden)}.items():
            shapes[f"model.layers.{i}.{name}.weight"] = shape
    return config, {name: (random.normal(1 if len(shape) == 1 else 0, 0.2, shape)).astype("<f4") for name, shape in shapes.items()}


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + tensor.nbytes]}
        data += tensor.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write(folder, config, tensors, tokenizer=None, shards=1):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if tokenizer is not None:
        (folder / "tokenizer.json").write_text(tokenizer)
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors)
        return folder
    places = {}
    for shard in range(shards):
        part = dict(list(tensors.items())[shard::shards])
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        write_safetensors(folder / file, part)
        places |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def read(folder):
    """The same of a folder with one file."""
    whole = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header, data = json.loads(whole[8:8 + length]), whole[8 + length:]
    header.pop("__metadata__", None)
    return json.loads((folder / "config.json").read_text()), {
        name: numpy.frombuffer(data[slice(*entry["data_offsets"])], dtype="<f4").reshape(entry["shape"]) for name, entry in header.items()}


def logits(config, tensors, ids):
    """(T, V) of one sequence."""
    w = {name: tensor.astype(numpy.float64) for name, tensor in tensors.items()}
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    size = config["hidden_size"] // heads
    angles = numpy.outer(numpy.arange(len(ids)), config["rope_theta"] ** (-numpy.arange(0, size, 2) / size))

    def norm(x, name):
        return x / numpy.sqrt((x ** 2).mean(-1, keepdims=True) + config["rms_norm_eps"]) * w[name + ".weight"]

    def turned(x):  # (heads, T, size)
        a, b = x[..., :size // 2], x[..., size // 2:]
        return numpy.concatenate([a * numpy.cos(angles) - b * numpy.sin(angles), b * numpy.cos(angles) + a * numpy.sin(angles)], -1)

    x = w["model.embed_tokens.weight"][ids]
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        seen = norm(x, layer + "input_layernorm")
        q, k, v = ((seen @ w[f"{layer}self_attn.{name}_proj.weight"].T).reshape(len(ids), -1, size).transpose(1, 0, 2) for name in "qkv")
        k, v = (numpy.repeat(part, heads // groups, 0) for part in (turned(k), v))
        scores = turned(q) @ k.transpose(0, 2, 1) / math.sqrt(size) + numpy.triu(numpy.full((len(ids), len(ids)), -numpy.inf), 1)
        scores = numpy.exp(scores - scores.max(-1, keepdims=True))
        attended = (scores / scores.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(ids), -1)
        x = x + attended @ w[layer + "self_attn.o_proj.weight"].T
        seen = norm(x, layer + "post_attention_layernorm")
        gate = seen @ w[layer + "mlp.gate_proj.weight"].T
        x = x + (gate / (1 + numpy.exp(-gate)) * (seen @ w[layer + "mlp.up_proj.weight"].T)) @ w[layer + "mlp.down_proj.weight"].T
    return norm(x, "model.norm") @ w["model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"].T
