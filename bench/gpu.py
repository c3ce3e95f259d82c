#!/usr/bin/env python3
"""What only a GPU can show, in one Markdown table, in under eight minutes: the kernels' tests, training steps of GPT-2 Medium's shape
and the same in compiled PyTorch, a run in the jail that is killed and goes on. bench/gpu.sh starts it, in an unpacked bundle
(scripts/gpu-bundle). The most important comes first: SECONDS bounds everything together, each program's own limit is cut to what is
left, and what failed or was not reached says so in its row. A number that is not what was wanted is no failure, and marked."""

import argparse
import importlib.util
import os
import pathlib
import re
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from gpu_place import place  # noqa: E402
from gpu_programs import Failed, Programs, Run, gpus  # noqa: E402

SECONDS = 470  # of 480: what is cut off takes a moment to end
ROOT = HERE.parent
TEXTS = "share/bitloop/data/shakespeare"
NEEDED = ("bin/bitloop", "bin/bitloop-trainer", "bin/bitloop_bench_gpu", "bin/bitloop_bench_random_packed", "bin/bitloop_cuda_tests",
          "bin/bitloop_device_tests", "lib/libbitloop_cuda.so", "quantizers/ternary.lua", "quantizers/float.lua", TEXTS + "/hamlet_gut.txt",
          "share/bitloop/data/gpt2-bpe/vocab.bpe", "share/bitloop/presets/medium.json", "share/bitloop/presets/quick.json",
          "share/bitloop/tasks/quick.json", "bench/gpu.sh", "bench/gpu.py", "bench/gpu_place.py", "bench/gpu_programs.py", "bench/peers/nanogpt_bitlinear.py",
          "bench/peers/nanogpt_bitlinear_gpu.py", "tests/e2e/gpu_test.py", "tests/e2e/bitloop.py", "tests/e2e/small.py")
PEER = "bench/peers/nanogpt_bitlinear_gpu.py"
SIGNS = {"at least": lambda value, mark: value >= mark, "at most": lambda value, mark: value <= mark,
         "under": lambda value, mark: value < mark}


def shown(value):
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.2f}" if value < 10 else f"{value:.1f}"


class Table:
    """Prints each row as it is known."""

    def __init__(self):
        self.failed, self.values = 0, {}
        print("| what | measured | wanted |\n|---|---|---|", flush=True)

    def row(self, what, value, sign="", mark=None):
        """The value is remembered under the row's name, for ratios."""
        self.values[what] = value
        missed = mark is not None and not isinstance(value, str) and not SIGNS[sign](value, mark)
        wanted = f"{sign} {shown(mark)}" if mark is not None else sign
        self.line(what, shown(value) + (", not reached" if missed else ""), wanted)

    def fail(self, what, why, sign="", mark=None):
        self.failed += 1
        self.line(what, f"failed: {why}", f"{sign} {shown(mark)}" if mark is not None else sign)

    def line(self, *cells):
        print("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |", flush=True)

    def ratio(self, what, over, under, sign, mark):
        """Of two rows above; neither has failed, or this one has."""
        missing = [name for name in (over, under) if not isinstance(self.values.get(name), (int, float))]
        if missing:
            self.fail(what, f"there is no '{missing[0]}'", sign, mark)
        else:
            self.row(what, self.values[over] / self.values[under], sign, mark)

    def measure(self, rows, work):
        """rows: [(what, member of what `work()` gives, [sign, mark])]. All of them fail with it; a member alone where it lacks."""
        try:
            found = work()
        except Failed as failure:
            found = failure
        for what, member, *wanted in rows:
            if isinstance(found, Failed):
                self.fail(what, found, *wanted)
            elif found.get(member) is None:
                self.fail(what, f"it did not say {member}", *wanted)
            else:
                self.row(what, found[member], *wanted)


def googletest(programs, name):
    """{said}: how many tests passed. Tests that found no GPU were skipped, which GoogleTest calls success."""
    text = programs.run(name, [f"bin/{name}", "--gtest_brief=1"], 90).output
    passed, skipped = (int(found[1]) if (found := re.search(rf"\[  {word}  ?\] (\d+) tests?\.", text)) else 0 for word in ("PASSED", "SKIPPED"))
    if no_gpu := next((line for line in text.splitlines() if "there is no GPU here" in line), None):
        raise Failed(f"{skipped} tests were skipped: {no_gpu}")
    if not passed:
        raise Failed(f"no test passed, see {name}.out")
    return {"said": f"{passed} passed" + (f", {skipped} skipped" if skipped else "")}


def step(programs, name, *options, limit=60):
    return programs.document(name, ["bin/bitloop_bench_gpu", "--quantizers", "quantizers", *options], limit)


def peer(programs, name, *options, limit):
    return programs.document(name, [sys.executable, PEER, *options], limit, ours=False)


