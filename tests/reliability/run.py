#!/usr/bin/env python3
"""What bitloop promises when the machine does not behave, tried: load, kill -9, faults of disk, clock and memory, hostile clients, large
journals.

    tests/reliability/run.py [load] [kills] [faults] [clients] [packing] [--short] [--json FILE] [--document FILE]

Without names of parts all run: about an hour; seconds each with --short, which is what the tests do. Every part fails with a sentence
where a promise is broken. --json writes the figures, `--document docs/reliability.md` puts them into the document, between its marks.
Needs `bitloop` and `bitloop_fake_trainer` (BITLOOP_BIN: where programs are, BITLOOP_BUILD: the build folder), git, and for `faults` root
and the package libfaketime."""

import argparse
import json
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "reliability"))
sys.dont_write_bytecode = True

import clients  # noqa: E402
import faults  # noqa: E402
import kills  # noqa: E402
import load  # noqa: E402
import measure  # noqa: E402
import packing  # noqa: E402
import server as under_test  # noqa: E402
from document import put_figures  # noqa: E402

PARTS = {"load": load.run, "kills": kills.run, "faults": faults.run, "clients": clients.run, "packing": packing.run}
SHORT = {"load": {"agents": 8, "seconds": 5.0, "pack_after": 100, "rest_after": 1}, "kills": {"kills": 20}, "faults": {}, "clients": {"slow": False},
         "packing": {"sessions": 20, "commits": 30, "most_edits": 20}}


def settings_of(name, given):
    if given.short:
        return SHORT[name]
    if given.minutes and name == "load":
        return {"seconds": given.minutes * 60}
    return {"minutes": given.minutes} if given.minutes and name == "kills" else {}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument("--short", action="store_true", help="seconds, not minutes")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures there")
    parser.add_argument("--document", type=pathlib.Path, help="put the figures into this document")
    parser.add_argument("--minutes", type=float, help="of load (default 10), and at most of kills (1000, or as many as fit)")
    parser.add_argument("--figures", type=pathlib.Path, help="run nothing, take the figures that --json wrote")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}")
    if not os.access(under_test.FAKE_TRAINER, os.X_OK):
        sys.exit(f"{under_test.FAKE_TRAINER} is not there: build the target bitloop_fake_trainer and set BITLOOP_BUILD")
    if given.figures:
        return put_figures(given.document, json.loads(given.figures.read_text()))
    figures, broken = {"machine": measure.description(under_test.BIN / "bitloop")}, []
    for name in given.parts or PARTS:
        print(f"{name} …", file=sys.stderr, flush=True)
        begun = time.monotonic()
        try:
            figures[name] = {**PARTS[name](**settings_of(name, given)), "took_s": round(time.monotonic() - begun)}
        except AssertionError as error:
            if hasattr(error, "figures"):
                figures[name] = {**error.figures, "took_s": round(time.monotonic() - begun)}
            broken.append(f"{name}: {error}")
        if given.json:  # after each part: what an hour has measured is not lost with the next
            given.json.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    if given.document:
        put_figures(given.document, figures)
    if broken:
        sys.exit("\n".join(broken))


if __name__ == "__main__":
    main()
