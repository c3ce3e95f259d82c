"""The conversation of an agent with bitloop, in the words agents know (design, section 6)."""

import re


def test_a_whole_session(host):
    created = host.post("/v1/sessions", {"task": "quick", "quantizer": "ternary", "agent": "tester", "tests": 3})
    assert created.status == 201
    assert created.headers["Location"] == f"/v1/sessions/{created['id']}"
    assert created["tests_left"] == 3
    paths = [file["path"] for file in created["files"]]
    assert paths[:4] == ["candidate.lua", "program.md", "lua.md", "model.md"]
    assert "quantizers/ternary.lua" in paths
    assert all(file["editable"] == [] for file in created["files"][1:])
    session = host.session()

    view = session.get("/files/candidate.lua")
    first, last = view["editable"][0]
    lines = view["content"].splitlines()
    assert view["view"].startswith("[Current file: candidate.lua | editable: ")
    assert f"{first - 1:6d}| -- BEGIN EDITABLE quantizer" in view["view"]
    part = session.get(f"/files/candidate.lua?start_line={first}&end_line={first + 1}")
    assert part["content"].splitlines() == lines[first - 1:first + 1]

    edited = session.edit(op="insert", after_line=first - 1, content="-- one\n-- two\n")
    assert edited["message"].startswith(f"OK: Inserted 2 line(s) after line {first - 1} in candidate.lua. Editable range: {first}–{last + 2}, ")
    assert edited["commit"] == session.head()
    replaced = session.edit(op="replace", start_line=first, end_line=first + 1, content="-- three")
    assert replaced["message"].startswith(f"OK: Replaced lines {first}..{first + 1} with 1 line(s) in candidate.lua. Editable range: {first}–{last + 1}, ")
    refused = session.edit(op="replace", start_line=last, end_line=last + 9, content="")
    assert refused.status == 422 and refused["code"] == "edit_out_of_range"
    assert refused["detail"].startswith(f"ERROR: Lines {last}..{last + 9} exceed the editable range. You may only edit lines {first}–{last + 1}, ")
    undone = session.post("/undo", {"n": 2})
    assert undone.status == 200
    assert session.get("/files/candidate.lua")["content"].splitlines() == lines

    assert session.edit(op="rewrite", region="config", content="local CONFIG_OVERRIDES = {}  -- FAKE_STATUS=script_error").status == 200
    failed = session.test(description="will fail")
    assert failed["status"] == "script_error"
    assert failed["message"].splitlines() == [
        "[Test #1] (2 tests remaining; call submit(n=N) to choose which test result to submit as final)",
        "### train (quick)",
        "Training metrics (last steps):",
        "TRAIN_METRICS: step=400, train_loss=2.2710, val_loss=2.3178",
        "### eval (quick)",
        "[FAILED script_error] candidate.lua:17: weight_quant must return codes, scale",
        "[Decision] unknown. Keep what can be mended, or undo: it ended as script_error and has no score.",
    ]
    assert failed["metrics"]["val_loss"] is None
    submitted = session.post("/submission", {"test": 1})
    assert submitted.status == 409 and submitted["code"] == "test_failed"

    assert session.edit(op="str_replace", old_str="  -- FAKE_STATUS=script_error", new_str="").status == 200
    check = session.post("/checks")
    assert check["ok"] is True and check["bits_per_weight"] == 1.585 and check["ms"] >= 0
    assert check["findings"] == [{"rule": "levels", "ok": True, "detail": "every code is a declared level"}]
    good = session.test(description="the idea")
    assert good["message"].splitlines()[0] == "[Test #2] (1 test remaining; call submit(n=N) to choose which test result to submit as final)"
    assert good["metrics"]["val_loss"] == 2.3178 and good["seed"] == 42

    session.say("worse")
    session.post("/revert", {"test": 2})
    assert "-- worse" not in session.get("/files/candidate.lua")["content"]
    third = session.test()
    assert third["decision"]["verdict"] == "inside_noise" and third["decision"]["against"]["test"] == 2
    assert third["decision"]["same_as"] == 2 and third["message"].splitlines()[-1].endswith(third["decision"]["advice"])
    assert third["message"].splitlines()[0] == "[Test #3] (0 tests remaining; submit is now mandatory: call submit(n=N))"
    none_left = session.post("/tests", {})
    assert none_left.status == 409 and none_left["code"] == "no_tests_left"

    final = session.post("/submission", {"n": 2})
    assert final.status == 200 and final["message"] == "[submit] Submitting result from test #2 as final."
    assert session.get()["state"] == "closed" and session.get()["submitted"] == 2
    for path, body in [("/edits", {"op": "insert", "path": "candidate.lua", "after_line": first, "content": "x"}),
                       ("/tests", {}), ("/undo", {}), ("/submission", {"test": 3}), ("/checks", {})]:
        closed = session.post(path, body)
        assert closed.status == 409 and closed["code"] == "session_closed", path

    rows = [row for row in host.rows() if row["session"] == session.id]
    assert [(row["test"], row["status"], row["submitted"]) for row in rows] == [
        ("1", "script_error", "false"), ("2", "ok", "true"), ("3", "ok", "false")]
    assert rows[0]["val_loss"] == "" and rows[1]["commit"] == good["commit"]
    assert rows[1]["description"] == "the idea" and rows[2]["description"] == "from the fake"
    assert host.get("/v1/results")["results"][1]["val_loss"] == 2.3178
    assert host.get("/v1/results.tsv").text == (host.workspace / "results.tsv").read_text()
    assert session.events() == ["session", "edit", "edit", "undo", "edit", "test-started", "test-finished", "edit", "check",
                                "test-started", "test-finished", "edit", "revert", "test-started", "test-finished",
                                "submission"]
    trailers = host.git("log", "-1", "--format=%(trailers)", f"sessions/{session.id}")
    assert f"Bitloop-Candidate: {good['commit']}" in trailers and "Bitloop-Test: 2" in trailers
    assert "Bitloop-Val-Loss: 2.3178" in trailers
    host.git("fsck", "--strict")


