"""Trainings that take a second, for tests of what is not the training: a share folder with such a `quick`, and runs of a `small`
that was shrunk."""

import array
import json
import pathlib
import shutil
import subprocess

from bitloop import BIN, ROOT

SHARE = BIN.parent / "share" / "bitloop"


def make_share(folder, steps=6):
    """quick with 2 layers, `steps` steps and 5 short texts; the task `hasty` is the same with a deadline of 3 s."""
    folder = pathlib.Path(folder)
    shutil.copytree(SHARE, folder, symlinks=True, ignore=shutil.ignore_patterns("data"))
    (folder / "data" / "shakespeare").mkdir(parents=True)
    for text in sorted((SHARE / "data" / "shakespeare").iterdir())[:5]:
        (folder / "data" / "shakespeare" / text.name).write_text(text.read_text()[:60_000])
    preset = json.loads((folder / "presets" / "quick.json").read_text())
    preset["model"].update(layers=2, heads=2, width=64)
    preset["train"].update(steps=steps, warmup_iters=2)
    preset["eval"].update(every=3, batches=2, log_every=2)
    (folder / "presets" / "quick.json").write_text(json.dumps(preset))
    preset.update(name="hasty", limits={**preset["limits"], "deadline_s": 3})
    (folder / "presets" / "hasty.json").write_text(json.dumps(preset))
    task = json.loads((folder / "tasks" / "quick.json").read_text())
    (folder / "tasks" / "hasty.json").write_text(json.dumps({**task, "name": "hasty", "preset": "hasty"}))
    return folder


def small_settings(folder):
    """`small` shrunk to what two cores do in seconds, on tokens of GPT-2's vocabulary that are written into the folder: options."""
    tokens = array.array("H", ((i * i * 31 + i * 7) % 50257 for i in range(3000))).tobytes()
    for name in ("train.bin", "val.bin"):
        (folder / name).write_bytes(tokens)
    settings = {"model.layers": 1, "model.width": 32, "model.heads": 2, "model.context": 64, "train.batch": 2, "train.micro_batch": 2,
                "train.warmup_iters": 1, "limits.threads": 2, "limits.memory_mb": 4096, "data.path": folder / "train.bin",
                "data.val_path": folder / "val.bin"}
    return ["--preset", "small", "--steps", "2", "--eval-every", "2", "--workspace", folder / "workspace", "--allow-degraded", "--json",
            *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))]


def small_run(folder, quantizer, *more):
    """The folder of a finished short run of `small`; quantizer: a name of the zoo or a file."""
    file = quantizer if isinstance(quantizer, pathlib.Path) else ROOT / "quantizers" / f"{quantizer}.lua"
    done = subprocess.run([BIN / "bitloop", "train", file, *map(str, small_settings(folder)), *map(str, more)],
                          text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "workspace" / "runs" / "local-1"
