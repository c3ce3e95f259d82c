"""The dashboard in Chromium: what people see, and that nothing an agent wrote is anything but text."""

import re
import shutil

import pytest

import browser as browsers
from bitloop import BIN, Host

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def browser():
    running = browsers.Browser()
    yield running
    running.close()


@pytest.fixture
def open_page(browser, host):
    pages = []

    def open_one(*words, **more):
        pages.append(browser.page(host, *words, **more))
        return pages[-1]

    yield open_one
    for page in pages:
        page.close()


def many_rows(host, count):
    """results.tsv with so many rows. The host makes the file from its journal, which would take minutes, so the browser gets it
    in place of the host's answer."""
    header = host.get("/v1/results.tsv").text.splitlines()[0].split("\t")
    lines = []
    for i in range(count):
        row = {"time": f"2026-01-{i % 28 + 1:02d}T00:00:{i % 60:02d}.000Z", "session": f"made-up-{i}", "test": "1", "commit": "0" * 40,
               "type": "agent", "agent": f"agent {i % 7}", "task": "quick", "quantizer": ("ternary", "lsq", "binary")[i % 3],
               "status": "ok" if i % 5 else "diverged", "val_loss": f"{2.3 + (i * 7919 % 1000) / 1000:.4f}" if i % 5 else "",
               "bits_per_weight": f"{1 + i % 4 * 0.5:.3f}", "seed": "42", "submitted": "false", "description": f"idea {i}"}
        lines.append("\t".join(row.get(name, "") for name in header))
    return "\n".join(["\t".join(header), *lines]) + "\n"