def test_the_log_and_the_records_of_a_test(session):
    session.test()
    assert session.get("/tests/1/log.tsv").text.startswith("step\tlambda\ttrain_loss\n")
    assert session.get("/tests/1/events.jsonl").text.startswith('{"type": "header"')


def test_the_general_calls(host):
    health = host.get("/healthz")
    assert health["status"] == "ok" and re.fullmatch(r"\d+\.\d+\.\d+", health["version"])
    assert {"layer", "state"} == set(health["sandbox"][0])
    tasks = {task["name"]: task for task in host.get("/v1/tasks")["tasks"]}
    assert tasks["quick"]["budget"]["tests"] == 3
    assert host.get("/v1/tasks/quick").json == tasks["quick"]
    api = host.get("/openapi.json")
    assert api["openapi"] == "3.1.0" and "/v1/sessions/{id}/files/{path}" in api["paths"]
    assert "bitloop" in host.get("/").text
    assert host.get("/mcp").status == 405


def test_fewer_tests_but_never_more(host):
    session = host.session(tests=1)
    assert session.get()["tests_left"] == 1
    more = host.post("/v1/sessions", {"task": "quick", "tests": 4})
    assert more.status == 422 and more["code"] == "too_many_tests"


def test_a_repeated_request_with_a_key_is_done_once(session):
    first = session.post("/tests", {}, headers={"Idempotency-Key": "a"})
    again = session.post("/tests", {}, headers={"Idempotency-Key": "a"})
    assert (first.status, first.json) == (again.status, again.json)
    other = session.post("/tests", {"description": "x"}, headers={"Idempotency-Key": "a"})
    assert other.status == 422 and other["code"] == "key_reused"
    session.wait(1)
    assert session.get()["tests_left"] == 2


def test_an_edit_from_an_old_view_is_refused(session):
    seen = session.get("/files/candidate.lua").headers["ETag"]
    first = session.region()[0]
    body = {"op": "insert", "path": "candidate.lua", "after_line": first - 1, "content": "-- a"}
    assert session.post("/edits", body, headers={"If-Match": seen}).status == 200
    stale = session.post("/edits", body, headers={"If-Match": seen})
    assert stale.status == 412 and stale["code"] == "commit_mismatch"
