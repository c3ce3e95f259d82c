"""A GPT-2 of the Hugging Face format that anybody can make again: weights by a formula, a context of 64 tokens. And documents
for every task, written for these tests; the log-probabilities that lm-evaluation-harness finds for them are in
golden/evaluation.json."""

import array
import json
import math
import pathlib
import struct

WIDTH, LAYERS, HEADS, CONTEXT, VOCABULARY = 16, 2, 2, 64, 50257

LONG = " ".join(f"The {n} travellers walked on, past mill number {n * 7 % 31}, and it's said they didn't stop." for n in range(12))

DOCUMENTS = {
    "arc_easy": [
        {"question": "Which of these is a metal?", "choices": {"text": ["iron", "wood", "wool", "glass"], "label": ["A", "B", "C", "D"]},
         "answerKey": "A"},
        {"question": "What falls from clouds? ", "choices": {"text": ["stones", "rain"], "label": ["1", "2"]}, "answerKey": "2"},
        {"question": LONG, "choices": {"text": ["Thirty-one mills, all told.", "twelve", "naïve Ωmega \u2603"], "label": ["A", "B", "C"]},
         "answerKey": "B"},
    ],
    "arc_challenge": [
        {"question": "A magnet pulls on?", "choices": {"text": ["paper", "a nail made of iron", "a nail"], "label": ["A", "B", "C"]},
         "answerKey": "B"},
    ],
    "hellaswag": [
        {"activity_label": "Baking bread", "ctx_a": "A woman kneads dough [header] on a table.", "ctx_b": "she", "label": "1",
         "endings": [" paints the wall.", "puts it into  the oven [title] and waits.", "[substeps] sings.", "is a table."]},
        {"activity_label": "Rowing", "ctx_a": "Two men carry a boat.", "ctx_b": "", "label": "0",
         "endings": ["They row away.", "They eat it.", "They", "The boat sings loudly."]},
    ],
    "piqa": [
        {"goal": "Keep tea hot", "sol1": "Pour it into a flask.", "sol2": "Pour it onto  the floor. ", "label": 0},
        {"goal": "Open a jar\n", "sol1": "Twist.", "sol2": "Whistle at the lid, then wait for it to open by itself.", "label": 0},
    ],
    "winogrande": [
        {"sentence": "The trophy didn't fit into the case because the _ was too large.", "option1": "trophy", "option2": "case", "answer": "1"},
        {"sentence": "Ann asked Mary, and _ answered.", "option1": "Ann", "option2": "Mary", "answer": "2"},
    ],
    "lambada": [
        {"text": "They looked for the key all day, and in the evening Tom found the key"},
        {"text": LONG + " And then they saw the sea"},
        {"text": "word"},
    ],
    "wikitext2": [
        {"page": " = A mill = \n \n The mill ( built in 1 @,@ 850 ) is known as \" the old one \" ; it 's 12 @.@ 5 m high . \n"},
        {"page": " = Rivers = \n \n " + LONG.replace(",", " ,") + " \n"},
    ],
}
# The pages as WikiText is published: one text, with a blank line, which has a space, after each.
WIKITEXT = [page["page"] + " \n" for page in DOCUMENTS["wikitext2"]]


def numbers(count, scale, phase, centre=0.0):
    return array.array("f", (centre + scale * math.sin(0.37 * i + phase + 1e-4 * (i % 997) * phase) for i in range(count)))


def tensors():
    """name -> (shape, numbers), linear layers as Conv1D has them: (in, out)."""
    made = {"wte.weight": ((VOCABULARY, WIDTH), numbers(VOCABULARY * WIDTH, 0.3, 1.0)),
            "wpe.weight": ((CONTEXT, WIDTH), numbers(CONTEXT * WIDTH, 0.2, 2.0))}
    phase = 3.0
    for layer in range(LAYERS):
        for name, rows, columns in (("attn.c_attn", WIDTH, 3 * WIDTH), ("attn.c_proj", WIDTH, WIDTH), ("mlp.c_fc", WIDTH, 4 * WIDTH),
                                    ("mlp.c_proj", 4 * WIDTH, WIDTH)):
            phase += 1.0
            made[f"h.{layer}.{name}.weight"] = ((rows, columns), numbers(rows * columns, 0.4, phase))
            made[f"h.{layer}.{name}.bias"] = ((columns,), numbers(columns, 0.1, phase))
        for name in ("ln_1", "ln_2"):
            made[f"h.{layer}.{name}.weight"] = ((WIDTH,), numbers(WIDTH, 0.2, phase, 1.0))
            made[f"h.{layer}.{name}.bias"] = ((WIDTH,), numbers(WIDTH, 0.1, phase))
    made["ln_f.weight"] = ((WIDTH,), numbers(WIDTH, 0.5, 7.0, 2.0))
    made["ln_f.bias"] = ((WIDTH,), numbers(WIDTH, 0.1, 8.0))
    return made


CONFIG = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "activation_function": "gelu_new", "vocab_size": VOCABULARY,
          "n_positions": CONTEXT, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "layer_norm_epsilon": 1e-5,
          "embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}


def write_model(folder, prefix="transformer.", **config):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    header, body, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, (shape, values) in tensors().items():
        data = values.tobytes()
        header[prefix + name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        body.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(body))
    return folder


def write_documents(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, documents in DOCUMENTS.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    return folder
