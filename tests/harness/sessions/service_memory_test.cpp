// What the service tells of what was tried before; forks and tags.
#include "tests/harness/sessions/service_fixture.h"

namespace bitloop::sessions {
namespace {

TEST_F(ServiceTest, AnEditThatMakesWhatWasTestedBeforeIsWarnedOf) {
  const std::string first = create();
  ASSERT_TRUE(say(first, "x = 1"));
  test(first);
  const auto commented = say(first, "-- why");
  ASSERT_EQ(commented->warnings.size(), 2U);
  EXPECT_TRUE(commented->warnings[0].starts_with("This edit changes comments"));
  EXPECT_EQ(commented->warnings[1],
            "But for comments and white space it is that of test #1 (val_loss 2.3178): a test of "
            "it would tell nothing new.");
  EXPECT_TRUE(say(first, "x = 2")->warnings.empty());

  open();
  const std::string second = create();
  const Terms key{.key = "k", .request = "{}"};
  EditRequest edit{.path = "candidate.lua", .op = "insert", .after_line = 1, .content = "x = 1"};
  const auto again = service_->edit(second, edit, key);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(
      again->warnings,
      std::vector<std::string>{"The candidate is byte by byte that of test #1 of session " + first +
                               " (val_loss 2.3178) on the same task: a test of it would tell "
                               "nothing new."});
  EXPECT_EQ(service_->edit(second, edit, key)->warnings, again->warnings);
}

TEST_F(ServiceTest, ASessionForksFromATestOfAnother) {
  const std::string parent = create();
  ASSERT_TRUE(say(parent, "x = 1"));
  test(parent);
  ASSERT_TRUE(say(parent, "x = 2"));
  ASSERT_TRUE(service_->submit(parent, 1));
  const auto fork = service_->create({.task = "", .agent = "b", .from = parent + "/1"});
  ASSERT_TRUE(fork) << fork.error().message;
  EXPECT_EQ(fork->task, "quick");
  EXPECT_EQ(fork->quantizer, "ternary");
  EXPECT_EQ(fork->forked_from, parent + "/1");
  EXPECT_EQ(fork->tests_left, 3);
  EXPECT_EQ(fork->files[0].editable, (Ranges{{2, 4}}));
  EXPECT_NE(content(fork->id).find("x = 1"), std::string::npos);
  open();
  EXPECT_EQ(service_->get(fork->id)->forked_from, parent + "/1");
  EXPECT_TRUE(say(fork->id, "x = 3"));

  const auto code = [&](const NewSession& request) {
    return service_->create(request).error().code;
  };
  EXPECT_EQ(code({.task = "", .from = parent + "/2"}), "test_not_found");
  EXPECT_EQ(code({.task = "", .from = "nobody/1"}), "session_not_found");
  EXPECT_EQ(code({.task = "", .from = parent}), "invalid_value");
  EXPECT_EQ(code({.task = "", .from = parent + "/x"}), "invalid_value");
  EXPECT_EQ(code({.task = "quick-mls", .from = parent + "/1"}), "invalid_value");
  EXPECT_EQ(code({.task = "", .tests = 9, .from = parent + "/1"}), "too_many_tests");
}

TEST_F(ServiceTest, WhatHasNoRegionsCannotBeForked) {
  LocalRun run;
  run.candidate = "return Q\n";
  run.quantizer = "mine";
  run.task = *service_->task("quick");
  run.preset = nlohmann::json::parse(*read_file(folder_ / "share/presets/quick.json"));
  ASSERT_TRUE(service_->start_local(run));
  ASSERT_EQ(service_->test("local", 1, 60'000)->status, "ok");
  EXPECT_TRUE(service_->test("local", 1)->decision.is_null());
  EXPECT_EQ(service_->create({.task = "", .from = "local/1"}).error().code, "invalid_value");
}

TEST_F(ServiceTest, TagsComeAndGoAndStay) {
  const std::string id = create();
  test(id);
  const std::string before = head(id);
  ASSERT_TRUE(service_->tag(id, {"promising", {}}));
  EXPECT_EQ(service_->tag(id, {"promising", {}})->tags.size(), 1U);
  EXPECT_EQ(service_->tag(id, {"median-2", 1})->tags.size(), 2U);
  EXPECT_EQ(service_->tag(id, {"x", 7}).error().code, "test_not_found");
  for (const std::string& bad : {std::string(), std::string("a b"), std::string(41, 'a')})
    EXPECT_EQ(service_->tag(id, {bad, {}}).error().code, "invalid_value");
  open();
  EXPECT_EQ(service_->get(id)->tags, (std::vector<Tag>{{"promising", {}}, {"median-2", 1}}));
  EXPECT_EQ(service_->untag(id, {"median-2", {}}).error().code, "tag_not_found");
  EXPECT_EQ(service_->untag(id, {"median-2", 1})->tags.size(), 1U);
  EXPECT_EQ(service_->history(id)->size(), 6U);
  EXPECT_EQ(service_->tag(id, {"x", {}}, {before}).error().code, "commit_mismatch");
  for (int i = 1; i < 64; ++i) ASSERT_TRUE(service_->tag(id, {"t" + std::to_string(i), {}}));
  EXPECT_EQ(service_->tag(id, {"t64", {}}).error().code, "too_many_tags");
}

TEST_F(ServiceTest, TheSummaryTellsWhatTheCandidateIs) {
  const std::string id = create();
  EXPECT_EQ((*service_->summary(id))["candidate"]["same_as"], nullptr);
  ASSERT_TRUE(say(id, "x = 1"));
  test(id);
  auto summary = *service_->summary(id);
  EXPECT_EQ(summary["candidate"]["same_as"], 1);
  EXPECT_EQ(summary["candidate"]["against_best"]["added"], 0);
  EXPECT_EQ(summary["ideas"][0]["diff"]["lines"], nlohmann::ordered_json({"+x = 1"}));
  ASSERT_TRUE(say(id, "x = 2"));
  open();
  summary = *service_->summary(id);
  EXPECT_EQ(summary["candidate"]["same_as"], nullptr);
  EXPECT_EQ(summary["candidate"]["commit"], head(id));
  EXPECT_EQ(summary["candidate"]["against_best"]["lines"], nlohmann::ordered_json({"+x = 2"}));
  EXPECT_EQ(service_->summary("nobody").error().code, "session_not_found");
}

}  // namespace
}  // namespace bitloop::sessions
