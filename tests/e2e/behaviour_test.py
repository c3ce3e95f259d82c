"""What a candidate does, whatever it looks like: a check warns of a test that would tell nothing new."""

import pytest

from bitloop import BIN, Host
from small import make_share

pytestmark = pytest.mark.skipif(not (BIN / "bitloop-trainer").exists(),
                                reason="built without the trainer (BITLOOP_TRAINER=OFF)")

# ternary.lua's line, and the same in other words.
LINE = "  return (w / scale):round():clamp{min = -1, max = 1}, scale"
SAME = "  local codes = torch.round(w / scale)\n  return {codes = codes:clamp{min = -1, max = 1}, scale = scale}"


@pytest.fixture
def host(tmp_path):
    share = make_share(tmp_path / "share")
    with Host(tmp_path / "workspace", fake=False, BITLOOP_SHARE=str(share)) as host:
        yield host


def test_the_same_in_other_words_is_warned_of(host):
    session = host.session()
    assert session.post("/checks")["warnings"] == []
    assert session.test()["status"] == "ok"
    edited = session.edit(op="str_replace", old_str=LINE, new_str=SAME)
    assert edited.status == 200 and edited["warnings"] == []  # as text it is another candidate
    checked = session.post("/checks")
    assert checked["ok"] is True
    (warning,) = checked["warnings"]
    assert warning.startswith("The candidate does the same as that of test #1 (val_loss ")

    again = session.test()  # it may be tested all the same, and the warning was right
    assert again["status"] == "ok" and again["decision"]["same_as"] == 1

    other = session.edit(op="str_replace", old_str="w:abs():mean()", new_str="w:abs():mean() * 1.01")
    assert other.status == 200 and session.post("/checks")["warnings"] == []


def test_another_session_on_the_task_is_warned_too(host):
    assert host.session().test()["status"] == "ok"
    host.kill()
    host.start()  # the digest stands in the journal
    session = host.session()
    session.edit(op="str_replace", old_str=LINE, new_str=SAME)
    (warning,) = session.post("/checks")["warnings"]
    assert "test #1 of session " in warning
