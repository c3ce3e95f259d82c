"""The command line for people: results, show, diff, doctor, completion, replay."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

from bitloop import BIN, FAKE, Host, ROOT, Session

TERNARY = ROOT / "quantizers" / "ternary.lua"


class Shell:
    """Runs bitloop on one workspace, with the fake supervisor."""

    def __init__(self, folder):
        self.folder, self.workspace = folder, folder / "workspace"
        self.environment = {**os.environ, "BITLOOP_SUPERVISOR": FAKE, "BITLOOP_WORKSPACE": str(self.workspace),
                            "XDG_DATA_HOME": str(folder / "data")}

    def __call__(self, *words, **environment):
        return subprocess.run([BIN / "bitloop", *map(str, words)], capture_output=True, text=True, cwd=self.folder,
                              env={**self.environment, **environment}, timeout=120)

    def json(self, *words, code=0):
        done = self(*words, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def train(self, words, *more, name="idea"):
        path = self.folder / f"{name}.lua"
        path.write_text(f"-- {words}\n" + TERNARY.read_text())
        return self("train", path, "--allow-degraded", *more)


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)


@pytest.fixture
def trained(shell):
    """Three runs of the command line: two scores and a failure."""
    assert shell.train("FAKE_LOSS=2.25 FAKE_BITS=2", "--description", "two bits", name="wide").returncode == 0
    assert shell.train("FAKE_LOSS=2.5", "--description", "a median scale", "--seed", "43").returncode == 0
    assert shell.train("FAKE_STATUS=diverged").returncode == 1
    return shell


def one_sentence(text):
    assert text.startswith("bitloop: ") and text.count("\n") == 1
    return text


def test_results_are_filtered_sorted_and_cut(trained):
    tests = lambda *words: [row["test"] for row in trained.json("results", *words)["results"]]
    assert tests() == [1, 2, 3]
    assert tests("--status", "ok") == [1, 2] and tests("--quantizer", "wide") == [1]
    assert tests("--where", "val_loss<2.4") == [1] and tests("--where", "val_loss>2", "--where", "description~MEDIAN") == [2]
    assert tests("--sort", "-val_loss") == [2, 1, 3] and tests("--sort", "val_loss", "--limit", "1") == [1]
    assert tests("--best-per-bits") == [2, 1]
    assert tests("--type", "agent") == tests("--task", "other") == tests("--session", "nobody") == []
    assert trained("results", "--session", "nobody").stdout == "No results fit.\n"


def test_results_as_chosen_columns(trained):
    assert trained.json("results", "--columns", "test,bits", "--limit", "1") == {"results": [{"test": 1, "bits_per_weight": 2}]}
    assert trained("results", "--columns", "test,status", "--tsv").stdout == "test\tstatus\n1\tok\n2\tok\n3\tdiverged\n"
    assert trained("results", "--columns", "test,val_loss", "--status", "diverged").stdout.startswith("test  val_loss\n   3         -\n")
    assert trained("results", "--tsv").stdout == (trained.workspace / "results.tsv").read_text()


@pytest.mark.parametrize("words", [["--where", "valloss<2"], ["--sort", "valloss"], ["--columns", "test,valloss"]])
def test_an_unknown_column_names_the_nearest(trained, words):
    done = trained("results", *words)
    assert done.returncode == 2 and done.stdout == "" and "val_loss" in one_sentence(done.stderr)


@pytest.mark.parametrize("words", [["--where", "val_loss<fast"], ["--limit", "0"], ["--type", "human"], ["--json", "--tsv"],
                                   ["--plot", "/nowhere/out.svg"]])
def test_wrong_usage_of_results(trained, words):
    done = trained("results", *words)
    assert done.returncode == 2 and done.stdout == ""
    one_sentence(done.stderr)


def test_results_are_plotted(trained):
    done = trained("results", "--plot", "out.svg")
    assert done.returncode == 0, done.stderr
    svg = (trained.folder / "out.svg").read_text()
    assert "</svg>" in svg and "wide-1" in svg and "idea-2" in svg and "idea-3" not in svg
    assert trained("results", "--plot", "none.svg", "--status", "diverged").returncode == 2
    assert not (trained.folder / "none.svg").exists()
    assert trained("results", "--plot", "other.svg", PATH="").returncode == 3  # no gnuplot


@pytest.fixture
def session(shell):
    """A session of an agent on a server that has stopped: an edit, a test that ended ok and was submitted."""
    shell.workspace.mkdir()
    host = Host(shell.workspace)
    made = host.session()
    made.say("FAKE_LOSS=2.125")
    assert made.test(description="a larger scale")["status"] == "ok"
    assert made.post("/submission", {"test": 1}).status == 200
    assert host.stop() == 0
    return made.id


def test_show_a_test(shell, session):
    page = shell("show", f"{session}/1").stdout
    assert page.startswith(f"Test {session}/1: ok, submitted as final\n")
    for words in ("idea        a larger scale", "val_loss                2.125", "ok      levels", "train_loss  4.7500 █", "verdict.json",
                  "+-- FAKE_LOSS=2.125", "Decision\n  verdict           first\n", "\n  val_loss is "):
        assert words in page, words
    assert "\x1b" not in page
    document = shell.json("show", f"{session}-1")
    assert document["metrics"]["val_loss"] == 2.125 and document["submitted"] and document["findings"][0]["rule"] == "levels"
    assert f"--- {session} (start)\n+++ {session}/1\n" in document["diff"]


def test_show_a_session(shell, session):
    assert re.search(r"^     1  ok +2\.1250   1\.585  a larger scale$", shell("show", session).stdout, re.M)
    document = shell.json("show", session)
    assert document["state"] == "closed" and document["tests_left"] == 2 and document["tests"][0]["val_loss"] == 2.125


@pytest.fixture
def forked(shell):
    """A session with a score, a better one and tags, and a fork of the first, whose host was killed while its test ran and
    which was adopted. The ids of both; the server has stopped."""
    shell.workspace.mkdir(exist_ok=True)
    with Host(shell.workspace) as host:
        parent = host.session()
        for loss in ("2.400", "2.300"):
            parent.edit(op="rewrite", region="config", content=f"local CONFIG_OVERRIDES = {{}}  -- FAKE_LOSS={loss}")
            assert parent.test(description=f"a loss of {loss}")["status"] == "ok"
        for tag in ({"tag": "median"}, {"tag": "good", "test": 2}, {"tag": "bad"}):
            assert parent.post("/tags", tag).status == 200
        assert host.call("DELETE", parent.path + "/tags/bad").status == 200
        fork = Session(host, host.post("/v1/sessions", {"from": f"{parent.id}/1"})["id"])
        fork.say("FAKE_SLEEP=2")
        assert fork.post("/tests", {"description": "on its own"}).status == 202
        assert fork.post("/tags", {"tag": "under-way", "test": 1}).status == 200
        # A host that dies before the run has begun gives the test back: here it is to be adopted.
        begun = shell.workspace / "runs" / f"{fork.id}-1" / "events.jsonl"
        deadline = time.monotonic() + 60
        while not begun.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        host.kill()
        host.start()
        assert fork.wait(1)["status"] == "ok" and fork.get()["tests_left"] == 2
        assert fork.get()["tags"] == [{"tag": "under-way", "test": 1}] and fork.get()["forked_from"] == f"{parent.id}/1"
        host.git("fsck", "--strict")
        assert host.stop() == 0
    return parent.id, fork.id


def test_show_a_decision(shell, forked):
    parent, _ = forked
    page = shell("show", f"{parent}/2").stdout
    decision = page.split("\nDecision\n")[1].split("\n\n")[0]
    for line in (r"verdict +better", r"against +test #1 \(val_loss 2\.4000\)", r"difference +-0\.1000 \(noise ±0\.02\d\d\)",
                 r"ternary +\w+ \(.*\)", r"advice +Keep: .*", r"val_loss is .*"):
        assert re.search(f"^  {line}$", decision, re.M), line
    assert re.search(r"^tags +good$", page, re.M)
    document = shell.json("show", f"{parent}/2")
    assert document["decision"]["verdict"] == "better" and document["decision"]["against"]["test"] == 1 and document["tags"] == ["good"]
    assert shell.json("show", f"{parent}/1")["decision"]["verdict"] == "first"
    with Host(shell.workspace) as host:
        assert host.get(f"/v1/sessions/{parent}/tests/2")["decision"] == document["decision"]


def test_show_forks_and_tags(shell, forked):
    parent, fork = forked
    page = shell("show", parent).stdout
    assert re.search(r"^tags +median, good \(#2\)$", page, re.M) and re.search(r"^best +2$", page, re.M) and "fork of" not in page
    assert shell.json("show", parent)["tags"] == [{"tag": "median", "test": None}, {"tag": "good", "test": 2}]
    assert re.search(rf"^fork of +{parent}/1$", shell("show", fork).stdout, re.M)
    document = shell.json("show", fork)
    assert document["forked_from"] == f"{parent}/1" and document["best"] == 1 and document["tests_left"] == 2
    assert "+-- FAKE_SLEEP=2" in shell.json("show", f"{fork}/1")["diff"] and "CONFIG_OVERRIDES" not in changed(shell, f"{fork}/1")


def changed(shell, test):
    """The lines that a test's candidate has and its session's first does not, or the other way round."""
    return "\n".join(line for line in shell.json("show", test)["diff"].splitlines()[2:] if line[:1] in ("+", "-"))


def test_forks_and_tags_are_whole(healthy, forked):
    assert {("journal", "ok"), ("sessions", "ok"), ("runs", "ok"), ("ledger", "ok")} <= states(healthy.json("doctor"))
    assert healthy.json("doctor", "--repair")["repaired"] == []


def test_replay_of_a_fork(shell, forked):
    parent, fork = forked
    for session, tests in ((parent, [1, 2]), (fork, [1])):
        replayed = shell.json("replay", session, "--allow-degraded")
        assert replayed["same"] and [test["test"] for test in replayed["tests"]] == tests


def test_show_a_run_of_the_command_line(trained):
    assert trained("show", "local/3").stdout.startswith("Test local/3: diverged\n")
    assert trained.json("show", "local/3")["decision"] is None and trained.json("show", "local")["best"] is None
    assert trained.json("show", "local-2")["description"] == "a median scale"
    assert "two bits" in trained("show", "local").stdout


@pytest.mark.parametrize("words", [["show", "nobody"], ["show", "local/9"], ["replay", "nobody", "--allow-degraded"],
                                   ["replay", "local", "--test", "3", "--allow-degraded"]])
def test_who_is_not_there(trained, words):
    done = trained(*words)
    assert done.returncode == 2 and done.stdout == ""
    one_sentence(done.stderr)


def test_diff_ends_as_diff_does(shell, session):
    (shell.folder / "mine.lua").write_text(TERNARY.read_text().replace("1e-5", "1e-6"))
    assert shell("diff", TERNARY, TERNARY).returncode == 0 and shell("diff", TERNARY, TERNARY).stdout == ""
    files = shell("diff", TERNARY, "mine.lua")
    assert files.returncode == 1 and "+++ mine.lua\n" in files.stdout and "\n+" in files.stdout and "\x1b" not in files.stdout
    assert shell("diff", session, f"{session}/1").returncode == 0  # the submission is what was tested
    log = subprocess.run(["git", "-C", shell.workspace / "journal.git", "log", "--format=%h", f"sessions/{session}"],
                         capture_output=True, text=True).stdout.split()
    commits = shell.json("diff", log[-1], log[0], code=1)
    assert commits["a"] == log[-1][:7] and "+-- FAKE_LOSS=2.125" in commits["diff"] and not commits["same"]
    for words in (["nothing", TERNARY], ["gone.lua", TERNARY], [f"{session}/7", TERNARY], ["fffff", TERNARY]):
        done = shell("diff", *words)
        assert done.returncode == 2 and done.stdout == ""
        one_sentence(done.stderr)


@pytest.mark.parametrize("no_color", ["", "1"])
def test_diff_has_colours_on_a_terminal_alone(shell, no_color):
    (shell.folder / "mine.lua").write_text(TERNARY.read_text().replace("1e-5", "1e-6"))
    leader, follower = os.openpty()
    process = subprocess.Popen([BIN / "bitloop", "diff", TERNARY, "mine.lua"], stdout=follower, cwd=shell.folder,
                               env={**shell.environment, "NO_COLOR": no_color})
    os.close(follower)
    shown = b""
    try:
        while chunk := os.read(leader, 4096):
            shown += chunk
    except OSError:
        pass  # the program has ended
    assert process.wait(30) == 1
    assert b"mine.lua" in shown and (b"\x1b[31m-" in shown) == (no_color == "")


def states(document):
    return {(check["check"], check["state"]) for check in document["checks"]}


@pytest.fixture
def healthy(trained):
    """A trainer that says this program's version, so that the machine of the tests is of no matter."""
    version = re.fullmatch(r"bitloop (\S+) \((\S+)\)\n", trained("--version").stdout)
    trainer = trained.folder / "trainer"
    trainer.write_text(f"#!/bin/sh\necho {version.group(1)} {version.group(2)}\n")
    trainer.chmod(0o755)
    trained.environment["BITLOOP_TRAINER"] = str(trainer)
    return trained


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_doctor_of_a_healthy_workspace_changes_nothing(healthy):
    before = content(healthy.workspace)
    document = healthy.json("doctor")
    assert {("workspace", "ok"), ("journal", "ok"), ("sessions", "ok"), ("ledger", "ok"), ("runs", "ok"), ("trainer", "ok"),
            ("data", "ok")} <= states(document)
    assert document["repaired"] == []
    assert content(healthy.workspace) == before
    assert re.search(r"^ok        ledger: 3 rows, as the journal has them$", healthy("doctor").stdout, re.M)
    assert healthy.json("doctor", "--repair")["repaired"] == []
    after = content(healthy.workspace)
    after[".lock"] = before[".lock"]  # has the process id of whoever took the workspace last
    assert after == before


