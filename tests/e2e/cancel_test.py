"""Cancelling a test, running or waiting, and turns in the queue: over HTTP, with the fake supervisor."""

import time


def started(session, words="FAKE_SLEEP=20"):
    session.say(words)
    answer = session.post("/tests", {})
    assert answer.status == 202, answer.text
    return answer


def cancel(session, number=1, **more):
    return session.host.call("DELETE", f"{session.path}/tests/{number}", **more)


def wait_alive(session):
    deadline = time.time() + 30
    while not session.get("/tests/1/events.jsonl").text:
        assert time.time() < deadline, "it does not start"
        time.sleep(0.02)


def test_a_running_test_is_cancelled_and_stays_charged(host, session):
    started(session)
    wait_alive(session)
    answer = cancel(session)
    assert answer.status == 200 and answer["status"] == "cancelled", answer.text
    assert answer["tests_left"] == 2 and answer["metrics"]["val_loss"] is None
    assert session.get()["state"] == "open"
    assert [row["status"] for row in host.rows()] == ["cancelled"]
    assert cancel(session).json == answer.json  # asked again, answered again
    assert session.events().count("test-finished") == 1
    session.post("/undo", {})
    assert session.test()["status"] == "ok"


def test_a_waiting_test_is_cancelled_at_once(host):
    first, second = host.session(), host.session()
    started(first)
    wait_alive(first)
    assert started(second)["message"] == "[Test #1] running"
    assert second.get("/tests/1")["message"] == "[Test #1] running (waiting; 0 test(s) will start before it)"
    assert cancel(second)["status"] == "cancelled"
    assert not (host.workspace / "runs" / f"{second.id}-1").exists()
    assert first.get()["state"] == "testing"
    assert cancel(first)["status"] == "cancelled"


def test_an_adopted_test_is_cancelled(host, session):
    started(session)
    wait_alive(session)
    host.kill()
    host.start()
    assert session.get()["state"] == "testing"
    answer = cancel(session)
    assert answer["status"] == "cancelled", answer.text
    assert session.get()["tests_left"] == 2


def test_a_cancelled_test_says_nothing_of_its_candidate(host):
    session = host.session()
    session.say("FAKE_SLEEP=30")
    assert session.post("/tests", {}).status == 202
    assert cancel(session)["decision"]["advice"].startswith("Keep, and test again when it is worth another test")
    summary = session.get("/summary").json
    assert summary["candidate"]["same_as"] is None and "it is not one that was tested here" in summary["next"]


def test_what_has_ended_cannot_be_cancelled(session):
    session.test()
    answer = cancel(session)
    assert answer.status == 409 and answer["code"] == "test_ended"
    assert cancel(session, 2).status == 404
    assert cancel(session, "x").status == 404


def test_if_match_holds_for_it(session):
    started(session)
    assert cancel(session, headers={"If-Match": '"' + "0" * 40 + '"'}).status == 412
    assert session.get()["state"] == "testing"
    assert cancel(session, headers={"If-Match": f'"{session.head()}"'})["status"] == "cancelled"
