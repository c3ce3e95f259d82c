"""What an attempt to escape is, the candidate it becomes, and stock Lua 5.4, in which it succeeds."""

import dataclasses
import os
import resource
import signal
import subprocess

LUA = "lua5.4"
SECRET = "the-secret-of-the-host"

# A legal quantizer with four places in which an attempt can stand. The placeholders are lines of their own.
REGION = """\
local Q = {name = "attempt", doc = "a quantizer of a test", levels = {-1, 0, 1}}
@load@
function Q.weight_quant(w, ctx)
  @weight@
  local scale = w:abs():mean():clamp{min = 1e-5}
  local codes = (w / scale):round():clamp{min = -1, max = 1}
  @weight_end@
  return codes, scale
end
function Q.activation_quant(x, ctx)
  @activation@
  local scale = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 127
  local codes = (x / scale):round():clamp{min = -128, max = 127}
  @activation_end@
  return codes, scale
end"""
PLACES = ("load", "weight", "weight_end", "activation", "activation_end")


@dataclasses.dataclass(frozen=True)
class Attempt:
    name: str
    code: str              # Lua; @PWN@, @DATA@ and @CODE@ are paths: one to be made, a secret, a file that makes @PWN@
    status: str            # how it must end
    words: str = ""        # part of the message
    place: str = "load"    # one of PLACES, "region" (the whole of it), or "config"
    rule: str = ""         # the finding that refuses it; "" where the message begins with candidate.lua:LINE instead
    line: int = 1          # of `code`, which the message must name; 0: another one
    # How it is shown that the attempt is one. In stock Lua `stock` (or `code`) does `harm`: "file": @PWN@ is there afterwards;
    # "says …": the words are printed; "exit N"; "cpu": it runs on though `hook` raises an error again and again (a count hook
    # is what a sandbox that has nothing better uses); "memory": it holds more than twice what a candidate may.
    harm: str = ""
    stock: str = ""
    hook: bool = False
    # A near-copy without the harm, which passes: not everything is refused.
    legal: str = ""
    note: str = ""         # why it has neither

    def __str__(self):
        return self.name


def candidate_region(code, place):
    """The text of the region `quantizer`, and the number of the first line of `code` in it (from 0)."""
    if place == "region":
        return code, 0
    lines, first = [], 0
    for line in REGION.splitlines():
        if line.strip() == f"@{place}@":
            first = len(lines)
            lines += code.splitlines()
        elif line.strip().strip("@") not in PLACES:
            lines.append(line)
    return "\n".join(lines), first


class Paths:
    """The files that attempts name, in a folder of the test's own."""

    def __init__(self, folder):
        self.pwn, self.data, self.code = folder / "pwn", folder / "data.txt", folder / "code.lua"
        self.data.write_text(SECRET)
        self.code.write_text(f"io.open('{self.pwn}', 'w'):close()")

    def fill(self, code):
        return code.replace("@PWN@", str(self.pwn)).replace("@DATA@", str(self.data)).replace("@CODE@", str(self.code))


@dataclasses.dataclass
class Ran:
    code: int
    output: str
    max_rss_mb: float


HOOK = 'debug.sethook(function() error("over the limit") end, "", 100000);\n'


def run_stock_lua(source, folder, cpu_seconds=1, memory_mb=1024):
    """Runs a file with Debian's interpreter and all standard libraries, under limits of the kernel. Its processor time is
    limited and not its wall time, so that a busy machine changes nothing."""
    file = folder / "stock.lua"
    file.write_bytes(source if isinstance(source, bytes) else source.encode())

    def limit():
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    with open(folder / "stock.out", "wb") as output:
        process = subprocess.Popen([LUA, file], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                   preexec_fn=limit, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return Ran(process.returncode, (folder / "stock.out").read_text(errors="replace"), usage.ru_maxrss / 1024)


def harms(attempt, paths, folder):
    """Runs the attempt in stock Lua; "" when it does what it says, else what happened instead."""
    paths.pwn.unlink(missing_ok=True)
    source = (HOOK if attempt.hook else "") + paths.fill(attempt.stock or attempt.code)
    ran = run_stock_lua(source, folder)
    kind, _, rest = attempt.harm.partition(" ")
    done = {
        "file": paths.pwn.exists(),
        "says": rest in ran.output,
        "exit": kind == "exit" and ran.code == int(rest),
        "cpu": ran.code in (-signal.SIGXCPU, -signal.SIGKILL),
        "memory": ran.max_rss_mb > 128,
        "output": len(ran.output) > 1_000_000,
    }[kind]
    paths.pwn.unlink(missing_ok=True)
    return "" if done else f"exit {ran.code}, {ran.max_rss_mb:.0f} MiB, {ran.output[:300]!r}"