@pytest.mark.parametrize("damage", ["removed", "line", "number", "header", "garbage", "doubled"])
def test_doctor_repairs_the_ledger_from_the_journal(healthy, damage):
    ledger = healthy.workspace / "results.tsv"
    whole = ledger.read_text()
    lines = whole.splitlines(keepends=True)
    if damage == "removed":
        ledger.unlink()
    else:
        ledger.write_text({"line": "".join(lines[:2]), "number": whole.replace("2.25", "1.25"), "header": whole.replace("val_loss", "loss"),
                           "garbage": whole + "what\n", "doubled": whole + lines[1]}[damage])
    assert ("ledger", "problem") in states(healthy.json("doctor", code=1))
    document = healthy.json("doctor", "--repair")
    assert ("ledger", "ok") in states(document) and any("rebuilt the ledger" in done for done in document["repaired"])
    assert ledger.read_text() == whole
    assert (healthy.workspace / "results.tsv.unreadable").exists() == (damage in ("header", "garbage"))


def damage_a_candidate(workspace):
    """Of the commit before the last; the object's name."""
    head = subprocess.run(["git", "-C", workspace / "journal.git", "rev-parse", "sessions/local~1:candidate.lua"],
                          capture_output=True, text=True).stdout.strip()
    blob = workspace / "journal.git" / "objects" / head[:2] / head[2:]
    blob.chmod(0o644)
    blob.write_bytes(b"not an object")
    return head