def test_the_page_and_its_policy(host):
    page = host.get("/")
    assert page.status == 200 and page.headers["Content-Type"].startswith("text/html")
    policy = page.headers["Content-Security-Policy"]
    for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self' data:"):
        assert part in policy
    assert "unsafe" not in policy and "http" not in policy
    assert not re.search(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=", page.text)
    assert host.get("/static/nothing.js")["code"] == "file_not_found"
    assert host.get("/static/..%2f..%2fprogram.md").status == 404
    for name, kind in (("style.css", "text/css"), ("main.js", "text/javascript"), ("chart.min.js", "text/javascript")):
        answer = host.get(f"/static/{name}")
        assert answer.headers["Content-Type"].startswith(kind) and answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_diff_of_two_commits(host, session):
    first = session.region()[0]
    start = session.head()
    session.edit(op="insert", after_line=first - 1, content="-- one")
    session.edit(op="insert", after_line=first - 1, content="-- two")
    newest = session.get("/diff")
    assert newest["to"] == session.head() and newest["path"] == "candidate.lua"
    assert "+-- two\n" in newest["diff"] and "+-- one" not in newest["diff"]
    both = session.get(f"/diff?from={start}&to={session.head()[:12]}")
    assert "+-- two\n+-- one\n" in both["diff"] and both["diff"].startswith("--- a/candidate.lua\n+++ b/candidate.lua\n@@ ")
    assert session.get(f"/diff?from={start}&to={start}")["diff"] == ""
    assert session.get("/diff?from=ffffffff")["code"] == "unknown_commit"
    other = host.session()
    assert other.get(f"/diff?from={start}")["code"] == "unknown_commit"


def test_sessions_appear_and_change_by_themselves(host, open_page):
    page = open_page()
    page.wait_for_selector('#connection[data-state="live"]')
    session = host.session(agent="newcomer")
    page.wait_for_selector(f'a[href="#/sessions/{session.id}"]')
    session.say("FAKE_SLEEP=3")
    session.post("/tests")
    page.wait_for_selector('tr:has-text("newcomer") .badge[data-state="testing"]')
    page.wait_for_selector('tr:has-text("newcomer"):has-text("step")')
    session.wait(1)
    page.wait_for_selector('tr:has-text("newcomer"):has-text("2.3178")')
    assert page.locator('tr:has-text("newcomer") .badge[data-state="open"]').count() == 1


def test_a_curve_grows_while_its_test_runs(host, session, open_page):
    session.say("FAKE_HOLD=grow")  # half of its points, until the page has been seen to show them
    session.post("/tests")
    page = open_page(f"#/sessions/{session.id}")
    points = "() => Number(document.querySelector('[data-points]')?.dataset.points ?? 0)"
    page.until(f"() => ({points})() >= 2")
    assert page.evaluate(points) < 10
    (host.workspace / "grow").write_text("")
    page.until(f"() => ({points})() === 10")
    page.wait_for_selector('table.plain .badge[data-state="ok"]')
    assert page.locator("canvas").count() == 2
    label = page.locator("canvas").first.get_attribute("aria-label")
    assert "step 400" in label


def test_a_session_with_its_diff_and_logs(host, open_page):
    session = host.session(agent="a careful agent")
    first = session.region()[0]
    session.edit(op="insert", after_line=first - 1, content='-- FAKE_LOSS=2.45\nlocal beta = 0.5 -- "a comment"', description="an idea")
    session.post("/checks")
    session.test(description="first")
    session.edit(op="str_replace", old_str="FAKE_LOSS=2.45", new_str="FAKE_LOSS=2.38")
    session.test(description="second")
    session.edit(op="str_replace", old_str="FAKE_LOSS=2.38", new_str="FAKE_LOSS=2.41")
    session.test(description="third")
    session.post("/submission", {"test": 2})
    page = open_page(f"#/sessions/{session.id}")
    page.wait_for_selector(".diff tr.added")
    assert page.locator(".diff tr.added .lua-keyword").first.inner_text() == "local"
    assert page.locator(".diff tr.added .lua-number").first.inner_text() == "0.5"
    assert page.locator(".story li").count() == len(session.get()["history"])
    page.locator('.story li[data-event="edit"] button').first.click()
    page.wait_for_selector('.diff tr.removed:has-text("FAKE_LOSS=2.38")')
    page.get_by_role("button", name="Swap").click()
    page.wait_for_selector('.diff tr.added:has-text("FAKE_LOSS=2.38")')
    assert "[Test #3]" in page.locator(".log").inner_text()
    page.get_by_role("button", name="log.tsv").click()
    page.wait_for_selector('.log th:has-text("train_loss")')
    page.get_by_role("button", name="events.jsonl").click()
    page.wait_for_selector('.log pre:has-text("header")')
    words = page.locator("section:has(h2:text('Score over tests'))").inner_text()
    assert "Best: 2.3800" in words and "standard deviation of 0.0100" in words
    page.shot("session")


def test_a_session_shows_its_decisions_its_tags_and_where_it_came_from(host, session, open_page):
    session.say("FAKE_LOSS=2.40")
    session.test()
    session.edit(op="str_replace", old_str="FAKE_LOSS=2.40", new_str="FAKE_LOSS=2.30")
    better = session.test()
    session.post("/tags", {"tag": "median"})
    session.post("/tags", {"tag": "good", "test": 2})
    page = open_page(f"#/sessions/{session.id}")
    row = page.locator('table.plain tbody tr:has-text("#2")')
    page.wait_for_selector('table.plain td:has-text("first score")')
    assert "better (#1)" in row.inner_text() and "good" in row.inner_text() and "median" not in row.inner_text()
    decided = page.locator('table.plain td:has(.verdict:has-text("better"))')
    assert decided.locator(".advice").inner_text() == better["decision"]["advice"]
    facts = page.locator(".facts").inner_text()
    assert "median" in facts and "good" not in facts and "#2" in facts
    fork = host.post("/v1/sessions", {"from": f"{session.id}/1"})["id"]
    page = open_page(f"#/sessions/{fork}")
    page.wait_for_selector(f'.facts:has-text("{session.id}/1")')
    for name, look in (("session-dark", {"dark": True}), ("session-narrow", {"narrow": True})):
        other = open_page(f"#/sessions/{session.id}", **look)
        other.wait_for_selector(".diff tr.added")
        assert other.evaluate("document.documentElement.scrollWidth <= innerWidth")
        other.shot(name)


def test_what_an_agent_writes_stays_text(host, open_page):
    session = host.session(agent=HOSTILE)
    first = session.region()[0]
    session.edit(op="insert", after_line=first - 1, content=f"-- {HOSTILE}", description=HOSTILE)
    session.test(description=HOSTILE)
    page = open_page()
    page.wait_for_selector("tr:has-text('<script>')")
    page.go(f"#/sessions/{session.id}")
    page.wait_for_selector(".diff tr.added:has-text('<script>')")
    assert HOSTILE in page.locator(".facts").inner_text()
    page.go("#/ledger")
    page.wait_for_selector("td:has-text('<script>')")
    page.locator("#filter").fill(f'"{HOSTILE}"')
    page.wait_for_selector("text=1 of 1 tests")
    assert page.locator("main script, main img").count() == 0
    page.go("#/sessions/" + "%3Cscript%3Ealert(3)")
    page.wait_for_selector(".failure:has-text('There is no session')")
    page.complaints = [text for text in page.complaints if "404" not in text]  # the browser's own line about the answer


def test_the_ledger_sorts_filters_and_downloads(host, open_page):
    for name, loss, bits in (("a", "2.5", "1.5"), ("b", "2.3", "2.0"), ("c", "2.4", "1.0")):
        session = host.session(agent=f"agent {name}")
        session.say(f"FAKE_LOSS={loss} FAKE_BITS={bits}")
        session.test(description=f"idea {name}")
    failed = host.session(agent="agent d")
    failed.say("FAKE_STATUS=diverged")
    failed.test(description="idea d")
    page = open_page("#/ledger")
    page.wait_for_selector("text=4 of 4 tests")

    def ideas():
        return [text[-1] for text in page.locator("tbody tr td:last-child").all_inner_texts()]

    header = page.get_by_role("button", name="val_loss")
    header.click()
    assert ideas() == ["b", "c", "a", "d"]  # a missing number comes last
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("val_loss")
    page.keyboard.press("Enter")  # the focus stays on the heading
    assert ideas() == ["a", "c", "b", "d"]
    for text, left in (("val_loss<2.45", ["c", "b"]), ("val_loss<2.45 bits_per_weight>=2", ["b"]), ("status!=ok", ["d"]),
                       ('"agent a"', ["a"]), ("IDEA status=ok", ["a", "c", "b"]), ("nothing like this", [])):
        page.locator("#filter").fill(text)
        page.until("(ideas) => [...document.querySelectorAll('tbody tr[data-row] td:last-child')].map((e) => e.textContent.at(-1)).join() === ideas",
                   ",".join(left))
        page.wait_for_selector(f"text={len(left)} of 4 tests")
    page.locator("#filter").fill("status=ok")
    page.wait_for_selector("text=3 of 4 tests")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download TSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0] == (host.workspace / "results.tsv").read_text().splitlines()[0]
    assert [line.split("\t")[-1][-1] for line in lines[1:]] == ["a", "c", "b"]
    page.locator("#filter").fill("")
    page.locator("label:has-text('status') select").select_option("diverged")
    page.wait_for_selector("text=1 of 4 tests")
    page.locator("summary").click()
    page.get_by_label("peak_memory_mb", exact=False).first.check()
    page.wait_for_selector("th:has-text('peak_memory_mb')")


