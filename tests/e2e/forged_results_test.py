"""Forged results, end to end: machine code in the trainer writes what it likes to the channel of records
(tests/harness/jobs/forgeries.cpp). None of it becomes a score; and the one thing that can't be told from the trainer's own
records is shown to be believed, with what limits it."""

import json

import pytest

from native import GOOD, LOSS, Player, native_host

NONCE = "without the run's nonce"
NO_RESULT = "the trainer ended without a result"
# name: (status, words of the message)
FORGERIES = {
    "everywhere": ("violation", NONCE),
    "guessed_nonce": ("violation", NONCE),
    "empty_nonce": ("violation", NONCE),
    "cut_nonce": ("violation", NONCE),
    "null_nonce": ("violation", NONCE),
    "array_of_nonces": ("violation", NONCE),
    "two_nonces": ("violation", NONCE),
    "nul_in_the_nonce": ("violation", "not a JSON object"),
    "nuls": ("violation", "not a JSON object"),
    "into_a_record": ("violation", "not a JSON object"),
    "endless_loss": ("violation", "not a JSON object"),
    "nan_loss": ("violation", "not a JSON object"),
    "huge": ("violation", "a line over 1 MiB"),
    "deep": ("violation", "nested too deeply"),
    "twice": ("violation", "a record after the result"),
    "after_the_result": ("violation", "a record after the result"),
    "negative_loss": ("violation", "it says val_loss = -1.5"),
    "text_for_a_loss": ("violation", 'it says val_loss = "0.1"'),
    "and_crashes": ("violation", "SIGSEGV"),
    "and_fails": ("infrastructure", "reported ok, then failed with exit code 1"),
    "another_status": ("infrastructure", "no known status ('submitted')"),
    "unfinished": ("infrastructure", NO_RESULT),
    "close": ("infrastructure", NO_RESULT),
    "close_after_half": ("infrastructure", NO_RESULT),
}


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with native_host(tmp_path_factory.mktemp("forged")) as running:
        if any(layer["state"] != "active" for layer in running.get("/healthz")["sandbox"] if layer["layer"] != "cgroup"):
            pytest.skip("this machine has no complete sandbox")
        yield running
        assert running.stop() == 0


@pytest.fixture(scope="module")
def play(host):
    return Player(host)


def no_forged_number(host, played):
    assert played.row["val_loss"] == played.row["bits_per_weight"] == ""
    everything = [(host.workspace / "results.tsv").read_text(), host.get("/v1/results").text, played.answer["message"],
                  host.get(f"/v1/sessions/{played.row['session']}").text, json.dumps(played.answer["metrics"])]
    for text in everything:
        assert "forged" not in text
    assert played.answer["metrics"].get("val_loss") is None
    # And it can't be submitted.
    assert host.post(f"/v1/sessions/{played.row['session']}/submission", {"test": played.answer["test"]}).status == 409


@pytest.mark.parametrize("locked", [False, True], ids=["in the jail", "after the lock-down"])
@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_result_is_no_score(host, play, name, locked):
    status, words = FORGERIES[name]
    # What could pass for the trainer's own last word ends with it.
    follows = "exit 0" if words.startswith(("it says", "no known")) else f"result {GOOD}"
    played = play("weights", *["lock"] * locked, "loaded", f"forge {name}", follows)
    assert played.status == status, played.answer["message"]
    assert words in played.answer["message"]
    no_forged_number(host, played)


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_result_after_the_genuine_is_no_score(host, play, name):
    played = play("weights", "loaded", f"result {GOOD}", f"forge {name}")
    if FORGERIES[name][1] == NO_RESULT:  # no line came of it, and the genuine result is there
        assert played.status == "ok" and float(played.row["val_loss"]) == LOSS
        return
    assert played.status == "violation", played.answer["message"]
    assert "its event stream was broken: record" in played.answer["message"]
    no_forged_number(host, played)


def test_the_genuine_result_is_one(play):
    """The control: the same lines without a forgery."""
    played = play("loaded", "weights", f"result {GOOD}")
    assert played.status == "ok" and float(played.row["val_loss"]) == LOSS


def test_a_lie_in_one_process_is_found_by_the_repetition(host, play):
    played = play("weights", "lock", "loaded", "train-do forge owned", f"result {GOOD}")
    assert played.status == "rejected" and "not deterministic: the final val_loss was 0.1 and then 2.5" in played.answer["message"]
    assert played.row["val_loss"] == ""


def test_a_lie_in_both_processes_is_believed(play):
    """What docs/security.md does not promise. Whoever runs machine code in the trainer, in training and in the repetition,
    knows the nonce and owns the channel; what then still tells is outside: the packed file, and replay on another build."""
    played = play("weights", "lock", "loaded", "forge owned")
    assert played.status == "ok" and float(played.row["val_loss"]) == 0.1