def test_doctor_finds_a_damaged_journal(healthy):
    shutil.rmtree(healthy.workspace / "journal.git" / "write-ahead")  # nothing to mend it from
    head = damage_a_candidate(healthy.workspace)
    document = healthy.json("doctor", code=1)
    assert ("journal", "problem") in states(document)
    assert head in next(check["detail"] for check in document["checks"] if check["check"] == "journal")
    assert healthy.json("doctor", "--repair", code=1)["repaired"] == []
    (healthy.workspace / "journal.git" / "refs" / "heads" / "sessions" / "local").write_text("gone\n")
    assert "holds no commit" in healthy("doctor").stdout


def test_doctor_mends_what_a_power_failure_took(healthy):
    journal = healthy.workspace / "journal.git"
    branch = journal / "refs" / "heads" / "sessions" / "local"
    before = branch.read_text()
    head = damage_a_candidate(healthy.workspace)
    branch.write_text("")
    assert ("journal", "problem") in states(healthy.json("doctor", code=1))
    assert any("mended" in done for done in healthy.json("doctor", "--repair")["repaired"])
    assert branch.read_text() == before
    subprocess.run(["git", "-C", journal, "cat-file", "-e", head], check=True)
    assert ("journal", "ok") in states(healthy.json("doctor"))


