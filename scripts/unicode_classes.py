#!/usr/bin/env python3
"""Writes trainer/tokenizer/unicode_classes.inc: the ranges of letters (\\p{L}) and numbers (\\p{N}) of Unicode 16, which is what
tiktoken's regular expressions go by. Wants unicodedata2==16.0.0 of PyPI:

    python3 -m venv VENV && VENV/bin/pip install unicodedata2==16.0.0 && VENV/bin/python scripts/unicode_classes.py
"""
import pathlib

import unicodedata2

OUT = pathlib.Path(__file__).resolve().parents[1] / "trainer/tokenizer/unicode_classes.inc"


def ranges(major):
    found, first = [], None
    for point in range(0x110001):
        inside = point < 0x110000 and unicodedata2.category(chr(point))[0] == major
        if inside and first is None:
            first = point
        elif not inside and first is not None:
            found.append((first, point - 1))
            first = None
    return found


def main():
    assert unicodedata2.unidata_version == "16.0.0"
    lines = [f"// Made by scripts/unicode_classes.py from Unicode {unicodedata2.unidata_version}: first and last code point of each range."]
    for name, major in (("kLetters", "L"), ("kNumbers", "N")):
        lines.append(f"constexpr Range {name}[] = {{")
        row = "   "
        for first, last in ranges(major):
            item = f" {{0x{first:x}, 0x{last:x}}},"
            if len(row) + len(item) > 100:
                lines.append(row)
                row = "   "
            row += item
        lines += [row, "};"]
    OUT.write_text("\n".join(lines) + "\n")


main()
