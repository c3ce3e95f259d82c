"""What the training in golden/nativebit.json begins with, for both who do it: weights by a formula, and the batches and rates of
bitloop's recipe. No code of ours."""

import array
import json
import math
import struct

from small import SHARE
from tiny_gpt2 import numbers

WIDTH, LAYERS, HEADS, CONTEXT, VOCABULARY = 64, 2, 2, 128, 256  # of small.make_share's quick
STEPS, ENTRIES, BLOCK = 4, 8, 64
SHOWN = "h.1.attn.c_proj"  # the layer whose codebooks stand in the table
TRAINING = {"train.learning_rate": 1e-3, "train.min_lr": 1e-4, "train.warmup_iters": 2, "train.weight_decay": 0.01, "train.batch": 4,
            "train.micro_batch": 4, "train.precision": "float32", "train.execution": "eager"}
MASK = (1 << 64) - 1


def tensors():
    """name -> (shape, numbers); linear layers are (out, in)."""
    made = {"wte.weight": ((VOCABULARY, WIDTH), numbers(VOCABULARY * WIDTH, 0.05, 1.0)),
            "wpe.weight": ((CONTEXT, WIDTH), numbers(CONTEXT * WIDTH, 0.03, 2.0))}
    phase = 3.0
    for layer in range(LAYERS):
        for name, rows, columns in (("attn.c_attn", 3 * WIDTH, WIDTH), ("attn.c_proj", WIDTH, WIDTH), ("mlp.c_fc", 4 * WIDTH, WIDTH),
                                    ("mlp.c_proj", WIDTH, 4 * WIDTH)):
            phase += 1.0
            made[f"h.{layer}.{name}.weight"] = ((rows, columns), numbers(rows * columns, 0.08, phase))
            made[f"h.{layer}.{name}.bias"] = ((rows,), numbers(rows, 0.02, phase))
        for name in ("ln_1", "ln_2"):
            made[f"h.{layer}.{name}.weight"] = ((WIDTH,), numbers(WIDTH, 0.1, phase, 1.0))
            made[f"h.{layer}.{name}.bias"] = ((WIDTH,), numbers(WIDTH, 0.05, phase))
    made["ln_f.weight"] = ((WIDTH,), numbers(WIDTH, 0.1, 7.0, 1.0))
    made["ln_f.bias"] = ((WIDTH,), numbers(WIDTH, 0.05, 8.0))
    return made


def write_huggingface(folder):
    """The model as a folder of Hugging Face, whose linear layers are (in, out)."""
    folder.mkdir(exist_ok=True)
    header, data = {}, b""
    for name, (shape, values) in tensors().items():
        if ".c_" in name and len(shape) == 2:
            rows, columns = shape
            values, shape = array.array("f", (values[n * columns + k] for k in range(columns) for n in range(rows))), (columns, rows)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * len(values)]}
        data += values.tobytes()
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    (folder / "config.json").write_text(json.dumps(
        {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "activation_function": "gelu_new", "vocab_size": VOCABULARY,
         "n_positions": CONTEXT, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "layer_norm_epsilon": 1e-5}))


def rates():
    """A linear warm-up, then half a cosine."""
    peak, low, warm = (TRAINING[f"train.{name}"] for name in ("learning_rate", "min_lr", "warmup_iters"))
    return [peak * (step + 1) / (warm + 1) if step < warm
            else low + 0.5 * (1 + math.cos(math.pi * (step - warm) / (STEPS - warm))) * (peak - low) for step in range(STEPS)]


def mix(x):
    """SplitMix64."""
    x = (x + 0x9e3779b97f4a7c15) & MASK
    x = ((x ^ (x >> 30)) * 0xbf58476d1ce4e5b9) & MASK
    x = ((x ^ (x >> 27)) * 0x94d049bb133111eb) & MASK
    return x ^ (x >> 31)


def batches(steps, rows, length, seed=42):
    """Windows of the training text (the texts of small.make_share without the fourth) at places drawn from seed, step and row."""
    texts = [path.read_text()[:60_000] for path in sorted((SHARE / "data" / "shakespeare").iterdir())[:5]]
    text = b"".join(text.encode() for i, text in enumerate(texts) if i != 3)
    found = []
    for step in range(steps):
        places = [mix(mix(mix(seed) ^ step) ^ row) % (len(text) - length) for row in range(rows)]
        found.append([list(text[place:place + length + 1]) for place in places])
    return found
