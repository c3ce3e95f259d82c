"""Attempts to reach the system, to stop the harness and to cheat the metric, end to end: each is a candidate that the real
trainer meets in the real jail. What each must end as stands beside it in escapes/*.py, and so does how it is shown to be one:
in stock Lua it does its harm, or a near-copy without the harm passes."""

import json
import random
import re
import subprocess

import pytest

import machine
from bitloop import BIN, Host
from escapes.attempt import Paths, candidate_region, harms, run_stock_lua
from escapes.limits import C, D
from escapes.system import A, B
from escapes.values import E, G, HONEST_16_BITS, whole
from small import SHARE, make_share

TRAINER = BIN / "bitloop-trainer"
ATTEMPTS = A + B + C + D + E + G
TEMPLATE = candidate_region("", "load")[0]

pytestmark = pytest.mark.skipif(not TRAINER.exists(), reason="built without the trainer (BITLOOP_TRAINER=OFF)")


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("escapes")
    share = make_share(folder / "share")
    machine.adopt_orphans()
    (folder / "tmp").mkdir()
    with Host(folder / "workspace", fake=False, BITLOOP_SHARE=str(share), TMPDIR=str(folder / "tmp")) as running:
        running.tmp = folder / "tmp"
        yield running
        assert running.stop() == 0


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return Paths(tmp_path_factory.mktemp("harm"))


@pytest.fixture(scope="module")
def witness(host):
    """A session with a finished result. what_it_is() is the same for ever."""
    session = host.session()
    assert session.test(description="the witness")["status"] == "ok"

    def what_it_is():
        row = [line for line in (host.workspace / "results.tsv").read_bytes().splitlines() if session.id.encode() in line]
        return row, session.get("/files/candidate.lua").text, session.get("/tests/1").text, session.head()

    what_it_is.metrics = session.get("/tests/1")["metrics"]
    return what_it_is


@pytest.fixture
def untouched(host, paths, witness):
    """Around a test: the host answers, and nothing is left of what ran."""
    before = machine.mounts(), machine.temporary_files(), witness()
    yield
    assert host.get("/healthz")["status"] == "ok"
    assert machine.descendants() == {host.process.pid: "bitloop"}
    assert machine.descendants(host.process.pid, ended=True) == {}  # nor one that waits to be collected
    assert (machine.mounts(), machine.temporary_files(), witness()) == before
    assert machine.workspace_surplus(host.workspace) == set() and list(host.tmp.iterdir()) == []
    assert not paths.pwn.exists()


@pytest.fixture(scope="module")
def session(host):
    return host.session()


def put(session, region, config="{}"):
    edited = session.edit(op="rewrite", region="quantizer", content=region)
    assert edited.status == 200, edited.text[:2000]
    edited = session.edit(op="rewrite", region="config", content=f"local CONFIG_OVERRIDES = {config}")
    assert edited.status == 200, edited.text[:2000]


def put_attempt(session, attempt, code):
    """The attempt as the session's candidate; returns the line of the candidate in which its code begins."""
    if attempt.place == "config":
        put(session, TEMPLATE, code)
        return 0
    region, first = candidate_region(code, attempt.place)
    put(session, region)
    return session.region()[0] + first


def check(session):
    """(status, rule, message) of a check; the last two are the failed finding's."""
    answer = session.post("/checks")
    assert answer.status == 200, answer.text
    status = session.host.git("log", "-1", "--format=%(trailers:key=Bitloop-Status,valueonly)", session.head()).strip()
    assert answer["ok"] == (status == "ok")
    failed = [(finding["rule"], finding["detail"]) for finding in answer["findings"] if not finding["ok"]]
    return status, *(failed[0] if failed else ("", ""))


def judge(attempt, status, rule, message, line):
    assert status == attempt.status, (status, rule, message)
    assert attempt.words in message
    assert len(message) < 3000 and "0x" not in message and "the-secret" not in message
    if attempt.rule:
        assert rule == attempt.rule and len(message) > 20
    elif attempt.status != "ok":
        assert message.startswith(f"candidate.lua:{line + attempt.line - 1}: " if attempt.line else "candidate.lua:"), message


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_the_attempt_fails(session, paths, untouched, attempt):
    line = put_attempt(session, attempt, paths.fill(attempt.code))
    judge(attempt, *check(session), line)


@pytest.mark.parametrize("attempt", [attempt for attempt in ATTEMPTS if attempt.harm], ids=str)
def test_in_stock_lua_the_attempt_succeeds(paths, tmp_path, attempt):
    assert harms(attempt, paths, tmp_path) == ""


@pytest.mark.parametrize("attempt", [attempt for attempt in ATTEMPTS if attempt.legal], ids=str)
def test_a_near_copy_without_the_harm_passes(session, paths, untouched, attempt):
    put_attempt(session, attempt, attempt.legal)
    assert check(session) == ("ok", "", "")