def test_ten_thousand_rows(host, open_page):
    text = many_rows(host, 10_000)
    page = open_page()
    page.page.route("**/v1/results.tsv", lambda route: route.fulfill(body=text, content_type="text/tab-separated-values"))
    page.go("#/ledger")
    page.wait_for_selector("text=10,000 of 10,000 tests")
    assert page.locator("tbody tr").count() < 80
    page.get_by_role("button", name="val_loss").click()
    assert page.locator("tbody tr[data-row='0'] td:nth-child(9)").inner_text() == "2.3010"
    page.locator("tbody tr[data-row='0']").focus()
    page.keyboard.press("End")
    page.wait_for_selector("tbody tr[data-row='9999']:focus")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("PageDown")
    assert int(page.evaluate("document.activeElement.dataset.row")) > 5
    assert page.locator("table[role=grid]").get_attribute("aria-rowcount") == "10001"
    page.locator("#filter").fill("val_loss<2.31")
    page.wait_for_selector("text=/^\\d+ of 10,000 tests/")
    page.locator("#filter").fill("")
    page.wait_for_selector("text=10,000 of 10,000 tests")
    page.evaluate("document.querySelector('.table').scrollTop = 0")
    page.shot("ledger")
    for name, look in (("ledger-dark", {"dark": True}), ("ledger-narrow", {"narrow": True})):
        other = open_page(**look)
        other.page.route("**/v1/results.tsv", lambda route: route.fulfill(body=text, content_type="text/tab-separated-values"))
        other.go("#/ledger")
        other.wait_for_selector("text=10,000 of 10,000 tests")
        assert other.evaluate("document.documentElement.scrollWidth <= innerWidth")
        other.shot(name)
    page.go("#/")
    page.wait_for_selector("summary")


