"""Server-sent events: the journal's story as it happens, from any point of it, to a thousand listeners."""

import concurrent.futures
import resource
import threading
import time

from bitloop import Host
from events import Stream

JOURNALED = ("session", "edit", "undo", "revert", "check", "test-started", "test-finished", "submission")


def journaled(events):
    return [event for event in events if event.kind in JOURNALED]


def test_the_whole_story_of_a_session(host, session):
    session.say("FAKE_SLEEP=1")
    session.post("/checks")
    stream = Stream(host, f"{session.path}/events").open()
    assert stream.headers["content-type"] == "text/event-stream"
    assert stream.headers["transfer-encoding"] == "chunked" and stream.headers["cache-control"] == "no-store"
    seen = stream.until("check")
    session.test(description="an idea")
    session.post("/submission", {"test": 1})
    seen += list(stream)
    assert stream.ended and stream.retry > 0

    history = session.get()["history"]
    story = journaled(seen)
    assert [event.kind for event in story] == [item["event"] for item in history]
    assert [event.last_id for event in story] == [item["commit"] for item in history]
    assert all(event.has_id and event.json["commit"] == event.last_id for event in story)
    for event, item in zip(story, history):
        assert event.json["session"] == session.id
        assert {name: event.json[name] for name in item} == item
    by_kind = {event.kind: event.json for event in story}
    assert by_kind["session"]["task"] == "quick" and by_kind["session"]["quantizer"] == "ternary"
    assert by_kind["check"]["status"] == "ok" and by_kind["check"]["bits_per_weight"] == 1.585
    assert by_kind["test-started"]["description"] == "an idea"
    finished = by_kind["test-finished"]
    assert finished["status"] == "ok" and finished["test"] == 1
    assert finished["metrics"] == session.get("/tests/1")["metrics"]

    steps = [event for event in seen if event.kind == "step"]
    assert [event.json["step"] for event in steps] == [40 * i for i in range(1, 11)]
    assert not any(event.has_id for event in steps)
    assert steps[0].json["train_loss"] == 4.75 and steps[0].json["test"] == 1 and steps[0].json["session"] == session.id
    kinds = [event.kind for event in seen]
    assert kinds.index("test-started") < kinds.index("step")
    assert kinds.index("test-finished") == len(kinds) - 2  # after its last step


def test_coming_back_after_any_event(host, session):
    for i in range(6):
        session.say(f"edit {i}")
    ids = [item["commit"] for item in session.get()["history"]]
    path = f"{session.path}/events"
    for heard in range(1, len(ids)):
        follow = Stream(host, path, last=ids[heard - 1])
        assert [next(iter(follow)).last_id for _ in ids[heard:]] == ids[heard:]
        follow.close()
    by_query = Stream(host, f"{path}?last_event_id={ids[3]}")
    assert next(iter(by_query)).last_id == ids[4]
    both = Stream(host, f"{path}?last_event_id={ids[3]}", last=ids[5])  # the header is newer
    assert next(iter(both)).last_id == ids[6]
    for unknown in ("f" * 40, "nonsense", "x" * 3000):
        assert next(iter(Stream(host, path, last=unknown))).last_id == ids[0]
    host.stop()
    host.start()
    after = Stream(host, path, last=ids[4])
    assert [next(iter(after)).last_id for _ in range(2)] == ids[5:7]
    session.say("after the restart")
    assert next(iter(after)).last_id == session.head()


def test_only_what_is_to_come(host, session):
    session.say("before")
    stream = Stream(host, "/v1/events?last_event_id=now").open()
    while not stream.last_id:  # a client that is cut off here comes back to here
        stream.text += stream.chunk().decode()
        if "\n\n" in stream.text:
            assert f"id: {session.head()}\n" in stream.text
            break
    session.say("after")
    event = next(iter(stream))
    assert event.last_id == session.head() and event.kind == "edit"


def test_all_sessions_in_one_order_that_survives_a_restart(host):
    listener = Stream(host, "/v1/events")
    sessions = [host.session() for _ in range(4)]

    def edits(session):
        for i in range(12):
            session.say(f"edit {i}")

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(edits, sessions))
    live = [next(iter(listener)) for _ in range(4 * 13)]
    for session in sessions:
        own = [event.last_id for event in live if event.json["session"] == session.id]
        assert own == [item["commit"] for item in session.get()["history"]]
    numbers = [int(host.git("log", "-1", "--format=%(trailers:key=Bitloop-Sequence,valueonly)", event.last_id)) for event in live]
    assert numbers == sorted(set(numbers))
    host.kill()
    host.start()
    ids = [event.last_id for event in live]
    again = Stream(host, "/v1/events")
    assert [next(iter(again)).last_id for _ in ids] == ids
    part = Stream(host, "/v1/events", last=ids[20])
    assert [next(iter(part)).last_id for _ in ids[21:]] == ids[21:]
    sessions[0].say("more")
    assert next(iter(part)).last_id == next(iter(again)).last_id == sessions[0].head()


def test_the_events_of_an_adopted_run(host, session):
    session.say("FAKE_HOLD=go")
    session.post("/tests")
    while '"step"' not in session.get("/tests/1/events.jsonl").text:
        time.sleep(0.05)
    host.kill()
    host.start()
    stream = Stream(host, "/v1/events?last_event_id=now").open()
    (host.workspace / "go").touch()
    seen = stream.until("test-finished")
    assert [event.json["test"] for event in seen if event.kind == "step"]
    assert seen[-1].json["status"] == "ok"