@pytest.mark.parametrize("damage", [lambda head: head.unlink(), lambda head: head.write_text("")])
def test_doctor_writes_a_lost_head_again(healthy, damage):
    damage(healthy.workspace / "journal.git" / "HEAD")
    document = healthy.json("doctor", code=1)
    assert next(check for check in document["checks"] if check["check"] == "journal")["advice"] == "--repair writes it again"
    assert healthy.json("doctor", "--repair")["repaired"] == ["wrote the journal's HEAD again"]
    assert ("journal", "ok") in states(healthy.json("doctor"))


def test_doctor_removes_what_killed_processes_left(healthy):
    orphan = healthy.workspace / "runs" / "calm-newt-0000-1"
    orphan.mkdir()
    (orphan / "output.txt").write_bytes(b"x" * 2_000_000)
    lock = healthy.workspace / "journal.git" / "refs" / "heads" / "sessions" / "local.lock"
    lock.touch()
    (healthy.workspace / "runs" / "local-1" / "verdict.json").unlink()
    document = healthy.json("doctor")  # warnings alone
    assert {("orphans", "warning"), ("locks", "warning"), ("runs", "warning")} <= states(document)
    assert "calm-newt-0000-1 (1.9 MiB)" in str(document) and "local/1" in str(document)
    assert orphan.exists() and lock.exists()
    assert len(healthy.json("doctor", "--repair")["repaired"]) == 2
    assert not orphan.exists() and not lock.exists() and (healthy.workspace / "runs" / "local-1").exists()


