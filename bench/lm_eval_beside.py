#!/usr/bin/env python3
"""Scores one model on the same documents by lm-evaluation-harness and by `bitloop eval`, compares them document by document,
and prints the table of docs/evaluation.md.

    python3 -m venv VENV && VENV/bin/pip install lm-eval==0.4.9.1 'transformers<5' torch
    bitloop data benchmarks FOLDER --to BENCHMARKS
    VENV/bin/python bench/lm_eval_beside.py --model gpt2 --benchmarks BENCHMARKS [--limit 100] [--write]

Nothing is downloaded: both read the documents that `bitloop data benchmarks` wrote.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/evaluation.md"
BEGIN, END = "<!-- beside lm-eval: begin -->", "<!-- beside lm-eval: end -->"
TASKS = ["arc_easy", "arc_challenge", "hellaswag", "piqa", "winogrande", "lambada_openai", "wikitext"]
FILES = {"arc_easy": "arc_easy", "arc_challenge": "arc_challenge", "hellaswag": "hellaswag", "piqa": "piqa",
         "winogrande": "winogrande", "lambada_openai": "lambada", "wikitext": "wikitext2"}

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")


def as_lm_eval(task, document):
    """A document in the form that lm-eval's own task reads."""
    if task.startswith("arc") and "query" in document:
        question = document["query"].removeprefix("Question: ").removesuffix("\nAnswer:")
        labels = [chr(ord("A") + i) for i in range(len(document["choices"]))]
        return {"question": question, "choices": {"text": document["choices"], "label": labels},
                "answerKey": labels[document["gold"]]}
    return document


def task_config(task, path):
    """lm-eval's task, reading a local file."""
    from lm_eval import tasks
    from lm_eval.utils import load_yaml_config
    folder = pathlib.Path(tasks.__file__).parent
    if task == "hellaswag" and "query" in json.loads(path.read_text().splitlines()[0]):  # preprocessed already
        config = {"output_type": "multiple_choice", "doc_to_text": "{{query}}", "doc_to_target": "{{gold}}",
                  "doc_to_choice": "choices",
                  "metric_list": [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in ("acc", "acc_norm")]}
    else:
        places = {"arc_easy": "arc/arc_easy.yaml", "arc_challenge": "arc/arc_challenge.yaml", "hellaswag": "hellaswag/hellaswag.yaml",
                  "piqa": "piqa/piqa.yaml", "winogrande": "winogrande/default.yaml", "lambada_openai": "lambada/lambada_openai.yaml",
                  "wikitext": "wikitext/wikitext.yaml"}
        config = load_yaml_config(str(folder / places[task]))
    for key in ("tag", "group", "dataset_name", "training_split", "validation_split", "test_split", "dataset_kwargs"):
        config.pop(key, None)
    config |= {"task": f"{task}_local", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(path)}}, "test_split": "test"}
    return config


def lm_eval_scores(model, benchmarks, tasks, limit, threads, dtype):
    import lm_eval
    import torch
    from lm_eval.models.huggingface import HFLM
    from tokenizers import ByteLevelBPETokenizer
    from transformers import AutoModelForCausalLM, GPT2TokenizerFast

    torch.set_num_threads(threads)
    bpe = ROOT / ".deps/data/gpt2-bpe"
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = GPT2TokenizerFast(tokenizer_object=ByteLevelBPETokenizer(str(bpe / "encoder.json"), str(bpe / "vocab.bpe"))._tokenizer,
                                      bos_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>")
        lm = HFLM(pretrained=AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype)), tokenizer=tokenizer, batch_size=8, device="cpu")
        configs = []
        for task in tasks:
            path = pathlib.Path(folder) / f"{task}.jsonl"
            lines = (benchmarks / f"{FILES[task]}.jsonl").read_text().splitlines()
            path.write_text("\n".join(json.dumps(as_lm_eval(task, json.loads(line))) for line in lines) + "\n")
            configs.append(task_config(task, path))
        from lm_eval.tasks import ConfigurableTask
        seconds, found = {}, {}
        for config in configs:
            task = config["task"].removesuffix("_local")
            start = time.monotonic()
            result = lm_eval.simple_evaluate(model=lm, tasks=[ConfigurableTask(config=config)], limit=limit or None, log_samples=True,
                                             bootstrap_iters=1000, num_fewshot=0, verbosity="ERROR")
            seconds[task] = time.monotonic() - start
            found[task] = (result["results"][f"{task}_local"], result["samples"][f"{task}_local"])
    return found, seconds


def log_probabilities(sample):
    numbers = []
    for response in sample["filtered_resps"]:
        numbers.append(response[0] if isinstance(response, (list, tuple)) else response)
    return [float(number) for number in numbers]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--benchmarks", required=True, type=pathlib.Path)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32",
                        help="of lm-eval's model: float64 tells whose rounding a difference is")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--write", action="store_true", help="into docs/evaluation.md")
    parser.add_argument("--allow-degraded", action="store_true")
    options = parser.parse_args()
    tasks = options.tasks.split(",")
    theirs, seconds = lm_eval_scores(options.model, options.benchmarks, tasks, options.limit, options.threads, options.dtype)

    rows = []
    for task in tasks:
        start = time.monotonic()
        done = subprocess.run([ROOT / "build/bin/bitloop", "eval", "--model", options.model, "--benchmarks", options.benchmarks,
                               "--tasks", task, "--limit", str(options.limit), "--threads", str(options.threads), "--json"]
                              + (["--allow-degraded"] if options.allow_degraded else []), stdout=subprocess.PIPE, check=True)
        ours_s = time.monotonic() - start
        ours = json.loads(done.stdout)["tasks"][task]
        metrics, samples = theirs[task]
        samples = sorted(samples, key=lambda sample: sample["doc_id"])
        assert len(samples) == len(ours["per_document"]), task
        gap, at = 0.0, 0
        for sample, document in zip(samples, ours["per_document"]):
            for a, b in zip(log_probabilities(sample), document["log_probabilities"], strict=True):
                if abs(a - b) > gap:
                    gap, at = abs(a - b), sample["doc_id"]
        for metric, numbers in ours["metrics"].items():
            rows.append((task, len(samples), metric, metrics[f"{metric},none"], numbers["value"], gap, seconds[task], ours_s))
        print(f"{task}: largest difference of a log-probability {gap:.2e}, document {at}", file=sys.stderr)

    table = ["| task | documents | metric | lm-eval 0.4.9.1 | bitloop | largest difference of a log-probability |", "|---|---|---|---|---|---|"]
    for task, n, metric, a, b, gap, their_s, our_s in rows:
        table.append(f"| {task} | {n:,} | {metric} | {a:.6g} | {b:.6g} | {gap:.1e} |")
    for task, their_s, our_s in sorted({(row[0], row[6], row[7]) for row in rows}):
        print(f"{task}: {their_s:.1f} s by lm-eval without loading, {our_s:.1f} s by bitloop with it: {their_s / our_s:.1f} times", file=sys.stderr)
    text = "\n".join(table)
    print(text)
    if options.write:
        page = PAGE.read_text()
        begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
        PAGE.write_text(page[:begin] + "\n" + text + "\n" + page[end:])


if __name__ == "__main__":
    main()
