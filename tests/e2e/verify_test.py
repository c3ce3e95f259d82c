"""`bitloop verify`: a submission under seeds that its agent did not know, and the table that shows both."""

import json
import os
import signal
import subprocess
import time

import pytest

from bitloop import BIN, FAKE, Host


class Shell:
    """Runs bitloop on one workspace, with the fake supervisor."""

    def __init__(self, workspace):
        self.workspace = workspace
        self.environment = {**os.environ, "BITLOOP_SUPERVISOR": FAKE, "BITLOOP_WORKSPACE": str(workspace)}

    def start(self, *words):
        return subprocess.Popen([BIN / "bitloop", *map(str, words)], env=self.environment, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def __call__(self, *words):
        done = self.start(*words)
        done.output, done.errors = done.communicate(timeout=120)
        return done

    def json(self, *words, code=0):
        done = self(*words, "--json")
        assert done.returncode == code, done.output + done.errors
        return json.loads(done.output)

    def verify(self, *words, code=0):
        return self.json("verify", *words, "--allow-degraded", code=code)


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path / "workspace")


def submitted(shell, words=None, submit=True):
    """The session of an agent that put `words` into its candidate, tested it and submitted it."""
    with Host(shell.workspace) as host:
        session = host.session()
        if words:
            session.say(words)
        assert session.test()["status"] == "ok"
        if submit:
            assert session.post("/submission", {"test": 1}).status == 200
        assert host.stop() == 0
    return session.id


def test_a_score_that_does_not_depend_on_the_seed_holds(shell):
    name = submitted(shell)
    document = shell.verify(name)
    assert document["standing"] == "holds" and document["difference"] == 0
    assert document["submitted"]["seed"] == 42 and document["session"] == name and document["test"] == 1
    seeds = [run["seed"] for run in document["runs"]]
    assert len(set(seeds)) == 3 and 42 not in seeds and max(seeds) > 10_000
    said = shell("verify", name, "--allow-degraded").output
    assert "submitted  seed         42  val_loss 2.3178" in said and "The score holds" in said


def test_a_lucky_score_is_named_and_the_table_shows_both(shell):
    # The fake's loss grows with the seed: under 42 it is as low as it gets.
    name = submitted(shell, "FAKE_LOSS=1.75")
    document = shell.verify(name, "--seeds", "2", code=1)
    assert document["standing"] == "lucky" and document["difference"] > document["noise"]

    rows = shell.json("results")["results"]
    assert [row["type"] for row in rows] == ["agent", "verify", "verify"]
    assert rows[0]["val_loss"] == 1.75 and rows[0]["verified"]["runs"] == 2
    assert rows[0]["verified"]["val_loss"] == pytest.approx(sum(row["val_loss"] for row in rows[1:]) / 2)
    assert rows[1]["verified"] is None and rows[1]["description"] == f"verifies {name}/1"
    header, first, *_ = shell("results").output.splitlines()
    assert "verified" in header and f"{rows[0]['verified']['val_loss']:.4f} ±" in first


def test_the_table_has_no_such_column_before(shell):
    submitted(shell)
    assert "verified" not in shell("results").output


def test_seeds_are_the_workspaces_secret_and_of_the_submission_alone(shell, tmp_path):
    first = shell.verify(submitted(shell))
    second = shell.verify(submitted(shell))  # the same candidate by another session
    other = Shell(tmp_path / "other")
    elsewhere = other.verify(submitted(other))
    seeds = [{run["seed"] for run in document["runs"]} for document in (first, second, elsewhere)]
    assert not seeds[0] & seeds[1] and not seeds[0] & seeds[2]
    assert (shell.workspace / "verification.key").stat().st_mode & 0o777 == 0o600


def test_it_goes_on_where_it_stopped(shell):
    name = submitted(shell, "FAKE_SLEEP=1")
    running = shell.start("verify", name, "--seeds", "3", "--allow-degraded")
    deadline = time.time() + 60
    while time.time() < deadline and sum(row["type"] == "verify" for row in shell.json("results")["results"]) < 1:
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == -signal.SIGINT
    before = [row for row in shell.json("results")["results"] if row["type"] == "verify" and row["status"] == "ok"]
    assert 1 <= len(before) < 3
    document = shell.verify(name)
    after = [row for row in shell.json("results")["results"] if row["type"] == "verify" and row["status"] == "ok"]
    assert len(after) == 3 and after[:len(before)] == before and document["hidden"]["runs"] == 3
    # More seeds begin with these.
    wider = shell.verify(name, "--seeds", "4")
    assert wider["runs"][:3] == document["runs"]


def test_what_cannot_be_verified(shell):
    name = submitted(shell, submit=False)
    for words, part in [([name], "has submitted nothing yet"), ([f"{name}/7"], "7"), (["nobody"], "nobody")]:
        done = shell("verify", *words, "--allow-degraded")
        assert done.returncode in (2, 3) and done.output == ""
        assert part in done.errors and done.errors.count("\n") == 1, done.errors
    assert shell.verify(f"{name}/1")["standing"] == "holds"  # a test by its number
    done = shell("verify", "verify", "--allow-degraded")
    assert done.returncode == 2 and "bitloop compare" in done.errors


def test_beside_a_server_it_says_what_to_do(shell):
    name = submitted(shell)
    with Host(shell.workspace) as host:
        done = shell("verify", name, "--allow-degraded")
        assert done.returncode == 3 and done.errors.count("\n") == 1 and f"bitloop verify {name} --url http" in done.errors
        assert host.get("/v1/results").status == 200


def verify_runs(shell):
    return [row for row in shell.json("results")["results"] if row["type"] == "verify"]