def test_doctor_repairs_nothing_while_a_server_holds_the_workspace(healthy):
    host = Host(healthy.workspace)
    orphan = healthy.workspace / "runs" / "calm-newt-0000-1"
    orphan.mkdir()
    document = healthy.json("doctor")
    assert "held by a running process" in str(document) and ("ledger", "ok") in states(document)
    refused = healthy("doctor", "--repair")
    assert refused.returncode == 3 and refused.stdout == "" and "in use by process" in one_sentence(refused.stderr)
    assert orphan.exists() and host.stop() == 0


def test_doctor_of_nothing(shell):
    done = shell("doctor", "--workspace", "nowhere")
    assert done.returncode == 3 and done.stdout == "" and "nowhere" in one_sentence(done.stderr)
    assert not (shell.folder / "nowhere").exists()


def test_doctor_finds_a_trainer_that_is_missing_or_another(healthy):
    assert "is missing" in healthy("doctor", BITLOOP_TRAINER="/nowhere").stdout
    (healthy.folder / "trainer").write_text("#!/bin/sh\necho 9.9.9 abc\n")
    assert ("trainer", "problem") in states(healthy.json("doctor", code=1))


def test_doctor_names_a_missing_layer(healthy):
    document = healthy.json("doctor")
    missing = [check for check in document["checks"] if check["check"] == "sandbox" and check["state"] == "warning"]
    assert all("missing: " in check["detail"] and "--allow-degraded" in check["advice"] for check in missing)


def completions(shell, line):
    """What bash offers at the end of the line."""
    script = """eval "$("$1" completion bash)"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _bitloop; printf '%s\\n' "${COMPREPLY[@]}" """
    done = subprocess.run(["bash", "--norc", "-c", script, "bash", BIN / "bitloop", BIN / "bitloop", *line], capture_output=True, text=True,
                          env=shell.environment, cwd=shell.folder)
    assert done.stderr == "", done.stderr
    return done.stdout.split()


