"""A share folder with a `quick` that trains in a second, for tests of what is not the training."""

import json
import pathlib
import shutil

from bitloop import BIN

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
