#!/usr/bin/python3
"""A stand-in for `bitloop supervise RUN_DIR` (the hook BITLOOP_SUPERVISOR): it writes what a run writes, and trains nothing.

What happens is chosen by words in the candidate, so a test says in the candidate what it wants:
  FAKE_SLEEP=2        takes so many seconds
  FAKE_HOLD=go        after half of its steps waits for the file `go` in the workspace, which the test writes
  FAKE_STATUS=diverged    ends so ("script_error", "timeout", "infrastructure", ...)
  FAKE_DIE            ends without a verdict
  FAKE_LOSS=1.75      the val_loss under seed 42; each later seed adds a thousandth
  FAKE_BITS=2         bits_per_weight
  FAKE_BEHAVIOUR=ab…  the digest of what the candidate does: 64 hexadecimal digits
"""
import fcntl
import json
import os
import re
import sys
import time


def main(run_dir):
    lock = open(os.path.join(run_dir, "supervisor.lock"), "w")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    job = json.load(open(os.path.join(run_dir, "job.json")))
    text = job["candidate"]["content"]
    word = lambda name, default: (re.findall(rf"FAKE_{name}=([\w.]+)", text) or [default])[-1]
    steps = job["preset"]["train"]["steps"]
    sleep = float(word("SLEEP", "0"))
    hold = word("HOLD", "")
    status = word("STATUS", "ok")
    with open(os.path.join(run_dir, "events.jsonl"), "a") as events, \
            open(os.path.join(run_dir, "log.tsv"), "a") as log:
        log.write("step\tlambda\ttrain_loss\n")
        record = lambda **members: (events.write(json.dumps(members) + "\n"), events.flush())
        record(type="header", schema_version=2, config=job["preset"])
        record(type="stage", name="train")
        for i in range(1, 11):
            time.sleep(sleep / 10)
            # Not for ever: the test may have failed before it wrote the file.
            patience = time.time() + 120
            while hold and i == 6 and not os.path.exists(os.path.join(run_dir, "..", "..", hold)) and time.time() < patience:
                time.sleep(0.02)
            step = steps * i // 10
            record(type="step", step=step, train_loss=5.0 - i / 4, tokens_per_s=27000.0,
                   q_neg1=0.3, q_zero=0.4, q_pos1=0.3)
            log.write(f"{step}\t1\t{5.0 - i / 4}\n")
    if "FAKE_DIE" in text:
        return
    train = {"name": "train", "metrics": {"step": steps, "train_loss": 2.271, "val_loss": 2.3178}, "failure": None}
    loss = float(word("LOSS", "2.3178")) + ((job["seed"] - 42) / 1000 if "FAKE_LOSS" in text else 0)
    metrics = {"val_loss": loss, "val_bpb": 3.3439, "bits_per_weight": float(word("BITS", "1.585")), "tokens": 819200,
               "doc": "from the fake"}
    if word("BEHAVIOUR", ""):
        metrics["behaviour"] = word("BEHAVIOUR", "")
    stages = [train, {"name": "eval", "metrics": metrics, "failure": None}]
    findings = [{"rule": "levels", "ok": True, "detail": "every code is a declared level"}]
    message = "Done."
    if status != "ok":
        message = "candidate.lua:17: weight_quant must return codes, scale"
        stages = [train, {"name": "eval", "metrics": None, "failure": {"status": status, "detail": message}}]
        findings = [{"rule": "contract", "ok": False, "detail": message}]
        metrics = {"doc": "from the fake"}
    if job["kind"] == "check":
        stages = []
    verdict = {
        "schema_version": 1, "status": status, "message": message, "flags": ["degraded"],
        "result": {"type": "result", "status": status, "message": message, "stages": stages, "metrics": metrics,
                   "flags": [], "findings": findings},
        "jail": {"layers": [], "exit_code": 0, "signal": None, "killed_by": None, "wall_ms": 1, "cpu_ms": 1,
                 "max_rss_mb": 12},
    }
    path = os.path.join(run_dir, "verdict.json")
    with open(path + ".tmp", "w") as out:
        json.dump(verdict, out)
    os.rename(path + ".tmp", path)


main(sys.argv[1])
