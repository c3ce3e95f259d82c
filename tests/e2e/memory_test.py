"""What a session remembers for its agent: decisions, the summary, warnings, forks, tags; and an agent that can be killed."""

import json

import pytest

from bitloop import Session


def idea(session, words, **fields):
    """One turn of the loop: says words to the fake supervisor in the config region, and tests them."""
    edited = session.edit(op="rewrite", region="config", content=f"local CONFIG_OVERRIDES = {{}}  -- {words}")
    assert edited.status == 200, edited.text
    return session.test(description=words, **fields)


def test_a_test_says_better_worse_or_inside_the_noise(host, session):
    floor = host.get("/v1/tasks/quick")["noise_floor"]
    first = idea(session, "FAKE_LOSS=2.40")
    decision = first["decision"]
    assert decision["verdict"] == "first" and decision["against"] is None and decision["difference"] is None
    assert 2.7 * floor < decision["noise"] < 3 * floor  # t times the root of two
    assert [baseline["name"] for baseline in decision["baselines"]][0] == "ternary"
    assert all(set(baseline) == {"name", "val_loss", "difference", "verdict"} for baseline in decision["baselines"])

    inside = idea(session, "FAKE_LOSS=2.39")
    assert inside["decision"]["verdict"] == "inside_noise"
    assert inside["decision"]["against"] == {"test": 1, "val_loss": 2.4, "bits_per_weight": 1.585}
    assert inside["decision"]["difference"] == pytest.approx(-0.01)
    assert "Revert to test #1 (POST …/revert {\"test\": 1})" in inside["decision"]["advice"]
    assert session.get()["best"] == 1

    better = idea(session, "FAKE_LOSS=2.30")
    assert better["decision"]["verdict"] == "better" and better["decision"]["advice"].startswith("Keep")
    last = better["message"].splitlines()[-1]
    assert last.startswith("[Decision] better than test #1: val_loss -0.1000 (noise ±0.02") and last.endswith(better["decision"]["advice"])
    assert session.get()["best"] == 3

    before = session.get()["tests"]
    host.kill()
    host.start()
    assert session.get()["tests"] == before  # from the journal alone


def test_bits_count_too(session):
    idea(session, "FAKE_LOSS=2.40")
    smaller = idea(session, "FAKE_LOSS=2.41 FAKE_BITS=1")
    assert smaller["decision"]["verdict"] == "inside_noise" and smaller["decision"]["advice"].startswith("Keep: the loss cannot be")
    traded = idea(session, "FAKE_LOSS=2.20 FAKE_BITS=2")
    assert traded["decision"]["verdict"] == "trade_off" and traded["decision"]["against"]["test"] == 2


def test_the_summary_is_all_that_an_agent_needs(host, session):
    empty = session.get("/summary")
    assert empty.status == 200 and empty["ideas"] == [] and empty["best"] is None and empty["next"].startswith("Check the candidate")
    idea(session, "FAKE_LOSS=2.30")
    idea(session, "FAKE_LOSS=2.50")
    summary = session.get("/summary")
    assert (summary["session"], summary["task"], summary["tests_left"]) == (session.id, "quick", 1)
    assert [(each["test"], each["verdict"]) for each in summary["ideas"]] == [(2, "worse"), (1, "first")]
    assert summary["ideas"][0]["diff"] == {
        "added": 1, "removed": 1,
        "lines": ["-local CONFIG_OVERRIDES = {}  -- FAKE_LOSS=2.30", "+local CONFIG_OVERRIDES = {}  -- FAKE_LOSS=2.50"]}
    assert summary["best"]["test"] == 1 and summary["candidate"]["same_as"] == 2
    assert summary["next"].startswith("The candidate is that of test #2. Revert to test #1")
    session.post("/revert", {"test": 1})
    assert session.get("/summary")["candidate"]["same_as"] == 1
    session.edit(op="rewrite", region="config", content="local CONFIG_OVERRIDES = {}\n" + "-- \"\\\n" * 300)
    idea(session, "x" * 4000)
    session.edit(op="rewrite", region="config", content="local CONFIG_OVERRIDES = {}\n" + "-- \"\\\n" * 300)
    full = session.get("/summary")
    assert len(full.text.encode()) <= 16 * 1024 and full["next"].startswith("Submit the best test, #1")
    assert host.get("/v1/sessions/nobody/summary")["code"] == "session_not_found"


def test_a_repeated_idea_is_warned_of_before_it_costs_a_test(host, session):
    start = session.region()[0]
    new = session.edit(op="insert", after_line=start - 1, content="local unused = 1")
    assert new["warnings"] == []
    session.test()
    comment = session.edit(op="insert", after_line=start - 1, content="--[[ why\n not ]]")
    assert len(comment["warnings"]) == 2 and comment["warnings"][0].startswith("This edit changes comments")
    assert "test #1 (val_loss 2.3178)" in comment["warnings"][1]
    same = session.edit(op="replace", start_line=start, end_line=start, content="--[[ why")
    assert same["warnings"][0].startswith("This edit changes nothing")
    host.kill()
    host.start()
    other = host.session()
    found = other.edit(op="insert", after_line=start - 1, content="local   unused=1 -- mine")
    assert len(found["warnings"]) == 1 and f"test #1 of session {session.id} (val_loss 2.3178)" in found["warnings"][0]
    assert host.session(task="tiny").edit(op="insert", after_line=start - 1, content="local unused = 1")["warnings"] == []


