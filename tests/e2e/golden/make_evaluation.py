#!/usr/bin/env python3
"""Makes golden/evaluation.json: what lm-evaluation-harness 0.4.9.1 says of the model and the documents of tiny_gpt2.py.
Wants lm-eval, transformers and torch (see bench/lm_eval_beside.py), and nothing of bitloop but its vocabulary."""

import json
import os
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[2] / "bench")]
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import tiny_gpt2  # noqa: E402
from lm_eval_beside import TASKS, lm_eval_scores, log_probabilities  # noqa: E402


def main():
    with tempfile.TemporaryDirectory() as folder:
        model = tiny_gpt2.write_model(pathlib.Path(folder) / "model")
        documents = tiny_gpt2.write_documents(pathlib.Path(folder) / "documents")
        found, _ = lm_eval_scores(model, documents, TASKS, 0, 1)
    golden = {}
    for task, (metrics, samples) in found.items():
        samples = sorted(samples, key=lambda sample: sample["doc_id"])
        golden[task] = {"metrics": {name.removesuffix(",none"): value for name, value in metrics.items()
                                    if name.endswith(",none") and "stderr" not in name},
                        "stderr": {name.removesuffix("_stderr,none"): value for name, value in metrics.items()
                                   if name.endswith("_stderr,none") and value != "N/A"},
                        "log_probabilities": [log_probabilities(sample) for sample in samples]}
    (HERE / "evaluation.json").write_text(json.dumps(golden, indent=1) + "\n")


main()