def test_a_closed_session_has_no_more(host, session):
    session.test()
    session.post("/submission", {"test": 1})
    stream = Stream(host, f"{session.path}/events")
    ids = [event.last_id for event in stream]
    assert stream.ended and ids == [item["commit"] for item in session.get()["history"]]
    back = Stream(host, f"{session.path}/events", last=ids[-1]).open()
    assert back.status == 204
    assert [event.last_id for event in Stream(host, f"{session.path}/events", last=ids[-2])] == ids[-1:]


def test_what_is_refused(host, session):
    assert host.get("/v1/sessions/nobody/events")["code"] == "session_not_found"
    assert session.get("/events?since=1")["code"] == "unknown_field"
    assert session.post("/events").status == 405
    assert host.call("HEAD", f"{session.path}/events").status == 200
    get = host.get("/openapi.json")["paths"]["/v1/sessions/{id}/events"]["get"]
    assert list(get["responses"]["200"]["content"]) == ["text/event-stream"]


def test_no_compression(host, session):
    stream = Stream(host, f"{session.path}/events", headers=["Accept-Encoding: gzip, br"])
    assert next(iter(stream)).kind == "session" and "content-encoding" not in stream.headers


def test_text_of_an_agent_stays_inside_its_event(host):
    session = host.session(agent="a id: 1 <b>")
    first = session.region()[0]
    description = "one\n\nid: forged\nevent: forged\ndata: {}\r\n\r\ntwo"
    assert session.edit(op="insert", after_line=first - 1, content="-- x", description=description).status == 200
    stream = Stream(host, f"{session.path}/events")
    seen = stream.until("edit")
    assert [event.kind for event in seen] == ["session", "edit"] and seen[-1].last_id == session.head()
    assert "forged" in seen[-1].json["description"] and seen[0].json["agent"] == "a id: 1 <b>"


def test_a_slow_reader_is_cut_off_and_holds_up_nobody(host, session):
    slow = Stream(host, f"{session.path}/events", receive_buffer=4096, timeout=120)
    quick = Stream(host, f"{session.path}/events").open()
    edits, first = 260, session.region()[0]
    for i in range(edits):  # more than what the kernel keeps for the one who does not read
        answer = session.edit(op="replace", start_line=first, end_line=first, content=f"-- {i}", description="x" * 4000)
        assert answer.status == 200
    heard = [next(iter(quick)) for _ in range(edits + 1)]
    assert heard[-1].last_id == session.head()
    while is_connected(host, slow):
        time.sleep(0.1)
    got = 0
    try:
        for _ in slow:
            got += 1
    except (EOFError, ConnectionError):
        pass
    assert not slow.ended and got < edits


def is_connected(host, stream):
    """Whether the server still has the connection: its end is in the kernel's table as established."""
    ours = stream.connection.getsockname()[1]
    with open(f"/proc/{host.process.pid}/net/tcp") as table:
        for line in list(table)[1:]:
            _, local, remote, state, *_ = line.split()
            if int(local.split(":")[1], 16) == host.port and int(remote.split(":")[1], 16) == ours:
                return state == "01"
    return False


def test_a_thousand_listeners_starve_nobody(host, session):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    listeners = [Stream(host, f"{session.path}/events" if i % 2 else "/v1/events") for i in range(1000)]
    for listener in listeners:
        assert next(iter(listener)).kind == "session"
    edits = 20
    for i in range(edits):
        assert session.say(f"edit {i}").status == 200
    session.test()
    assert host.get("/healthz").status == 200
    ids = [item["commit"] for item in session.get()["history"]]

    def follow(listener):
        heard = [listener.last_id]
        while heard[-1] != ids[-1]:
            event = next(iter(listener))
            if event.has_id:
                heard.append(event.last_id)
        return heard

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(heard == ids for heard in pool.map(follow, listeners))
    assert host.stop() == 0
    for listener in listeners:
        assert list(listener) == [] and listener.ended


def test_more_streams_than_there_is_room_for(tmp_path):
    # With few files allowed to the server there are few streams; calls still find a place.
    with Host(tmp_path / "workspace", files=820) as host:
        session = host.session()
        open_streams = [Stream(host, f"{session.path}/events").open() for _ in range(20)]
        assert all(stream.status == 200 for stream in open_streams)
        refused = host.get(f"{session.path}/events")
        assert refused.status == 503 and refused["code"] == "too_many_streams" and int(refused.headers["Retry-After"]) > 0
        assert session.say("an edit").status == 200
        assert host.stop() == 0


def test_the_end_of_the_server_ends_the_streams(host, session):
    session.say("FAKE_SLEEP=5")
    session.post("/tests")
    streams = [Stream(host, path) for path in (f"{session.path}/events", "/v1/events")]
    for stream in streams:
        stream.until("test-started")
    assert host.stop() == 0
    for stream in streams:
        list(stream)
        assert stream.ended


def test_listeners_who_come_and_go(host, session):
    """Nobody who leaves in the middle disturbs the others."""
    stop = threading.Event()

    def visit(_):
        while not stop.is_set():
            visitor = Stream(host, "/v1/events")
            next(iter(visitor))
            visitor.close()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        visits = [pool.submit(visit, i) for i in range(4)]
        faithful = Stream(host, f"{session.path}/events")
        for i in range(30):
            assert session.say(f"edit {i}").status == 200
        stop.set()
        for future in visits:
            future.result()
    heard = [next(iter(faithful)).last_id for _ in range(31)]
    assert heard == [item["commit"] for item in session.get()["history"]]