def test_a_server_trains_them_beside_its_agents(shell):
    name = submitted(shell, "FAKE_LOSS=1.75")
    with Host(shell.workspace) as host:
        document = shell.json("verify", name, "--url", host.url, "--seeds", "2", code=1)
        assert document["standing"] == "lucky" and document["difference"] > document["noise"] and document["notes"] == []
        assert [run["status"] for run in document["runs"]] == ["ok", "ok"] and document["runs"][0]["test"] == "verify/1"
        assert "The score was luck" in shell("verify", name, "--url", host.url, "--seeds", "2").output
        assert host.get(f"/v1/sessions/{name}/verification?seeds=2").json == document
        assert len(verify_runs(shell)) == 2  # what was trained is not trained again
        session = host.session()
        assert session.test()["status"] == "ok"
        assert host.stop() == 0
    assert shell.verify(name, "--seeds", "2", code=1) == document  # the same without a server


def test_what_a_server_was_killed_at_goes_on(shell):
    name = submitted(shell, "FAKE_SLEEP=1")
    path = f"/v1/sessions/{name}/verification"
    with Host(shell.workspace) as host:
        begun = host.post(path, {})
        assert begun.status == 202 and begun["standing"] == "undecided"
        assert [run["status"] for run in begun["runs"]] == ["running"] * 3
        assert host.post(path, {})["runs"] == begun["runs"]  # asked twice, begun once
        host.kill()
    with Host(shell.workspace) as host:
        document = shell.json("verify", name, "--url", host.url)
        assert document["standing"] == "holds" and document["hidden"]["runs"] == 3
        assert host.stop() == 0
    assert sum(row["status"] == "ok" for row in verify_runs(shell)) == 3


def test_a_servers_runs_can_be_taken_back(shell):
    name = submitted(shell, "FAKE_SLEEP=30")
    path = f"/v1/sessions/{name}/verification"
    with Host(shell.workspace) as host:
        assert host.call("DELETE", path).json["runs"] == [{"seed": run["seed"], "test": None, "status": None, "val_loss": None}
                                                          for run in host.get(path)["runs"]]  # there was nothing to end
        waiting = shell.start("verify", name, "--seeds", "4", "--url", host.url)
        deadline = time.monotonic() + 60
        while all(run["status"] is None for run in host.get(path)["runs"]) and time.monotonic() < deadline:
            time.sleep(0.05)  # until it has asked
        assert [run["status"] for run in host.post(path, {"seeds": 4})["runs"]] == ["running"] * 4  # one that is alive, and what waits
        document = shell.json("verify", name, "--url", host.url, "--cancel")
        assert [run["status"] for run in document["runs"]] == ["cancelled"] * 3 and document["standing"] == "undecided"
        assert {row["status"] for row in verify_runs(shell)} == {"cancelled"} and len(verify_runs(shell)) == 4  # also the one it does not show
        _, errors = waiting.communicate(timeout=30)
        assert waiting.returncode != 0 and "cancelled the verification with 0 of 4 runs done" in errors and errors.count("\n") == 1
        said = shell("verify", name, "--url", host.url, "--cancel").output
        assert "cancelled" in said and "by no run yet" in said and "failed" not in said
        assert [run["status"] for run in host.post(path, {"seeds": 1})["runs"]] == ["running"]  # asked anew, trained anew
        assert host.call("DELETE", path + "?seeds=1")["runs"][0]["status"] == "cancelled"
        assert host.stop() == 0
    done = shell("verify", name, "--cancel")
    assert done.returncode == 2 and "--url" in done.errors


def test_what_a_server_does_not_verify(shell):
    name = submitted(shell, submit=False)
    with Host(shell.workspace) as host:
        for path, status, code in [(name, 409, "not_submitted"), ("nobody", 404, "session_not_found")]:
            for refused in (host.post(f"/v1/sessions/{path}/verification", {}), host.get(f"/v1/sessions/{path}/verification")):
                assert refused.status == status and refused["code"] == code
        assert host.post(f"/v1/sessions/{name}/verification", {"seeds": 0})["code"] == "invalid_value"
        for words, part in [([name], "has submitted nothing yet"), ([f"{name}/1"], "give its name alone"), (["nobody"], "no session 'nobody'")]:
            done = shell("verify", *words, "--url", host.url)
            assert done.returncode == 2 and part in done.errors and done.errors.count("\n") == 1, done.errors
        assert host.stop() == 0
    done = shell("verify", name, "--url", host.url)
    assert done.returncode == 3 and "No answer from the server" in done.errors


def test_scores_of_another_program_are_told(shell, tmp_path):
    """A preset that was changed since is not what the score is compared under, and another version is named."""
    name = submitted(shell)
    document = shell.verify(name)
    assert document["notes"] == []
    job = json.loads((shell.workspace / "runs" / f"{name}-1" / "job.json").read_text())
    job["preset"]["train"]["steps"] += 1
    (shell.workspace / "runs" / f"{name}-1" / "job.json").write_text(json.dumps(job))
    shell.verify(name)
    assert len(verify_runs(shell)) == 6  # of another preset: other runs
    trained = json.loads((shell.workspace / "runs" / "verify-6" / "job.json").read_text())
    assert trained["preset"] == job["preset"]


def test_what_the_agent_sees_is_unchanged(shell):
    name = submitted(shell)
    shell.verify(name)
    with Host(shell.workspace) as host:
        assert host.get(f"/v1/sessions/{name}")["state"] == "closed"
        refused = host.post("/v1/sessions/verify/tests", {})
        assert refused.status == 403 and refused["code"] == "session_read_only"
        assert {row["type"] for row in host.get("/v1/results")["results"]} == {"agent", "verify"}
