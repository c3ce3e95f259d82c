#include "harness/sessions/service.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <set>
#include <thread>

#include "harness/base/fd.h"
#include "harness/journal/journal.h"
#include "harness/ledger/ledger.h"
#include "harness/sessions/job.h"
#include "harness/sessions/records.h"
#include "tests/harness/sessions/service_fixture.h"

namespace bitloop::sessions {
namespace {

TEST_F(ServiceTest, TheSharedFilesAreThereWithoutASession) {
  EXPECT_EQ(service_->shared_files().size(), 4U);
  EXPECT_EQ(*service_->shared_file("lua.md"), "lua.md\n");
  EXPECT_EQ(service_->shared_file("candidate.lua").error().code, "file_not_found");
}

TEST_F(ServiceTest, ANewSessionHasTheQuantizerAndTheTexts) {
  const auto session = service_->create({.task = "quick", .tests = 2, .agent = "a"});
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ(session->tests_left, 2);
  EXPECT_EQ(session->state, "open");
  std::vector<std::string> paths;
  for (const FileInfo& file : session->files) paths.push_back(file.path);
  EXPECT_EQ(paths, (std::vector<std::string>{"candidate.lua", "program.md", "lua.md", "model.md",
                                             "quantizers/ternary.lua"}));
  EXPECT_EQ(session->files[0].editable, (Ranges{{2, 3}}));
  EXPECT_TRUE(session->files[4].editable.empty());
}

TEST_F(ServiceTest, WhatCannotBeCreated) {
  EXPECT_EQ(service_->create({.task = "nope"}).error().code, "task_not_found");
  EXPECT_EQ(service_->create({.task = "quick", .quantizer = "nope"}).error().code,
            "unknown_quantizer");
  EXPECT_EQ(service_->create({.task = "quick", .tests = 4}).error().code, "too_many_tests");
  for (const char* agent : {"a\x01", "a\tb", "a\n", "a\r\nb", "a\u0085b", "\u2028", "\xff"})
    EXPECT_EQ(service_->create({.task = "quick", .agent = agent}).error().code, "invalid_text");
  EXPECT_TRUE(service_->list().empty());
}

TEST_F(ServiceTest, UndoCountsEditsOnly) {
  const std::string id = create();
  const std::string start = content(id);
  ASSERT_TRUE(say(id, "a"));
  const std::string after_a = content(id);
  ASSERT_TRUE(service_->check(id));
  ASSERT_TRUE(say(id, "b"));
  EXPECT_EQ(service_->undo(id, 3).error().code, "nothing_to_undo");
  EXPECT_EQ(service_->undo(id, 0).error().code, "nothing_to_undo");
  ASSERT_TRUE(service_->undo(id, 1));
  EXPECT_EQ(content(id), after_a);
  open();
  const auto undone = service_->undo(id, 1);
  ASSERT_TRUE(undone);
  EXPECT_EQ(undone->message, "OK: Undid 1 edit(s) in candidate.lua. Editable range: 2–3.");
  EXPECT_EQ(content(id), start);
  EXPECT_EQ(service_->undo(id, 1).error().code, "nothing_to_undo");
}

TEST_F(ServiceTest, AFailedEditChangesNothing) {
  const std::string id = create();
  const std::string before = head(id);
  EditRequest edit{
      .path = "candidate.lua", .op = "replace", .start_line = 1, .end_line = 2, .content = "x"};
  EXPECT_EQ(service_->edit(id, edit).error().code, "edit_out_of_range");
  edit.region = "quantizer";
  EXPECT_EQ(service_->edit(id, edit).error().code, "unknown_field");
  EXPECT_EQ(service_->edit(id, {.path = "candidate.lua", .op = "rewrite"}).error().code,
            "missing_field");
  EXPECT_EQ(service_->edit(id, {.path = "candidate.lua", .op = "erase"}).error().code,
            "unknown_op");
  EXPECT_EQ(service_->edit(id, {.path = "lua.md", .op = "rewrite"}).error().code, "file_read_only");
  EXPECT_EQ(service_->edit(id, {.path = "../x", .op = "rewrite"}).error().code, "file_not_found");
  EXPECT_EQ(service_->edit("none", edit).error().code, "session_not_found");
  EXPECT_EQ(head(id), before);
}

TEST_F(ServiceTest, AnExpectedCommitMustBeTheNewest) {
  const std::string id = create();
  const std::string first = head(id);
  const EditRequest edit{.path = "candidate.lua", .op = "insert", .after_line = 1, .content = "x"};
  ASSERT_TRUE(service_->edit(id, edit, {first}));
  EXPECT_EQ(service_->edit(id, edit, {first}).error().code, "commit_mismatch");
  EXPECT_TRUE(service_->edit(id, edit, {"*"}));
  EXPECT_TRUE(service_->edit(id, edit, {first + "," + head(id)}));
}

TEST_F(ServiceTest, EveryWriteLooksAtTheExpectedCommit) {
  const std::string id = create();
  const std::string start = head(id);
  ASSERT_TRUE(say(id, "x"));
  test(id);
  const std::string newest = head(id);
  const Terms old{start};
  for (const auto& code :
       {service_->undo(id, 1, old).error().code, service_->revert_to_test(id, 1, old).error().code,
        service_->revert_to_commit(id, start, old).error().code,
        service_->check(id, old).error().code, service_->start_test(id, "", old).error().code,
        service_->submit(id, 1, old).error().code})
    EXPECT_EQ(code, "commit_mismatch");
  EXPECT_EQ(head(id), newest);
  ASSERT_TRUE(service_->check(id, {newest}));
  EXPECT_TRUE(service_->submit(id, 1, {head(id)}));
}

TEST_F(ServiceTest, RevertGoesToATestOrACommitOfThisSession) {
  const std::string id = create();
  const std::string start = head(id);
  ASSERT_TRUE(say(id, "tested"));
  const TestView tested = test(id);
  ASSERT_TRUE(say(id, "later"));
  ASSERT_TRUE(service_->revert_to_test(id, 1));
  EXPECT_NE(content(id).find("tested"), std::string::npos);
  EXPECT_EQ(content(id).find("later"), std::string::npos);
  ASSERT_TRUE(service_->revert_to_commit(id, start.substr(0, 8)));
  EXPECT_EQ(content(id).find("tested"), std::string::npos);
  EXPECT_EQ(service_->revert_to_test(id, 2).error().code, "test_not_found");
  EXPECT_EQ(service_->revert_to_commit(create(), tested.commit).error().code, "unknown_commit");
}

TEST_F(ServiceTest, ATestIsChargedAndOnlyInfrastructureIsGivenBack) {
  const std::string id = create();
  EXPECT_EQ(service_->start_test(id, "")->tests_left, 2);
  EXPECT_EQ(service_->test(id, 1, 60'000)->status, "ok");
  ASSERT_TRUE(say(id, "FAKE_STATUS=diverged"));
  EXPECT_EQ(test(id).tests_left, 1);
  ASSERT_TRUE(say(id, "FAKE_DIE"));
  EXPECT_EQ(test(id).tests_left, 1);
  ASSERT_TRUE(service_->undo(id, 1));
  EXPECT_EQ(test(id).tests_left, 0);
  EXPECT_EQ(service_->start_test(id, "").error().code, "no_tests_left");
  EXPECT_EQ(service_->test(id, 9).error().code, "test_not_found");
}

TEST_F(ServiceTest, TheCandidateOfARunningTestIsLeftAlone) {
  const std::string id = create();
  ASSERT_TRUE(say(id, "FAKE_SLEEP=1"));
  ASSERT_TRUE(service_->start_test(id, ""));
  EXPECT_EQ(say(id, "x").error().code, "test_running");
  EXPECT_EQ(service_->undo(id, 1).error().code, "test_running");
  EXPECT_EQ(service_->revert_to_test(id, 1).error().code, "test_running");
  EXPECT_EQ(service_->start_test(id, "").error().code, "test_running");
  EXPECT_EQ(service_->submit(id, 1).error().code, "test_running");
  EXPECT_EQ(service_->get(id)->state, "testing");
  EXPECT_EQ(service_->test(id, 1, 60'000)->status, "ok");
  EXPECT_TRUE(service_->undo(id, 1));
}

TEST_F(ServiceTest, ASubmissionBindsTheTestsCandidateAndCloses) {
  const std::string id = create();
  ASSERT_TRUE(say(id, "scored"));
  test(id);
  ASSERT_TRUE(say(id, "FAKE_STATUS=rejected"));
  test(id);
  EXPECT_EQ(service_->submit(id, 3).error().code, "test_not_found");
  EXPECT_EQ(service_->submit(id, 2).error().code, "test_failed");
  const auto submitted = service_->submit(id, 1);
  ASSERT_TRUE(submitted);
  EXPECT_EQ(submitted->message, "[submit] Submitting result from test #1 as final.");
  EXPECT_NE(content(id).find("scored"), std::string::npos);
  EXPECT_EQ(content(id).find("rejected"), std::string::npos);
  for (const auto& code :
       {say(id, "x").error().code, service_->submit(id, 1).error().code,
        service_->start_test(id, "").error().code, service_->check(id).error().code})
    EXPECT_EQ(code, "session_closed");
  EXPECT_EQ(service_->results()[0].row().submitted, true);
  EXPECT_EQ(service_->results()[1].row().submitted, false);
}

// A closed session's candidate is not kept in memory; nobody should see that.
TEST_F(ServiceTest, AClosedSessionIsReadAsBefore) {
  const std::string id = create();
  ASSERT_TRUE(say(id, "scored"));
  test(id);
  const FileInfo before = service_->get(id)->files[0];
  const std::string text = content(id);
  const std::string commit = service_->get(id)->commit;
  ASSERT_TRUE(service_->submit(id, 1, {.key = "once", .request = "{}"}));
  for (int start = 0; start < 2; ++start) {
    const auto session = service_->get(id);
    EXPECT_EQ(session->files[0].path, before.path);
    EXPECT_EQ(session->files[0].lines, before.lines);
    EXPECT_EQ(session->files[0].editable, before.editable);
    EXPECT_EQ(content(id), text);
    EXPECT_EQ(service_->view(id, "candidate.lua", 1, 2)->editable, before.editable);
    EXPECT_EQ(service_->summary(id)->at("state"), "closed");
    EXPECT_EQ(service_->undo(id, 1).error().code, "session_closed");
    EXPECT_EQ(service_->revert_to_commit(id, commit).error().code, "session_closed");
    EXPECT_TRUE(service_->submit(id, 1, {.key = "once", .request = "{}"}));  // it was done
    NewSession fork;
    fork.from = id + "/1";
    EXPECT_EQ(content(service_->create(fork)->id), text);
    open();
  }
}

TEST_F(ServiceTest, TheLedgerComesBackFromTheJournal) {
  const std::string id = create();
  test(id);
  test(id);
  ASSERT_TRUE(service_->submit(id, 2));
  const std::string table = service_->results_tsv();
  service_.reset();
  std::filesystem::remove(folder_ / "workspace/results.tsv");
  open();
  EXPECT_EQ(service_->results_tsv(), table);
}

TEST_F(ServiceTest, ARunOutlivesItsServiceAndIsAdopted) {
  const std::string id = create();
  ASSERT_TRUE(say(id, "FAKE_SLEEP=0.5"));
  ASSERT_TRUE(service_->start_test(id, ""));
  while (!std::filesystem::exists(service_->run_dir(id, 1) / "events.jsonl"))
    std::this_thread::yield();
  open();
  EXPECT_EQ(service_->get(id)->tests_left, 2);
  const auto ended = service_->test(id, 1, 60'000);
  EXPECT_EQ(ended->status, "ok");
  EXPECT_FALSE(ended->commit.empty());
  EXPECT_EQ(service_->results().size(), 1u);
}

TEST_F(ServiceTest, ATestThatNeverStartedIsGivenBack) {
  const std::string first = create();
  const std::string second = create();
  ASSERT_TRUE(say(first, "FAKE_SLEEP=1"));
  ASSERT_TRUE(service_->start_test(first, ""));
  ASSERT_TRUE(service_->start_test(second, ""));  // waits behind the first
  open();
  const auto ended = service_->test(second, 1);
  EXPECT_EQ(ended->status, "infrastructure");
  EXPECT_EQ(ended->tests_left, 3);
}

TEST_F(ServiceTest, AWorkspaceHasOneService) {
  EXPECT_EQ(Service::open({folder_ / "workspace", folder_ / "share", 1, true}).error().code,
            "workspace_in_use");
}

TEST_F(ServiceTest, ALocalRunIsARowOfSessionLocal) {
  LocalRun run;
  run.candidate = "-- no regions needed\nreturn Q\n";
  run.quantizer = "mine";
  run.task = *service_->task("quick");
  run.preset = nlohmann::json::parse(*read_file(folder_ / "share/presets/quick.json"));
  run.seed = 7;
  ASSERT_TRUE(service_->start_local(run));
  const auto ended = service_->test("local", 1, 60'000);
  EXPECT_EQ(ended->status, "ok");
  EXPECT_TRUE(ended->message.starts_with("### train (quick)\n"));
  const auto row = ledger::to_json(service_->results()[0].row());
  EXPECT_EQ(row["session"], "local");
  EXPECT_EQ(row["type"], "local");
  EXPECT_EQ(row["seed"], 7);
  EXPECT_EQ(row["quantizer"], "mine");
  open();
  EXPECT_EQ(service_->results().size(), 1u);

  const std::string before = head("local");
  for (const auto& code :
       {say("local", "x").error().code, service_->undo("local", 1).error().code,
        service_->revert_to_test("local", 1).error().code,
        service_->revert_to_commit("local", before).error().code,
        service_->check("local").error().code, service_->start_test("local", "").error().code,
        service_->submit("local", 1).error().code})
    EXPECT_EQ(code, "session_read_only");
  EXPECT_EQ(head("local"), before);
}

TEST_F(ServiceTest, ABaselineRunIsARowOfItsOwnSession) {
  LocalRun run;
  run.candidate = "return Q\n";
  run.quantizer = "one";
  run.task = *service_->task("quick");
  run.preset = nlohmann::json::parse(*read_file(folder_ / "share/presets/quick.json"));
  run.type = "baseline";
  ASSERT_TRUE(service_->start_local(run));
  EXPECT_EQ(service_->test("baseline", 1, 60'000)->status, "ok");
  const auto row = ledger::to_json(service_->results()[0].row());
  EXPECT_EQ(row["session"], "baseline");
  EXPECT_EQ(row["type"], "baseline");
  EXPECT_TRUE(row["version"].get<std::string>().find('+') != std::string::npos);
  EXPECT_EQ(service_->check("baseline").error().code, "session_read_only");
  run.type = "agent";
  EXPECT_EQ(service_->start_local(run).error().code, "wrong_usage");

  // Read beside the owner, and where there is nothing.
  const auto records = read_records(folder_ / "workspace", "baseline");
  ASSERT_TRUE(records) << records.error().message;
  ASSERT_EQ(records->size(), 1u);
  EXPECT_EQ((*records)[0].fingerprint,
            fingerprint(run.candidate, run.task, run.preset, (*records)[0].seed));
  EXPECT_EQ((*records)[0].row.quantizer, "one");
  EXPECT_TRUE(read_records(folder_ / "workspace", "nobody")->empty());
  EXPECT_TRUE(read_records(folder_ / "nowhere", "baseline")->empty());
  std::filesystem::create_directories(folder_ / "damaged/journal.git");
  EXPECT_EQ(read_records(folder_ / "damaged", "baseline").error().code, "journal_unreadable");
}

// Each kind of request under a key, then again by the next process: the same answer, nothing done.
TEST_F(ServiceTest, ARequestIsDoneOnceUnderItsKeyAlsoAfterARestart) {
  const Terms begin{.key = "k", .request = R"({"task":"quick"})"};
  const auto session = service_->create({.task = "quick", .agent = "a"}, begin);
  ASSERT_TRUE(session) << session.error().message;
  const std::string id = session->id;
  const std::string start = session->commit;
  const EditRequest change{
      .path = "candidate.lua", .op = "insert", .after_line = 1, .content = "FAKE_SLEEP=0.2"};
  const Terms key{.key = "k", .request = "{}"};
  const auto edited = service_->edit(id, change, key);
  const auto checked = service_->check(id, key);
  const auto started = service_->start_test(id, "d", key);
  ASSERT_TRUE(edited && checked && started);
  ASSERT_EQ(service_->test(id, 1, 60'000)->status, "ok");
  const auto undone = service_->undo(id, 1, key);
  const auto reverted = service_->revert_to_test(id, 1, key);
  const Terms other_key{.key = "other", .request = "{}"};
  const auto gone_back = service_->revert_to_commit(id, start, other_key);
  const auto submitted = service_->submit(id, 1, key);
  ASSERT_TRUE(undone && reverted && gone_back && submitted);
  const std::string end = head(id);

  const auto same_edit = [](const Result<EditAnswer>& again, const Result<EditAnswer>& first) {
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->message, first->message);
    EXPECT_EQ(again->commit, first->commit);
    EXPECT_EQ(again->editable, first->editable);
    EXPECT_EQ(again->view, first->view);
  };
  const auto same_test = [](const Result<TestView>& again, const Result<TestView>& first) {
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->test, first->test);
    EXPECT_EQ(again->status, first->status);
    EXPECT_EQ(again->message, first->message);
    EXPECT_EQ(again->metrics, first->metrics);
    EXPECT_EQ(again->commit, first->commit);
    EXPECT_EQ(again->tests_left, first->tests_left);
  };
  for (int process = 0; process < 2; ++process) {
    const auto again = service_->create({.task = "quick", .agent = "a"}, begin);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->id, id);
    EXPECT_EQ(again->commit, start);
    EXPECT_EQ(again->state, "open");
    EXPECT_EQ(again->tests_left, session->tests_left);
    EXPECT_EQ(again->files[0].lines, session->files[0].lines);
    same_edit(service_->edit(id, change, key), edited);
    same_edit(service_->undo(id, 1, key), undone);
    same_edit(service_->revert_to_test(id, 1, key), reverted);
    same_edit(service_->revert_to_commit(id, start, other_key), gone_back);
    same_test(service_->start_test(id, "d", key), started);
    same_test(service_->submit(id, 1, key), submitted);
    EXPECT_EQ(*service_->check(id, key), *checked);

    const Terms reused{.key = "k", .request = "{ }"};
    for (const auto& code :
         {service_->create({.task = "quick"}, reused).error().code,
          service_->edit(id, change, reused).error().code,
          service_->undo(id, 1, reused).error().code, service_->check(id, reused).error().code,
          service_->start_test(id, "", reused).error().code,
          service_->submit(id, 1, reused).error().code})
      EXPECT_EQ(code, "key_reused");
    EXPECT_EQ(head(id), end);
    EXPECT_EQ(service_->list().size(), 1u);
    open();
  }
}

TEST_F(ServiceTest, WhatWasRefusedUnderAKeyMayBeTriedAgain) {
  const std::string id = create();
  const Terms key{.key = "k", .request = "{}"};
  EXPECT_EQ(service_->undo(id, 1, key).error().code, "nothing_to_undo");
  ASSERT_TRUE(say(id, "x"));
  EXPECT_TRUE(service_->undo(id, 1, key));
}

TEST_F(ServiceTest, ManyThreadsLoseNothing) {
  const std::string id = create();
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([this, &id, t] {
      for (int i = 0; i < 5; ++i) {
        EXPECT_TRUE(say(id, "thread " + std::to_string(t) + " line " + std::to_string(i)));
        (void)service_->list();
        (void)service_->results();
      }
    });
  threads.clear();
  EXPECT_EQ(service_->history(id)->size(), 21u);
  EXPECT_EQ(service_->view(id, "candidate.lua", {}, {})->editable, (Ranges{{2, 23}}));
}

TEST_F(ServiceTest, AListenerHearsTheStoryAndGoesOnAfterARestart) {
  const std::string id = create();
  ASSERT_TRUE(say(id, "a"));
  std::string heard;
  {
    auto listener = service_->listen(id, "");
    ASSERT_TRUE(listener) << listener.error().message;
    ASSERT_TRUE(say(id, "b"));
    std::string kinds;
    while (listener->last_event() != head(id))
      for (const EventPtr& event : listener->next(std::chrono::seconds(60)))
        kinds += event->kind + " ";
    EXPECT_EQ(kinds, "session edit edit ");
    heard = listener->last_event();
  }
  open();
  EXPECT_EQ(test(id).status, "ok");
  ASSERT_TRUE(service_->submit(id, 1));
  auto again = service_->listen(id, heard);
  std::string kinds;
  while (!again->is_over())
    for (const EventPtr& event : again->next(std::chrono::seconds(60))) kinds += event->kind + " ";
  EXPECT_EQ(kinds, "test-started test-finished submission ");
  EXPECT_TRUE(service_->listen(id, head(id))->is_over());
  EXPECT_FALSE(service_->listen("", Service::kFromNow)->is_over());
  EXPECT_EQ(service_->listen("nobody", "").error().code, "session_not_found");
}

TEST_F(ServiceTest, TheEndOfTheServiceEndsItsListeners) {
  const std::string id = create();
  auto listener = service_->listen("", Service::kFromNow);
  std::jthread stop([this] { service_->stop(); });
  while (!listener->is_over()) (void)listener->next(std::chrono::seconds(60));
  stop.join();
  EXPECT_EQ(service_->listen(id, "").error().code, "stopping");
}

TEST_F(ServiceTest, TheDiffOfTwoCommits) {
  const std::string id = create();
  const std::string start = head(id);
  EXPECT_EQ(service_->diff(id, "", "")->diff, "");  // nothing before the first
  ASSERT_TRUE(say(id, "a"));
  ASSERT_TRUE(say(id, "b"));
  EXPECT_NE(service_->diff(id, "", "")->diff.find("+b\n a\n"), std::string::npos);
  const auto both = service_->diff(id, start.substr(0, 10), head(id));
  EXPECT_EQ(both->from, start);
  EXPECT_NE(both->diff.find("+b\n+a\n"), std::string::npos);
  EXPECT_EQ(service_->diff(id, "0000", "").error().code, "unknown_commit");
  EXPECT_EQ(service_->diff(create(), start, "").error().code, "unknown_commit");
}

}  // namespace
}  // namespace bitloop::sessions