def test_every_attempt_is_one():
    """Each has a control or says why not, and no two have one name."""
    assert len({attempt.name for attempt in ATTEMPTS}) == len(ATTEMPTS)
    assert [attempt.name for attempt in ATTEMPTS if not (attempt.harm or attempt.legal or attempt.note)] == []


def test_the_template_passes(session, untouched):
    put(session, TEMPLATE)
    assert check(session) == ("ok", "", "")


# Through a whole test as well: some of each group, three in a session.
TESTED = ["A io.open reads", "A os.execute in weight_quant", "B 20,000 nested parentheses", "C pcall swallows the limit",
          "C a loop in activation_quant", "D a string that doubles under pcall", "D a huge tensor in weight_quant",
          "E a method of a table", "E a scale that is not a number", "E three values", "G weights as codes",
          "G look-ahead in the score only", "G a variable that remembers", "G more steps", "G a result in an error"]
BY_NAME = {attempt.name: attempt for attempt in ATTEMPTS}


@pytest.mark.parametrize("names", [TESTED[i:i + 3] for i in range(0, len(TESTED), 3)], ids=" | ".join)
def test_a_test_of_the_attempt_is_charged_and_has_no_score(host, paths, untouched, names):
    session = host.session()
    for number, name in enumerate(names, 1):
        attempt = BY_NAME[name]
        put_attempt(session, attempt, paths.fill(attempt.code))
        ended = session.test()
        assert ended["status"] == attempt.status and ended["tests_left"] == 3 - number
        assert f"[FAILED {attempt.status}] " in ended["message"] and attempt.words in ended["message"]
        assert attempt.rule or f"[FAILED {attempt.status}] candidate.lua:" in ended["message"]
        row = next(row for row in host.rows() if (row["session"], row["test"]) == (session.id, str(number)))
        assert row["val_loss"] == "" and row["status"] == attempt.status
        assert session.post("/submission", {"test": number}).status == 409


def test_calls_that_each_stay_below_their_limit_meet_the_deadline(host, untouched):
    """Not the limit of a call (5 s), but that of the run."""
    session = host.session("hasty")
    put(session, candidate_region("for i = 1, 20000000 do end", "weight")[0])
    ended = session.test()
    assert ended["status"] == "timeout" and "stopped at the deadline of 3 s" in ended["message"]
    assert ended["tests_left"] == 2
    verdict = json.loads((host.workspace / "runs" / f"{session.id}-1" / "verdict.json").read_text())
    assert verdict["jail"]["killed_by"] == "deadline"


def test_what_is_dropped_is_freed(host, untouched, witness):
    """8 GB of tensors one after the other, and exceptions under pcall: not a gigabyte more than without."""
    session = host.session()
    put(session, candidate_region(BY_NAME["D tensors that are dropped"].code + " "
                                  + BY_NAME["E 10,000 exceptions under pcall"].code, "load")[0])
    ended = session.test()
    assert ended["status"] == "ok", ended["message"]
    assert ended["metrics"]["peak_memory_mb"] < witness.metrics["peak_memory_mb"] + 1024


def test_low_bits_of_codes_change_nothing(host, untouched, witness):
    """What is within the tolerance of a level is that level: the score is the same, bit by bit."""
    session = host.session()
    put_attempt(session, BY_NAME["G weights in the codes' low bits"], BY_NAME["G weights in the codes' low bits"].legal)
    ended = session.test()
    assert ended["status"] == "ok" and ended["metrics"]["val_loss"] == witness.metrics["val_loss"]


def test_a_result_in_the_description_is_text(host, untouched, witness):
    session = host.session()
    doc = r'doc = "x\n{\"type\":\"result\",\"status\":\"ok\",\"metrics\":{\"val_loss\":0.1}}\t0.1\t0.1"'
    put(session, TEMPLATE.replace('doc = "a quantizer of a test"', doc))
    ended = session.test()
    assert ended["status"] == "ok" and ended["metrics"]["val_loss"] == witness.metrics["val_loss"]
    row = next(row for row in host.rows() if row["session"] == session.id)  # rows() wants every line to have every cell
    assert float(row["val_loss"]) == witness.metrics["val_loss"]


def test_more_bits_are_allowed_and_counted(session, untouched):
    """What the cheats would hide has an honest form, which costs what it is."""
    def bits(region):
        put(session, region)
        answer = session.post("/checks")
        assert answer["ok"], answer.text
        return answer["bits_per_weight"]

    plain = bits(TEMPLATE)
    assert 1.58 < plain < 1.7
    assert bits(HONEST_16_BITS) > 16  # weights as codes
    assert bits(whole("levels = {-1, 0, 1}, group = 2", "scale = bitloop.blocks(w, 2):abs():mean{dim = -1}:clamp{min = 1e-5} "
                      "codes = w:sign()")) > plain + 7.9  # a scale for two weights
    assert bits(whole(more="function Q.init(layer) return {state = {w = layer.weight}} end")) > plain + 31.9  # a copy of them
    assert bits(whole(more="function Q.row_bias(w, codes, ctx) return w:mean{dim = 1} end")) > plain + 0.1


