"""Bad input: each a 4xx problem with a stable code and a sentence, and nothing is changed."""

import concurrent.futures

import pytest

REPLACE = {"op": "replace", "path": "candidate.lua", "start_line": 3, "end_line": 3, "content": "x"}

BAD_EDITS = [
    ("not JSON", b'{"op": ', 400, "invalid_json"),
    ("not UTF-8", b'{"op": "\xff"}', 400, "invalid_json"),
    ("a list", b"[]", 422, "invalid_type"),
    ("deeply nested", b'{"op":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "invalid_json"),
    ("10 MB", b'{"op": "' + b"x" * 10_000_000 + b'"}', 413, "body_too_large"),
    ("a wrong type", {**REPLACE, "start_line": "3"}, 422, "invalid_type"),
    ("a fraction", {**REPLACE, "start_line": 3.5}, 422, "invalid_type"),
    ("a huge number", {**REPLACE, "start_line": 2**80}, 422, "invalid_value"),
    ("a number beyond all", b'{"op":"replace","path":"candidate.lua","start_line":1e999,"end_line":3}', 422, "invalid_value"),
    ("null", {**REPLACE, "content": None}, 422, "invalid_type"),
    ("an unknown field", {**REPLACE, "force": True}, 422, "unknown_field"),
    ("a field of another op", {**REPLACE, "old_str": "x"}, 422, "unknown_field"),
    ("a missing field", {"op": "replace", "path": "candidate.lua", "start_line": 3, "end_line": 3}, 422, "missing_field"),
    ("no op", {"path": "candidate.lua"}, 422, "missing_field"),
    ("an unknown op", {"op": "delete", "path": "candidate.lua"}, 422, "unknown_op"),
    ("path and filename", {**REPLACE, "filename": "candidate.lua"}, 422, "invalid_value"),
    ("a path outside", {**REPLACE, "path": "../../etc/passwd"}, 404, "file_not_found"),
    ("an absolute path", {**REPLACE, "path": "/etc/passwd"}, 404, "file_not_found"),
    ("a read-only file", {**REPLACE, "path": "program.md"}, 422, "file_read_only"),
    ("binary content", {**REPLACE, "content": "a\u0000b"}, 422, "invalid_text"),
    ("a lone surrogate", b'{"op":"replace","path":"candidate.lua","start_line":3,"end_line":3,"content":"\\ud800"}', 400, "invalid_json"),
    ("content too large", {**REPLACE, "content": "x" * 600_000}, 422, "content_too_large"),
    ("out of range", {**REPLACE, "end_line": 4000}, 422, "edit_out_of_range"),
    ("a negative line", {**REPLACE, "start_line": -5, "end_line": -1}, 422, "edit_out_of_range"),
    ("a marker", {**REPLACE, "content": "-- END EDITABLE"}, 422, "marker_in_content"),
    ("an unknown region", {"op": "rewrite", "path": "candidate.lua", "region": "nope", "content": ""}, 422, "unknown_region"),
]


@pytest.mark.parametrize("name, body, status, code", BAD_EDITS, ids=[case[0] for case in BAD_EDITS])
def test_a_bad_edit(session, name, body, status, code):
    if isinstance(body, dict) and body.get("start_line") == body.get("end_line") == 3:  # a line that may be edited
        body = {**body, "start_line": session.region()[0], "end_line": session.region()[0]}
    before = session.head()
    answer = session.post("/edits", **({"raw": body} if isinstance(body, bytes) else {"body": body}))
    assert answer.status == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert set(answer.json) >= {"type", "title", "status", "detail", "code"}
    assert answer["status"] == status and len(answer["detail"]) > 10
    if code:
        assert answer["code"] == code
    assert session.head() == before
    assert session.get("/files/candidate.lua").status == 200


@pytest.mark.parametrize("method, path, body, status, code", [
    ("GET", "/v1/sessions/none", None, 404, "session_not_found"),
    ("GET", "/v1/tasks/none", None, 404, "task_not_found"),
    ("GET", "/nowhere", None, 404, "route_not_found"),
    ("GET", "/v1/sessions/", None, 404, "route_not_found"),
    ("DELETE", "/v1/sessions", None, 405, "method_not_allowed"),
    ("PUT", "/healthz", {}, 405, "method_not_allowed"),
    ("OPTIONS", "/v1/sessions", None, 405, "method_not_allowed"),
    ("POST", "/v1/sessions", {}, 422, "missing_field"),
    ("POST", "/v1/sessions", {"task": "none"}, 404, "task_not_found"),
    ("POST", "/v1/sessions", {"task": "quick", "quantizer": "../ternary"}, 422, "unknown_quantizer"),
    ("POST", "/v1/sessions", {"task": "quick", "tests": 0}, 422, "invalid_value"),
    ("POST", "/v1/sessions", {"task": "quick", "tests": 1e30}, 422, "invalid_value"),
    ("POST", "/v1/sessions", {"task": "quick", "agent": "a\tb"}, 422, "invalid_text"),
    ("GET", "/v1/results?limits=3", None, 422, "unknown_field"),
])
def test_a_bad_request(host, method, path, body, status, code):
    answer = host.call(method, path, body)
    assert (answer.status, answer["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    if status == 405:
        assert "GET" in answer.headers["Allow"]
    assert host.get("/v1/sessions")["sessions"] == []


@pytest.mark.parametrize("path, body, status, code", [
    ("/tests/1", None, 404, "test_not_found"),
    ("/tests/x", None, 404, "test_not_found"),
    ("/tests/1?wait=x", None, 422, "invalid_type"),
    ("/tests/1/log.tsv", None, 404, "test_not_found"),
    ("/files/none.lua", None, 404, "file_not_found"),
    ("/files/..%2f..%2fetc%2fpasswd", None, 404, "file_not_found"),
    ("/files/candidate.lua?start_line=5000", None, 422, "invalid_range"),
    ("/files/candidate.lua?start_line=0", None, 422, "invalid_value"),
    ("/submission", {"test": 1}, 404, "test_not_found"),
    ("/submission", {"test": 0}, 422, "invalid_value"),
    ("/undo", {}, 422, "nothing_to_undo"),
    ("/undo", {"n": 0}, 422, "invalid_value"),
    ("/revert", {}, 422, "missing_field"),
    ("/revert", {"test": 1, "commit": "abcd"}, 422, None),
    ("/revert", {"test": 7}, 404, "test_not_found"),
    ("/revert", {"commit": "0123456789"}, 404, None),
    ("/revert", {"commit": "HEAD"}, 404, None),
    ("/tests", {"steps": 10}, 422, "unknown_field"),
])
def test_a_bad_call_on_a_session(session, path, body, status, code):
    before = session.head()
    answer = session.get(path) if body is None else session.post(path, body)
    assert answer.status == status, answer.text
    if code:
        assert answer["code"] == code
    assert session.head() == before


def test_a_body_that_is_not_declared_as_json(session):
    form = session.post("/tests", raw=b"a=1", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert form.status == 415 and form["code"] == "unsupported_media_type"
    parts = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n'
    multipart = session.post("/tests", raw=parts, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert multipart.status == 415
    assert session.get()["tests_left"] == 3


def test_a_body_cut_short(host, session):
    before = session.head()
    head = f"POST {session.path}/tests HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n"
    answer = host.raw(head.encode() + b'{"description": ', shutdown=True)
    assert answer == "" or "body_incomplete" in answer
    assert session.head() == before and session.get()["tests_left"] == 3


def test_a_post_without_any_body_answers_at_once(host, session):
    answer = host.raw(f"POST {session.path}/checks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith("HTTP/1.1 200")


def test_a_request_that_is_not_http(host):
    assert "400" in host.raw(b"NONSENSE\r\n\r\n").splitlines()[0]
    assert host.get("/healthz").status == 200


def test_a_compressed_bomb(session):
    import gzip
    before = session.head()
    answer = session.post("/edits", raw=gzip.compress(b" " * 50_000_000), headers={"Content-Encoding": "gzip"})
    assert 400 <= answer.status < 500
    assert session.head() == before


def test_while_a_test_runs_the_candidate_is_left_alone(session):
    session.say("FAKE_SLEEP=1.5")
    session.post("/tests", {})
    before = session.head()
    for path, body in [("/edits", REPLACE), ("/undo", {}), ("/revert", {"test": 1}), ("/tests", {}),
                       ("/submission", {"test": 1})]:
        answer = session.post(path, body)
        assert (answer.status, answer["code"]) == (409, "test_running"), path
    assert session.head() == before
    assert session.get("/files/candidate.lua").status == 200
    assert session.wait(1)["status"] == "ok"
    assert session.post("/undo", {}).status == 200


def test_two_clients_at_once_lose_nothing(session):
    first = session.region()[0]

    def insert(i):
        return session.edit(op="insert", after_line=first - 1, content=f"-- client {i}").status

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert set(pool.map(insert, range(64))) == {200}
    content = session.get("/files/candidate.lua")["content"]
    assert all(f"-- client {i}\n" in content for i in range(64))
    assert session.events().count("edit") == 64


def test_two_clients_start_one_test(session):
    session.say("FAKE_SLEEP=1")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(lambda _: session.post("/tests", {}).status, range(8)))
    assert statuses == [202] + [409] * 7
    session.wait(1)
    assert session.get()["tests_left"] == 2


@pytest.mark.parametrize("headers, code", [({"Host": "evil.example"}, "host_not_allowed"),
                                           ({"Host": "localhost.evil.example"}, "host_not_allowed"),
                                           ({"Origin": "http://evil.example"}, "origin_not_allowed"),
                                           ({"Origin": "null"}, "origin_not_allowed")])
def test_a_web_page_of_another_origin(session, headers, code):
    before = session.head()
    answer = session.post("/undo", {}, headers=headers)
    assert (answer.status, answer["code"]) == (403, code)
    assert session.head() == before
    assert session.get(headers={"Origin": session.host.url}).status == 200
