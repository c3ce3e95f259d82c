// Sessions that nobody asks for rest, and nobody should see that.
#include <nlohmann/json.hpp>
#include <thread>

#include "harness/journal/journal.h"
#include "tests/harness/sessions/service_fixture.h"

namespace bitloop::sessions {
namespace {

using namespace std::chrono_literals;

class RestingTest : public ServiceTest {
 protected:
  void SetUp() override {
    ServiceTest::SetUp();
    open(1ms);
  }
  // Until at most so many sessions are awake; false when that does not come.
  bool wait_awake(size_t most) {
    for (int i = 0; i < 10'000 && service_->awake() > most; ++i) std::this_thread::sleep_for(1ms);
    return service_->awake() <= most;
  }
  // What the service says of a session, each call after it rested.
  std::string told(const std::string& id) {
    EXPECT_TRUE(wait_awake(0));
    const SessionView view = *service_->get(id);
    nlohmann::json all = {view.id,
                          view.task,
                          view.quantizer,
                          view.agent,
                          view.state,
                          view.created,
                          view.commit,
                          view.tests_total,
                          view.tests_left,
                          view.files[0].lines,
                          view.files[0].editable,
                          view.forked_from};
    for (const Tag& tag : view.tags) all.push_back(tag.tag);
    for (const TestView& test : view.tests)
      all.push_back({test.test, test.status, test.message, test.metrics, test.commit, test.seed});
    EXPECT_TRUE(wait_awake(0));
    all.push_back(content(id));
    EXPECT_TRUE(wait_awake(0));
    all.push_back(nlohmann::json(*service_->summary(id)));
    return all.dump(1);
  }
};

TEST_F(RestingTest, WhatItSaysIsWhatItWouldHaveSaidAwake) {
  open(0ms);  // never
  const std::string id = create();
  ASSERT_TRUE(say(id, "one"));
  test(id);
  ASSERT_TRUE(say(id, "two"));
  ASSERT_TRUE(service_->tag(id, {"promising", 1}));
  EXPECT_EQ(service_->awake(), 1U);
  const auto listed = service_->list().at(0);
  const SessionView view = *service_->get(id);
  const std::string text = content(id);
  const auto summary = *service_->summary(id);

  open(1ms);
  ASSERT_TRUE(wait_awake(0));
  const auto resting = service_->list().at(0);
  EXPECT_EQ(resting.id, listed.id);
  EXPECT_EQ(resting.task, listed.task);
  EXPECT_EQ(resting.agent, "tester");
  EXPECT_EQ(resting.state, "open");
  EXPECT_EQ(resting.created, listed.created);
  EXPECT_EQ(resting.tests_left, 2);
  EXPECT_EQ(resting.tags, listed.tags);
  EXPECT_EQ(service_->get(id)->tests.at(0).message, view.tests.at(0).message);
  EXPECT_EQ(service_->get(id)->commit, view.commit);
  EXPECT_EQ(service_->awake(), 0U) << "to list and to look wakes nobody";
  EXPECT_EQ(content(id), text);
  ASSERT_TRUE(wait_awake(0));
  EXPECT_EQ(*service_->summary(id), summary);
}

TEST_F(RestingTest, AnAgentGoesOnWhereItWas) {
  const std::string id = create();
  const Terms key{.key = "k", .request = "{}"};
  EditRequest edit{.path = "candidate.lua", .op = "insert", .after_line = 1, .content = "one"};
  ASSERT_TRUE(wait_awake(0));
  const auto first = service_->edit(id, edit, key);
  ASSERT_TRUE(first) << first.error().message;
  ASSERT_TRUE(wait_awake(0));
  EXPECT_EQ(service_->edit(id, edit, key)->commit, first->commit) << "it was done";
  EXPECT_EQ(service_->edit(id, edit, {.key = "k", .request = "{ }"}).error().code, "key_reused");
  ASSERT_TRUE(wait_awake(0));
  ASSERT_TRUE(say(id, "two"));
  ASSERT_TRUE(wait_awake(0));
  EXPECT_EQ(service_->edit(id, edit, {.expected = first->commit}).error().code, "commit_mismatch");
  ASSERT_TRUE(wait_awake(0));
  ASSERT_TRUE(service_->undo(id, 1));
  ASSERT_TRUE(wait_awake(0));
  EXPECT_EQ(test(id).status, "ok");
  ASSERT_TRUE(wait_awake(0));
  ASSERT_TRUE(service_->undo(id, 1));
  EXPECT_EQ(service_->undo(id, 1).error().code, "nothing_to_undo");
  ASSERT_TRUE(wait_awake(0));
  ASSERT_TRUE(service_->revert_to_test(id, 1));
  ASSERT_TRUE(wait_awake(0));
  EXPECT_FALSE(say(id, "three -- and test it")->commit.empty());
  ASSERT_TRUE(wait_awake(0));
  EXPECT_TRUE(service_->check(id));
  ASSERT_TRUE(wait_awake(0));
  NewSession fork;
  fork.from = id + "/1";
  EXPECT_TRUE(service_->create(fork));
  ASSERT_TRUE(wait_awake(0));
  ASSERT_TRUE(service_->submit(id, 1));
  EXPECT_EQ(service_->list().at(0).state, "closed");
  const std::string before = told(id);
  EXPECT_EQ(service_->list().at(0).state, "closed");
  EXPECT_EQ(service_->submit(id, 1).error().code, "session_closed");
  open(1ms);
  EXPECT_EQ(told(id), before);
}

TEST_F(RestingTest, ASessionMadeUnderAKeyIsNotMadeTwice) {
  const NewSession wanted{.task = "quick", .agent = "tester"};
  const auto made = service_->create(wanted, {.key = "k", .request = "{}"});
  ASSERT_TRUE(wait_awake(0));
  ASSERT_TRUE(say(made->id, "later"));
  ASSERT_TRUE(wait_awake(0));
  for (int start = 0; start < 2; ++start) {
    const auto again = service_->create(wanted, {.key = "k", .request = "{}"});
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->id, made->id);
    EXPECT_EQ(again->commit, made->commit) << "as it was then";
    EXPECT_EQ(service_->create(wanted, {.key = "k", .request = "[]"}).error().code, "key_reused");
    EXPECT_NE(
        service_->create({.task = "quick", .token = "alice"}, {.key = "k", .request = "{}"})->id,
        made->id);
    open(1ms);
  }
}

TEST_F(RestingTest, ATestThatRunsKeepsItsSessionAwake) {
  const std::string id = create(), other = create();
  ASSERT_TRUE(say(id, "FAKE_HOLD=go"));
  ASSERT_TRUE(service_->start_test(id, ""));
  ASSERT_TRUE(wait_awake(1));
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(service_->awake(), 1U);
  EXPECT_EQ(service_->list().at(0).state, "testing");
  EXPECT_EQ(service_->test(id, 1)->status, "running");
  ASSERT_TRUE(write_file_atomic(folder_ / "workspace/go", ""));
  EXPECT_EQ(service_->test(id, 1, 60'000)->status, "ok");
  EXPECT_TRUE(wait_awake(0));
  EXPECT_EQ(service_->test(id, 1)->status, "ok");
  EXPECT_EQ(service_->results().size(), 1U);
}

TEST_F(RestingTest, TestsOfATokenAreCountedInSessionsThatRest) {
  const std::string first = service_->create({.task = "quick", .token = "alice"})->id;
  const std::string second = service_->create({.task = "quick", .tests = 2, .token = "alice"})->id;
  test(first);
  test(first);
  ASSERT_TRUE(wait_awake(0));
  for (int start = 0; start < 2; ++start) {
    for (const ListedSession& listed : service_->list()) EXPECT_EQ(listed.tests_left, 1);
    EXPECT_EQ(service_->get(second)->tests_left, 1);
    open(1ms);
  }
  test(second);
  EXPECT_EQ(service_->start_test(first, "").error().code, "no_tests_left");
}

TEST_F(RestingTest, AWholeJournalIsHeardWithoutWakingAnybody) {
  const std::string id = create();
  test(id);
  ASSERT_TRUE(wait_awake(0));
  auto listener = service_->listen("", "");
  std::string metrics;
  while (metrics.empty())
    for (const EventPtr& event : listener->next(60s))
      if (event->kind == "test-finished") metrics = event->data;
  EXPECT_NE(metrics.find("\"val_loss\":2.3178"), std::string::npos) << metrics;
  EXPECT_EQ(service_->awake(), 0U);
}

TEST_F(RestingTest, ManyThreadsLoseNothing) {
  const std::vector<std::string> ids = {create(), create()};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([this, &ids, t] {
      for (int i = 0; i < 10; ++i) {
        const std::string& id = ids[static_cast<size_t>(t + i) % ids.size()];
        EXPECT_TRUE(say(id, "thread " + std::to_string(t) + " line " + std::to_string(i)));
        EXPECT_TRUE(service_->get(id));
        EXPECT_EQ(service_->list().size(), ids.size());
        std::this_thread::sleep_for(std::chrono::milliseconds(i % 4));
      }
    });
  threads.clear();
  for (const std::string& id : ids) {
    EXPECT_EQ(service_->history(id)->size(), 21U);
    EXPECT_EQ(service_->view(id, "candidate.lua", {}, {})->editable, (Ranges{{2, 23}}));
  }
}

TEST_F(RestingTest, WhatCannotBeReadAgainIsAnErrorAndNoLoss) {
  const std::string id = create();
  ASSERT_TRUE(say(id, "one"));
  ASSERT_TRUE(wait_awake(0));
  const auto snapshot = (*journal::Journal::open_read_only(folder_ / "workspace"))->read(head(id));
  const std::string blob = journal::content_id(snapshot->session_json);
  const auto object =
      folder_ / "workspace/journal.git/objects" / blob.substr(0, 2) / blob.substr(2);
  std::filesystem::rename(object, folder_ / "aside");
  EXPECT_FALSE(service_->view(id, "candidate.lua", {}, {}));
  EXPECT_FALSE(service_->get(id));
  EXPECT_EQ(service_->list().at(0).id, id);
  std::filesystem::rename(folder_ / "aside", object);
  EXPECT_NE(content(id).find("one"), std::string::npos);
  EXPECT_TRUE(say(id, "two"));
}

}  // namespace
}  // namespace bitloop::sessions
