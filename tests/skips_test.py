#!/usr/bin/env python3
"""Fails when a test was skipped that tests/expected_skips.txt does not list.

CTest counts a skipped test as passed, so without this a test could stop running unseen. It is registered as CTest's last
test and reads the log of the run it belongs to: skips_test.py BUILD_DIR. Prints every skip with its reason. (With `ctest -j`
the order is CTest's own, and tests that end after this one are not seen.)"""

import pathlib
import re
import sys

EXPECTED = pathlib.Path(__file__).with_name("expected_skips.txt")


def skips(log):
    """(test, reason) of each skip in the text of CTest's log, for GoogleTest and pytest."""
    found = []
    for part in re.split(r"^\d+/\d+ Testing: ", log, flags=re.M)[1:]:
        name, _, body = part.partition("\n")
        output = body.split("<end of output>")[0]
        if re.search(r"^\[  SKIPPED \]", output, flags=re.M):
            reasons = re.findall(r"^.*: Skipped\n((?:(?!\[).+\n)*)", output, flags=re.M)
            found += [(name.strip(), " ".join(reason.split())) for reason in reasons or [""]]
        found += [(name.strip(), reason) for reason in re.findall(r"^SKIPPED \[\d+\] (.*)$", output, flags=re.M)]
    return found


def expected_patterns(text):
    """Lines `TEST-PATTERN | REASON-PATTERN`, both searched for as regular expressions."""
    lines = [line.strip() for line in text.splitlines()]
    return [tuple(part.strip() for part in line.split(" | ", 1)) for line in lines if line and line[0] != "#"]


def unexpected(found, patterns):
    return [(name, reason) for name, reason in found
            if not any(re.search(test, name) and re.search(why, reason) for test, why in patterns)]


def main(build_dir):
    log = pathlib.Path(build_dir) / "Testing/Temporary/LastTest.log.tmp"  # as CTest calls it while it runs
    if not log.exists():
        sys.exit(f"skips_test.py: {log} does not exist: it is meant to be run by ctest")
    found = skips(log.read_text(errors="replace"))
    bad = unexpected(found, expected_patterns(EXPECTED.read_text()))
    for name, reason in found:
        print(f"{'UNEXPECTED' if (name, reason) in bad else 'expected'}: {name}: {reason}")
    if bad:
        sys.exit(f"{len(bad)} skipped test(s) not in tests/expected_skips.txt: mend the test, or list it with its reason")
    print(f"{len(found)} skipped, all of them expected")


def test_skips_are_found():
    log = ("1/3 Testing: a.A.One\nOutput:\n---\n[ RUN      ] A.One\nx.cpp:5: Skipped\nno data\n[  SKIPPED ] A.One (0 ms)\n"
           "<end of output>\n2/3 Testing: a.A.Two\nOutput:\n[  OK ] A.Two\n<end of output>\n"
           "3/3 Testing: scripts.x\nOutput:\nSKIPPED [1] t.py:3: no unzip\n1 skipped\n<end of output>\n")
    assert skips(log) == [("a.A.One", "no data"), ("scripts.x", "t.py:3: no unzip")]


def test_a_skip_is_expected_only_for_the_listed_reason():
    patterns = expected_patterns("# comment\n\n^(a|c)\\. | no data\n")
    assert unexpected([("a.A", "no data"), ("a.A", "tired"), ("b.B", "no data")], patterns) == [
        ("a.A", "tired"), ("b.B", "no data")]


def test_the_list_of_expected_skips_is_well_formed():
    patterns = expected_patterns(EXPECTED.read_text())
    assert patterns and all(len(pattern) == 2 and re.compile(pattern[0]) and re.compile(pattern[1]) for pattern in patterns)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: skips_test.py BUILD_DIR")
    main(sys.argv[1])