def test_the_overview_in_every_light(host, open_page):
    for i, (name, loss, bits) in enumerate((("lsq", 2.37, 1.585), ("binary", 2.47, 1.0), ("ternary", 2.41, 1.585), ("ternary", 2.33, 2.0))):
        session = host.session(quantizer=name, agent=f"model-{i}")
        session.say(f"FAKE_LOSS={loss} FAKE_BITS={bits}")
        session.test()
        if i % 2:
            session.post("/submission", {"test": 1})
    for name, look in (("overview", {}), ("overview-dark", {"dark": True}), ("overview-narrow", {"narrow": True}),
                       ("overview-narrow-dark", {"dark": True, "narrow": True})):
        page = open_page(**look)
        page.wait_for_selector("tr:has-text('model-3')")
        page.wait_for_selector("details td", state="attached")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert "2 submitted" in page.locator("canvas").get_attribute("aria-label")
        page.shot(name)


def test_the_keyboard_reaches_everything(host, session, open_page):
    page = open_page()
    page.wait_for_selector("tbody tr[data-row]")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.locator("tbody tr[data-row='0']").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(f"h1:has-text('{session.id}')")
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.locator("nav a[aria-current=page]").count() == 0
    missing = page.evaluate("[...document.querySelectorAll('button, select, input, a, canvas')].filter((e) => "
                            "!(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).length")
    assert missing == 0


def test_the_page_finds_its_server_again(host, session, open_page):
    page = open_page(f"#/sessions/{session.id}", allowed=("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE", "ERR_EMPTY", "net::"))
    page.wait_for_selector('#connection[data-state="live"]')
    port = host.port
    host.stop()
    page.wait_for_selector('#connection[data-state="connecting"]')
    host.start(port=port)
    session.say("after the restart")
    page.until("() => document.querySelector('#connection').dataset.state === 'live'")
    page.wait_for_selector(".diff tr.added:has-text('after the restart')")


@pytest.mark.parametrize("address", ["#/sessions/%", "#/sessions/%E0%A4%A", "#/nowhere", "#/sessions/"])
def test_an_address_that_leads_nowhere_shows_the_overview(host, open_page, address):
    open_page(address).wait_for_selector("h1:has-text('Sessions')")


def test_an_event_costs_one_session(host, open_page):
    """Not a look at all of them."""
    other, session = host.session(), host.session()
    page = open_page()
    page.wait_for_selector(f"tbody tr:has-text('{other.id}')")
    page.wait_for_selector('#connection[data-state="live"]')
    page.requests.clear()
    session.test()
    page.wait_for_selector(f"tbody tr:has-text('{session.id}') td:has-text('2.3178')")
    third = host.session()
    page.wait_for_selector(f"tbody tr:has-text('{third.id}')")
    asked = [url.removeprefix(host.url) for url in page.requests if "/v1/sessions" in url]
    assert set(asked) == {f"/v1/sessions/{session.id}", f"/v1/sessions/{third.id}"}


def test_without_chart_js(browser, tmp_path):
    share = tmp_path / "share"
    shutil.copytree(BIN.parent / "share/bitloop", share, symlinks=True)
    (share / "dashboard/chart.min.js").unlink()
    with Host(tmp_path / "workspace", BITLOOP_SHARE=str(share)) as host:
        assert "libjs-chart.js" in host.get("/static/chart.min.js")["detail"]
        page = browser.page(host, allowed=("404", "MIME"))
        assert "libjs-chart.js" in page.locator(".notice").inner_text()
        assert page.locator("table[role=grid]").count() == 1
        page.close()
        host.stop()
    assert "libjs-chart.js" in (tmp_path / "host.log").read_text()


def test_the_javascript_has_no_html(host):
    names = [path.name for path in (browsers.ROOT / "harness/dashboard").iterdir()]
    for name in names:
        text = (browsers.ROOT / "harness/dashboard" / name).read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), name
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), name