def test_a_session_forks_from_a_test(host, session):
    session.say("parent")
    session.test()
    session.say("later")
    fork = host.post("/v1/sessions", {"from": f"{session.id}/1", "agent": "other"})
    assert fork.status == 201 and fork["task"] == "quick" and fork["forked_from"] == f"{session.id}/1" and fork["tests_left"] == 3
    child = Session(host, fork["id"])
    content = child.get("/files/candidate.lua")["content"]
    assert "-- parent" in content and "-- later" not in content
    assert f"Bitloop-Fork-Of: {session.id}/1" in host.git("log", "-1", "--format=%(trailers)", f"sessions/{child.id}")
    child.say("on its own")
    assert child.test()["status"] == "ok"
    for body, code in [({}, "missing_field"), ({"from": session.id}, "invalid_value"), ({"from": f"{session.id}/9"}, "test_not_found"),
                       ({"from": f"{session.id}/1", "quantizer": "ternary"}, "invalid_value"),
                       ({"from": f"{session.id}/1", "task": "tiny"}, "invalid_value")]:
        assert host.post("/v1/sessions", body)["code"] == code, body
    fields = host.get("/openapi.json")["paths"]["/v1/sessions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "from" in fields["properties"] and "task" not in fields.get("required", [])


def test_tags_are_set_found_and_taken_away(host, session):
    other = host.session()
    session.test()
    assert session.post("/tags", {"tag": "median"})["tags"] == [{"tag": "median", "test": None}]
    tagged = session.post("/tags", {"tag": "good", "test": 1})
    assert tagged["commit"] == session.head() and tagged.headers["ETag"] == f'"{session.head()}"'
    listed = lambda tag: [each["id"] for each in host.get(f"/v1/sessions?tag={tag}")["sessions"]]
    assert listed("good") == [session.id] and listed("none") == []
    assert other.get()["tags"] == [] and len(session.get()["tags"]) == 2
    assert session.get("/summary")["tags"] == ["median"] and session.get("/summary")["ideas"][0]["tags"] == ["good"]
    assert host.call("DELETE", session.path + "/tags/good")["code"] == "tag_not_found"  # that is the session's
    assert host.call("DELETE", session.path + "/tags/good?test=1").status == 200
    assert host.call("DELETE", session.path + "/tags/good?test=1").status == 404
    assert session.post("/tags", {"tag": "two words"}).status == 422
    assert session.events()[-3:] == ["tag", "tag", "untag"]
    first = session.post("/tags", {"tag": "once"}, headers={"Idempotency-Key": "k"})
    host.kill()
    host.start()
    assert session.post("/tags", {"tag": "once"}, headers={"Idempotency-Key": "k"}).json == first.json


def test_a_key_of_a_delete_stands_for_its_path_and_query(host, session):
    session.test()
    for tag, test in (("a", None), ("b", None), ("a", 1)):
        session.post("/tags", {"tag": tag, "test": test} if test else {"tag": tag})
    untag = lambda what: host.call("DELETE", f"{session.path}/tags/{what}", headers={"Idempotency-Key": "k"})
    first = untag("a")
    assert first.status == 200
    for restarted in (False, True):
        if restarted:
            host.kill()
            host.start()
        assert untag("a").json == first.json
        assert untag("b")["code"] == "key_reused" and untag("a?test=1")["code"] == "key_reused"
    assert [each["tag"] for each in session.get()["tags"]] == ["b", "a"]


class Agent:
    """An agent without a memory: each step begins with GET /v1/sessions/{id} and knows nothing else."""

    IDEAS = ["FAKE_LOSS=2.50 FAKE_SLEEP=0.2", "FAKE_LOSS=2.60 FAKE_SLEEP=0.2", "FAKE_LOSS=2.30 FAKE_SLEEP=0.2"]

    def step(self, host, name):
        session = Session(host, name)
        state = session.get()
        if state["state"] == "closed":
            return False
        if state["state"] == "testing":
            session.get(f"/tests/{state['tests'][-1]['test']}?wait=30")
            return True
        last = state["history"][-1]["event"]
        if last == "test-finished" and state["tests"][-1]["decision"]["advice"].startswith("Revert"):
            assert session.post("/revert", {"test": state["best"]}).status == 200
        elif last in ("session", "test-finished", "revert") and state["tests_left"] > 0:
            words = self.IDEAS[sum(test["status"] == "ok" for test in state["tests"])]
            assert session.edit(op="rewrite", region="config", content=f"local CONFIG_OVERRIDES = {{}}  -- {words}").status == 200
        elif last == "edit":
            assert session.post("/checks")["ok"] is True
        elif last == "check":
            assert session.post("/tests", {"description": "step"}).status == 202
        else:
            assert session.post("/submission", {"test": state["best"]}).status == 200
        return True


def test_an_agent_killed_at_any_point_goes_on_from_its_session_alone(host):
    session = host.session()
    for steps in range(60):
        if steps % 4 == 3:  # the server goes down with it
            host.kill()
            host.start()
        if not Agent().step(host, session.id):
            break
    state = session.get()
    assert state["state"] == "closed" and state["submitted"] == state["best"]
    scored = [test for test in state["tests"] if test["status"] == "ok"]
    assert [test["decision"]["verdict"] for test in scored] == ["first", "worse", "better"]
    assert json.dumps(state["tests"]) == json.dumps(session.get()["tests"])
    host.git("fsck", "--strict")