def test_bash_completes_commands_and_options(shell):
    assert {"serve", "results", "doctor", "replay"} <= set(completions(shell, [""]))
    assert completions(shell, ["re"]) == ["replay", "results"] or set(completions(shell, ["re"])) == {"results", "replay"}
    assert "supervise" not in completions(shell, [""]) and "complete" not in completions(shell, [""])
    assert completions(shell, ["results", "--best"]) == ["--best-per-bits"]
    assert completions(shell, ["data", ""]) == ["benchmarks", "prepare"]


def test_every_option_of_every_command_is_completed(shell):
    for command in completions(shell, [""]):
        help_text = shell(command, "--help").stdout
        wanted = set(re.findall(r"^  (?:-\w,)?(--[\w-]+)", help_text, re.M))
        assert wanted and wanted == set(completions(shell, [command, "--"])), command


def test_bash_completes_values(trained):
    assert completions(trained, ["completion", ""]) == ["bash", "zsh", "fish"]
    assert completions(trained, ["results", "--type", "l"]) == ["local"]
    assert completions(trained, ["results", "--sort", "val_"]) == ["val_loss", "val_bpb"]
    assert completions(trained, ["results", "--session", ""]) == ["local"]
    assert completions(trained, ["results", "--status", "st"]) == ["stopped_early"]
    assert completions(trained, ["show", "local/"]) == ["local/1", "local/2", "local/3"]
    assert completions(trained, ["replay", ""]) == ["local"]
    assert "quick-mls" in completions(trained, ["train", "idea.lua", "--preset", "quick"])
    assert completions(trained, ["train", "id"]) == ["idea.lua"]
    assert completions(trained, ["results", "--limit", ""]) == []
    other = trained.folder / "other"
    assert completions(trained, ["results", "--workspace", other, "--session", ""]) == []
    assert {"workspace", "idea.lua"} <= set(completions(trained, ["diff", "local/1", ""]))
    assert completions(trained, ["results", "--workspace", ""]) == ["workspace"]


def test_the_shells_take_the_scripts(shell):
    for name in ("bash", "zsh", "fish"):
        script = shell("completion", name)
        assert script.returncode == 0 and "complete -- " in script.stdout
    assert subprocess.run(["bash", "-n"], input=shell("completion", "bash").stdout, text=True, capture_output=True).stderr == ""
    assert shell("completion", "tcsh").returncode == 2


def test_replay_compares_bits(shell, session):
    same = shell.json("replay", session, "--allow-degraded")
    assert same["same"] and [test["test"] for test in same["tests"]] == [1]
    assert shell("replay", session, "--allow-degraded").stdout.startswith("test 1: the same bits (val_loss 2.125)\n")
    before = content(shell.workspace)
    # A supervisor whose numbers are off by the last bit.
    other = shell.folder / "other.py"
    other.write_text(pathlib.Path(FAKE).read_text().replace('"val_bpb": 3.3439', '"val_bpb": 3.3439000000000005'))
    other.chmod(0o755)
    different = shell("replay", f"{session}/1", "--allow-degraded", BITLOOP_SUPERVISOR=str(other))
    assert different.returncode == 1 and different.stdout.startswith(
        "test 1: DIFFERENT\n  val_bpb: 3.3439000000000005 was 3.3439\n")
    assert content(shell.workspace) == before


def test_replay_without_the_runs_folder(shell, session):
    for path in sorted((shell.workspace / "runs").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    document = shell.json("replay", session, "--allow-degraded")
    assert document["same"] and "job.json is gone" in document["tests"][0]["notes"][0]


def test_replay_of_the_command_lines_runs(trained):
    assert [test["test"] for test in trained.json("replay", "local", "--allow-degraded")["tests"]] == [1, 2]
    assert trained.json("replay", "local", "--test", "2", "--allow-degraded")["same"]