def generated(programs, folder):
    """A model of 1.1 billion packed ternary weights."""
    packed = folder / "packed.safetensors"
    programs.run("packed", ["bin/bitloop_bench_random_packed", packed, "--quantizer", "quantizers/ternary.lua", "--layers", "22", "--width", "2048"], 60)
    done = programs.document("generate", ["bin/bitloop", "generate", packed, "--prompt", "Once upon a time", "--max-new-tokens", "64", "--temperature",
                                          "0", "--device", "cuda", "--benchmark", "--json", "--allow-degraded"], 60)
    speed = done.get("speed") or {}
    return {"tokens_per_s": speed["new_tokens"] / speed["new_s"] if speed.get("new_s") else None}


def prepare(programs, name, sources, to, *options):
    done = programs.run(name, ["bin/bitloop", "data", "prepare", *sources, "--to", to, "--held-out", "0", "--json", *options], 60)
    return {**programs.json_of(done), "wall_s": done.wall_s, "peak_mb": done.peak_mb}


def prepared(programs, folder, copies=40):
    """Tokens a second with all processors and with one, and whether memory grows with the text."""
    threads = os.cpu_count()
    text = b"".join(path.read_bytes() for path in sorted((ROOT / TEXTS).glob("*.txt")))
    for name, count in (("small", copies // 4), ("large", copies)):
        (folder / name).mkdir()
        for copy in range(count):
            (folder / name / f"{copy}.txt").write_bytes(text)
    many = prepare(programs, "prepare", [folder / "large"], folder / "many", "--jobs", str(threads))
    less = prepare(programs, "prepare_less", [folder / "small"], folder / "less", "--jobs", str(threads))
    one = prepare(programs, "prepare_one", [folder / "small"], folder / "one", "--jobs", "1")
    speed, alone = (done["train_tokens"] / done["wall_s"] for done in (many, one))
    return {"tokens_per_s": speed, "share": f"{speed / alone:.1f} ({threads} threads)", "peak_mb": many["peak_mb"],
            "growth": many["peak_mb"] / less["peak_mb"]}


class Medium:
    """Short runs of the preset `medium` in the jail, on the packed texts; a step has `batch` sequences a rank."""

    def __init__(self, programs, folder, device="cuda", changes=()):
        self.programs, self.folder, self.device, self.changes = programs, folder, device, changes
        self.settings = None

    def shards(self):
        if self.settings is None:
            texts = sorted((ROOT / TEXTS).glob("*.txt"))
            validation = next(text for text in texts if text.name.startswith("hamlet"))
            prepare(self.programs, "tokens", [text for text in texts if text != validation], self.folder / "train")
            prepare(self.programs, "tokens_val", [validation], self.folder / "val")
            self.settings = [f"data.path={self.folder}/train/data_train_*.bin", f"data.val_path={self.folder}/val/data_train_*.bin",
                             "eval.batches=1", "eval.log_every=1", "checkpoint.keep=1", "train.warmup_iters=1"]
        return self.settings

    def run(self, name, ranks, steps, batch, every):
        settings = [*self.shards(), f"train.batch={batch * ranks}", f"checkpoint.every={every}", *self.changes]
        return Run(self.programs, name, self.folder / name, [
            "quantizers/ternary.lua", "--preset", "medium", "--device", self.device, "--ranks", str(ranks), "--steps", str(steps), "--eval-every",
            "1000000", *(word for setting in settings for word in ("--set", setting))])

    def killed(self, batch=256, steps=20, every=2):
        """{tokens_per_s, said} of a run that got kill -9 after its first checkpoint and went on from it."""
        run = self.run("killed", 1, steps, batch, every)
        run.start()
        run.kill_after_checkpoint(60)
        verdict = run.finish(["--resume", "1"], 120)
        resumed = run.records("resumed")
        if not resumed or resumed[-1]["step"] < every:
            raise Failed("it began anew instead of going on from its checkpoint")
        losses = [record["train_loss"] for record in run.records("step")]
        return {"tokens_per_s": batch * 1024 / run.step_s(),
                "said": f"went on from step {resumed[-1]['step']} of {steps}; loss {losses[0]:.2f} to {losses[-1]:.2f}, scored {verdict['metrics']['val_loss']:.2f} "
                        f"at {verdict['metrics']['bits_per_weight']:.2f} bits{run.missing_layers()}"}

    def rank_loss(self, batch=128, steps=8):
        """{lost}: share of a rank's speed that a second one costs it, in percent."""
        took = []
        for ranks in (1, 2):
            run = self.run(f"ranks_{ranks}", ranks, steps, batch, 0)
            run.start()
            run.finish(None, 90)
            took.append(run.step_s())
        return {"lost": max(0.0, 100 * (1 - took[0] / took[1]))}


def whole_runs(programs):
    """{said} of tests/e2e/gpu_test.py."""
    if importlib.util.find_spec("pytest") is None:
        return {"said": "not run: python3 has no pytest"}
    done = programs.run("gpu_test", [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/e2e/gpu_test.py"], 120)
    said = done.output.strip().splitlines()[-1].strip("= ")
    if "passed" not in said:
        raise Failed(said)
    return {"said": said}


def fill(table, programs, folder):
    cards, medium = gpus(), Medium(programs, folder)
    if cards:
        table.row("GPU", cards[0] + (f", one of {len(cards)}" if len(cards) > 1 else ""))
    else:
        table.fail("GPU", "nvidia-smi names none")
    table.measure([("tests of the kernels", "said")], lambda: googletest(programs, "bitloop_cuda_tests"))
    table.measure([("tests of devices", "said")], lambda: googletest(programs, "bitloop_device_tests"))
    table.measure([("ternary, bf16, tokens/s", "tokens_per_s", "at least", 250_000),
                   ("ternary, 64 x 1024, peak memory, GB", "peak_memory_gb", "under", 80),
                   ("weights quantised, ms a step", "quantise_weights_ms"), ("AdamW and the gradients' norm, ms a step", "optimiser_ms")],
                  lambda: step(programs, "ternary", "--table"))
    table.measure([("ternary, int8 forward, tokens/s", "tokens_per_s", "at least", 290_000)], lambda: step(programs, "ternary_int8", "--integer"))
    table.measure([("ternary, int8 forward and for inputs' gradients, tokens/s", "tokens_per_s")],
                  lambda: step(programs, "ternary_int8_gradients", "--integer", "--int8-gradients"))
    table.measure([("peer: compiled PyTorch, ternary, tokens/s", "tokens_per_s")], lambda: peer(programs, "peer_ternary", limit=150))
    table.ratio("ternary over the compiled peer's", "ternary, bf16, tokens/s", "peer: compiled PyTorch, ternary, tokens/s", "at least", 1.5)
    table.measure([("float, bf16, tokens/s", "tokens_per_s")], lambda: step(programs, "float", "--quantizer", "float"))
    table.ratio("ternary over float", "ternary, bf16, tokens/s", "float, bf16, tokens/s", "at least", 1)
    table.measure([("ternary, 32 x 1024, peak memory, GB", "peak_memory_gb", "under", 40)], lambda: step(programs, "half", "--micro-batch", "32", limit=40))
    table.measure([("`medium` in the jail, tokens/s", "tokens_per_s"), ("the same after kill -9", "said", "goes on, is scored")], medium.killed)
    if len(cards) > 1:
        table.measure([("what a second rank costs each, %", "lost", "under", 5)], medium.rank_loss)
    else:
        table.row("what a second rank costs each, %", "not measured: it needs two GPUs", "under 5")
    table.measure([("data preparation, tokens/s", "tokens_per_s"), ("over one thread's", "share", "grows with threads"),
                   ("its peak memory, MB", "peak_mb"), ("that over a quarter of the text's", "growth", "at most", 1.1)],
                  lambda: prepared(programs, folder))
    table.measure([("1.1 billion packed ternary weights, new tokens/s", "tokens_per_s")], lambda: generated(programs, folder))
    table.measure([("product of 8,192 cubed, bf16, TFLOP/s", "square_8192")], lambda: step(programs, "products", "--products", limit=40))
    table.measure([("tests of whole runs", "said")], lambda: whole_runs(programs))
    table.measure([("peer: compiled PyTorch, float, tokens/s", "tokens_per_s")],
                  lambda: peer(programs, "peer_float", "--quantizer", "float", limit=120))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="?", type=pathlib.Path, help="folder for what the programs said (default: a new one)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"for everything together (default {SECONDS})")
    parser.add_argument("--missing", action="store_true", help="only print what the bundle lacks")
    options = parser.parse_args()
    deadline = time.monotonic() + options.seconds
    missing = [name for name in NEEDED if not (ROOT / name).exists()]
    if options.missing:
        print("\n".join(missing), end="")
        return 0
    if missing:
        print(f"gpu.py: {ROOT} lacks {', '.join(missing)}: unpack what make gpu-bundle packs, and start bench/gpu.sh there", file=sys.stderr)
        return 3
    torch = importlib.util.find_spec("torch")
    if torch is None or not torch.origin:
        print("gpu.py: python3 has no PyTorch, whose libraries are needed", file=sys.stderr)
        return 3
    logs = options.logs or pathlib.Path(tempfile.mkdtemp(prefix="bitloop-gpu-"))
    logs.mkdir(parents=True, exist_ok=True)
    programs = Programs(ROOT, logs.resolve(), pathlib.Path(torch.origin).parent, deadline)
    try:
        place(programs.folders)
    except (OSError, ValueError) as error:  # runs on the GPU find libraries without it
        print(f"gpu.py: the trainer does not learn where PyTorch is, so it can't train without a GPU: {error}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=logs) as folder:
        table = Table()
        fill(table, programs, pathlib.Path(folder).resolve())
    print(f"\nWhere the time goes (ms of two micro-batches, each kernel waited for) stands in {logs}/ternary.out; medians are of whole steps.")
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main())