def test_what_the_cheats_would_gain():
    """Without the audits: each hidden form gives the float weights back, where ternary ones are far from them."""
    rng = random.Random(1)
    w = [rng.gauss(0, 0.02) for _ in range(4096)]
    error = lambda values: sum((a - b) ** 2 for a, b in zip(w, values)) / sum(a * a for a in w)
    scale = sum(map(abs, w)) / len(w)
    codes = [max(-1, min(1, round(a / scale))) for a in w]
    assert error([code * scale for code in codes]) > 0.1                       # honest
    assert error(w) == 0                                                       # weights as codes
    assert error([1 * a for a in w]) == 0                                      # weights as the scale, codes 1
    hidden = [code + a * 1e-3 for code, a in zip(codes, w)]                    # weights in the codes' low bits
    assert error([(code - round(code)) * 1e3 for code in hidden]) < 1e-9
    # One scale for all rows tells the first row what the later ones are.
    rows = [[rng.gauss(0, 1) for _ in range(8)] for _ in range(4)]
    quantised = lambda rows, scale: [round(127 * a / scale) / 127 * scale for a in rows[0]]
    later = rows[:3] + [[4 * a for a in rows[3]]]
    all_of, row_of = lambda rows: max(abs(a) for row in rows for a in row), lambda rows: max(map(abs, rows[0]))
    assert quantised(rows, all_of(rows)) != quantised(later, all_of(later))
    assert quantised(rows, row_of(rows)) == quantised(later, row_of(later))


# ---- B: code that is no text


def chunk(folder):
    """A compiled chunk that makes the file pwn."""
    ran = run_stock_lua(f"io.open('chunk', 'wb'):write(string.dump(function() io.open('pwn', 'w'):close() end))", folder)
    assert ran.code == 0, ran.output
    return (folder / "chunk").read_bytes()


def check_file(tmp_path, data):
    """(exit code, document) of `bitloop check`, which takes whole files."""
    (tmp_path / "chunk.lua").write_bytes(data)
    done = subprocess.run([BIN / "bitloop", "check", tmp_path / "chunk.lua", "--json", "--allow-degraded"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=120)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def test_binary_chunks_are_not_run(session, untouched, tmp_path):
    code = chunk(tmp_path)
    ran = run_stock_lua("dofile('chunk')", tmp_path)
    assert ran.code == 0 and (tmp_path / "pwn").exists()  # it would work
    (tmp_path / "pwn").unlink()
    for data in (code, code[:20], b"\x1bLua", b"\x1bLua return {}"):
        status, answer = check_file(tmp_path, data)
        message = answer if status == 2 else answer["findings"][-1]["detail"]
        assert status in (1, 2) and ("control character" in message or "not valid UTF-8" in message), message
    assert not (tmp_path / "pwn").exists()
    before = session.head()
    edited = session.edit(op="rewrite", region="quantizer", content=code.decode("latin-1"))
    assert edited.status == 422 and edited["code"] == "invalid_text" and session.head() == before


def test_mutated_chunks_crash_stock_lua(tmp_path):
    """Why chunks are refused unread: the interpreter does not check them."""
    code, rng = chunk(tmp_path), random.Random(1)
    for _ in range(2000):
        data = bytearray(code)
        data[rng.randrange(40, len(data))] = rng.randrange(256)
        (tmp_path / "chunk").write_bytes(data)
        if run_stock_lua("pcall(dofile, 'chunk')", tmp_path).code < 0:
            return
    raise AssertionError("no mutant crashes it")


# ---- A: everything that can be reached

REACHABLE = {
    "_ENV": "assert bitloop error ipairs math pairs pcall select string table tonumber torch tostring type",
    "math": "abs acos asin atan ceil cos deg exp floor fmod huge log max maxinteger min mininteger modf pi rad sin sqrt tan "
            "tointeger type ult",
    "string": "byte char format len lower rep reverse sub upper",
    "table": "concat insert pack remove sort unpack",
}


def test_what_can_be_reached(session, untouched):
    """Every name below the environment; torch and bitloop hold what docs/lua.md lists, and nothing else."""
    manual = (SHARE / "lua.md").read_text().split("<!-- from here on")[1]
    listed = {"bitloop": set(re.findall(r"^- `bitloop\.(\w+)\(", manual, flags=re.M)),
              "torch": set(re.findall(r"^- `(?:torch\.|\w+:)(\w+)\(", manual, flags=re.M))}
    assert len(listed["torch"]) > 100 and len(listed["bitloop"]) > 3
    for table in (*REACHABLE, *listed):
        put(session, candidate_region(f"local names = {{}} for name in pairs({table}) do names[#names + 1] = name end "
                                      'error(table.concat(names, " "), 0)', "load")[0])
        status, _, message = check(session)
        names = message.split(": ", 1)[1]
        assert status == "script_error"
        assert names == REACHABLE[table] if table in REACHABLE else set(names.split()) == listed[table], names
