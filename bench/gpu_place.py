#!/usr/bin/env python3
"""Tells the packed trainer where its libraries lie, by absolute paths in its RPATH: a jail for a processor has neither procfs, by which
the loader would know $ORIGIN, nor LD_LIBRARY_PATH. The linker leaves no room for longer paths, so scripts/gpu-bundle makes some
(gpu_place.py --room FILE): a copy of the string table with ROOM bytes behind it, in a segment that takes the place of the
notes' (PT_NOTE), which nobody reads. On the other machine bench/gpu.py writes the paths there; so does gpu_place.py FOLDER…, for a
machine without a GPU: FOLDERs have libtorch_cpu.so and what it needs."""

import pathlib
import struct
import sys

ROOM, PAGE = 8192, 4096
PT_LOAD, PT_DYNAMIC, PT_NOTE = 1, 2, 4
DT_NULL, DT_STRTAB, DT_STRSZ, DT_RPATH, DT_RUNPATH = 0, 5, 10, 15, 29
HEADER, ENTRY = "<IIQQQQQQ", "<qQ"  # a program header, an entry of the dynamic section
TRAINER = pathlib.Path(__file__).resolve().parents[1] / "bin" / "bitloop-trainer"


class Elf:
    """A 64-bit program's headers and dynamic section, changed in `data`."""

    def __init__(self, data):
        self.data = bytearray(data)
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not a 64-bit program")
        first, size, count = struct.unpack_from("<Q", self.data, 32)[0], *struct.unpack_from("<HH", self.data, 54)
        self.places = [first + i * size for i in range(count)]
        # [type, flags, offset, address, physical address, size in the file, in memory, alignment]
        self.segments = [list(struct.unpack_from(HEADER, self.data, place)) for place in self.places]
        at = next(segment for segment in self.segments if segment[0] == PT_DYNAMIC)[2]
        self.entries = {}
        while (entry := struct.unpack_from(ENTRY, self.data, at))[0] != DT_NULL:
            self.entries[entry[0]] = (at, entry[1])
            at += struct.calcsize(ENTRY)

    def value(self, tag):
        return self.entries[tag][1]

    def set(self, tag, value, new_tag=None):
        struct.pack_into(ENTRY, self.data, self.entries[tag][0], tag if new_tag is None else new_tag, value)

    def offset(self, address):
        return next(address - s[3] + s[2] for s in self.segments if s[0] == PT_LOAD and s[3] <= address < s[3] + s[5])


def with_room(data):
    """The program with an empty RPATH of ROOM bytes."""
    elf = Elf(data)
    path = DT_RPATH if DT_RPATH in elf.entries else DT_RUNPATH
    strings = elf.offset(elf.value(DT_STRTAB))
    table = bytes(elf.data[strings:strings + elf.value(DT_STRSZ)])
    note = next(i for i, segment in enumerate(elf.segments) if segment[0] == PT_NOTE)
    last = max(i for i, segment in enumerate(elf.segments) if segment[0] == PT_LOAD)
    end = max(s[3] + s[6] for s in elf.segments if s[0] == PT_LOAD)
    if note < last:
        raise ValueError("its notes stand before its segments, which the loader wants in order")
    elf.data += bytes(-len(elf.data) % PAGE)
    offset, address, size = len(elf.data), end + (-end) % PAGE, len(table) + ROOM
    elf.data += table + bytes(ROOM)
    struct.pack_into(HEADER, elf.data, elf.places[note], PT_LOAD, 4, offset, address, address, size, size, PAGE)
    elf.set(DT_STRTAB, address)
    elf.set(DT_STRSZ, size)
    elf.set(path, len(table), DT_RPATH)
    return bytes(elf.data)


def placed(data, folders):
    """The program that has room with these folders as its RPATH."""
    elf, text = Elf(data), ":".join(map(str, folders)).encode()
    at = elf.offset(elf.value(DT_STRTAB)) + elf.value(DT_RPATH)
    if elf.value(DT_STRSZ) - elf.value(DT_RPATH) != ROOM or len(text) >= ROOM:
        raise ValueError("there is no room for its search path")
    elf.data[at:at + ROOM] = text + bytes(ROOM - len(text))
    return bytes(elf.data)


def rewrite(file, change, *more):
    """As a new file under the old name, since the old one may run."""
    new = file.with_name(file.name + ".new")
    new.write_bytes(change(file.read_bytes(), *more))
    new.chmod(file.stat().st_mode)
    new.rename(file)


def place(folders, trainer=TRAINER):
    rewrite(trainer, placed, [*map(pathlib.Path.absolute, folders), trainer.parents[1] / "deps"])


if __name__ == "__main__":
    words = sys.argv[1:]
    if not words or words == ["--room"]:
        sys.exit("usage: gpu_place.py FOLDER…, or gpu_place.py --room FILE")
    if words[0] == "--room":
        rewrite(pathlib.Path(words[1]), with_room)
    else:
        place(list(map(pathlib.Path, words)))
