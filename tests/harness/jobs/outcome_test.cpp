#include "harness/jobs/outcome.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

namespace bitloop::jobs {
namespace {

using Json = nlohmann::ordered_json;
using sandbox::KilledBy;
using sandbox::Verdict;
using ::testing::HasSubstr;

Json result(std::vector<double> losses, Json val_loss) {
  return {{"type", "result"},
          {"status", "ok"},
          {"message", "done"},
          {"stages", Json::array({{{"name", "eval"}, {"metrics", Json()}, {"failure", Json()}}})},
          {"metrics", {{"first_losses", losses}, {"val_loss", val_loss}}},
          {"flags", {"leaks"}},
          {"findings", Json::array()}};
}

Outcome ended(Json record) {
  Verdict verdict;
  verdict.exit_code = 0;
  return judge(verdict, {std::move(record), true, ""}, {});
}

TEST(OutcomeTest, WordsFromBeforeTheCandidateAreBelievedAndLaterOnesAreNot) {
  Verdict verdict;
  verdict.exit_code = 3;
  Reported reported;
  reported.last_words = "bitloop-trainer: web_000002.bin: cut";
  EXPECT_EQ(judge(verdict, reported, {}).message, reported.last_words);
  EXPECT_EQ(judge(verdict, reported, {}).status, "infrastructure");
  reported.candidate_loaded = true;
  EXPECT_THAT(judge(verdict, reported, {}).message, HasSubstr("output.txt has its last words"));
}

// A GPU that is full of another process's numbers, LibTorch that can't start.
TEST(OutcomeTest, AResultFromBeforeTheCandidateBlamesTheMachine) {
  Verdict verdict;
  verdict.exit_code = 0;
  Json early = result({}, 1);
  early["message"] = "CUDA out of memory";
  for (const char* status : {"out_of_memory", "script_error"}) {
    early["status"] = status;
    const Outcome before = judge(verdict, {early, false, ""}, {});
    EXPECT_EQ(before.status, "infrastructure");
    EXPECT_EQ(before.message, "CUDA out of memory");
    EXPECT_EQ(before.result->value("status", ""), "infrastructure");
    EXPECT_EQ(judge(verdict, {early, true, ""}, {}).status, status);
  }
}

TEST(OutcomeTest, EveryEndHasItsStatus) {
  const auto status = [](std::optional<int> exit_code, std::optional<int> signal,
                         std::optional<KilledBy> by, Reported reported) {
    Verdict verdict;
    verdict.exit_code = exit_code;
    verdict.signal = signal;
    verdict.killed_by = by;
    return judge(verdict, std::move(reported), {}).status;
  };
  EXPECT_EQ(status({}, SIGKILL, KilledBy::kDeadline, {}), "timeout");
  EXPECT_EQ(status({}, SIGXCPU, KilledBy::kCpu, {}), "timeout");
  EXPECT_EQ(status({}, SIGKILL, KilledBy::kMemory, {}), "out_of_memory");
  EXPECT_EQ(status({}, SIGSYS, KilledBy::kSeccomp, {}), "violation");
  EXPECT_EQ(status({}, SIGXFSZ, KilledBy::kFileSize, {}), "violation");
  EXPECT_EQ(status({}, SIGKILL, KilledBy::kEvents, {}), "violation");
  EXPECT_EQ(status({}, SIGKILL, KilledBy::kCancelled, {}), "cancelled");
  EXPECT_EQ(status({}, SIGSEGV, {}, {{}, true, ""}), "violation");
  EXPECT_EQ(status({}, SIGSEGV, {}, {{}, false, ""}), "infrastructure");
  EXPECT_EQ(status({}, SIGKILL, {}, {{}, true, ""}), "infrastructure");
  EXPECT_EQ(status(0, {}, {}, {}), "infrastructure");
  EXPECT_EQ(status(0, {}, {}, {result({}, 1), true, ""}), "ok");
  EXPECT_EQ(status(1, {}, {}, {result({}, 1), true, ""}), "infrastructure");
  EXPECT_EQ(status(0, {}, {}, {result({}, 1), true, "record 2: nonsense"}), "violation");
  Json odd = result({}, 1);
  odd["status"] = "excellent";
  EXPECT_EQ(status(0, {}, {}, {odd, true, ""}), "infrastructure");
  odd["status"] = "script_error";
  EXPECT_EQ(status(1, {}, {}, {odd, true, ""}), "script_error");
  odd["status"] = "timeout";  // a Lua function that loops: charged, never given back
  EXPECT_EQ(status(0, {}, {}, {odd, true, ""}), "timeout");
}

// The trainer has none of these to report, so somebody else wrote the result.
TEST(OutcomeTest, NumbersThatNoRunHasAreAViolation) {
  for (const Json& loss : {Json(-0.5), Json("0.1"), Json::array({1.5}), Json(true)}) {
    const Outcome outcome = ended(result({1.5}, loss));
    EXPECT_EQ(outcome.status, "violation") << loss;
    EXPECT_THAT(outcome.message, HasSubstr("val_loss = " + loss.dump()));
  }
  for (const Json& loss : {Json(), Json(0), Json(2.5)})
    EXPECT_EQ(ended(result({1.5}, loss)).status, "ok") << loss;
  Json bits = result({1.5}, 2.5);
  bits["metrics"]["bits_per_weight"] = -1;
  EXPECT_THAT(ended(bits).message, HasSubstr("bits_per_weight = -1"));
}

TEST(OutcomeTest, EqualBitsAreAFinding) {
  Outcome outcome = ended(result({1.5, 2.25}, 0.1 + 0.2));
  compare_with_repetition(outcome, ended(result({1.5, 2.25}, 0.30000000000000004)));
  EXPECT_EQ(outcome.status, "ok");
  EXPECT_EQ((*outcome.result)["findings"][0]["rule"], "determinism");
  EXPECT_EQ((*outcome.result)["findings"][0]["ok"], true);
}

TEST(OutcomeTest, OtherAnswersToTheBenchmarksAreRejected) {
  Json once = result({1.5}, 2.5), again = once;
  once["metrics"]["benchmarks_digest"] = "ab";
  for (const Json& digest : {Json("cd"), Json()}) {
    again["metrics"]["benchmarks_digest"] = digest;
    Outcome outcome = ended(once);
    compare_with_repetition(outcome, ended(again));
    EXPECT_EQ(outcome.status, "rejected");
    EXPECT_THAT(outcome.message, HasSubstr("the answers to the benchmarks were others"));
  }
  Outcome same = ended(once);
  compare_with_repetition(same, ended(once));
  EXPECT_EQ(same.status, "ok");
}

TEST(OutcomeTest, ChangedDocumentsAreNoFaultOfTheCandidate) {
  Json once = result({1.5}, 2.5);
  once["metrics"]["benchmarks_digest"] = "ab";
  once["metrics"]["documents_digest"] = "01";
  Json again = once;
  again["metrics"]["benchmarks_digest"] = "cd";
  again["metrics"]["documents_digest"] = "02";
  Outcome outcome = ended(once);
  compare_with_repetition(outcome, ended(again));
  EXPECT_EQ(outcome.status, "infrastructure");
  EXPECT_THAT(outcome.message, HasSubstr("documents were changed"));
}

TEST(OutcomeTest, OneBitMoreIsRejectedAndNamed) {
  Outcome outcome = ended(result({1.5, 2.25}, 0.3));
  compare_with_repetition(outcome, ended(result({1.5, 2.25}, 0.30000000000000004)));
  EXPECT_EQ(outcome.status, "rejected");
  EXPECT_THAT(outcome.message, HasSubstr("val_loss was 0.3 and then 0.30000000000000004"));
  EXPECT_EQ((*outcome.result)["status"], "rejected");
  EXPECT_EQ((*outcome.result)["findings"][0]["ok"], false);
  EXPECT_EQ((*outcome.result)["stages"][0]["failure"]["status"], "rejected");

  outcome = ended(result({1.5, 2.25}, 0.3));
  compare_with_repetition(outcome, ended(result({1.5, 2.5}, 0.3)));
  EXPECT_THAT(outcome.message, HasSubstr("step 2 was 2.25 and then 2.5"));
  outcome = ended(result({1.5, 2.25}, 0.3));
  compare_with_repetition(outcome, ended(result({1.5}, 0.3)));
  EXPECT_EQ(outcome.status, "rejected");
  outcome = ended(result({0.0}, 0.3));
  compare_with_repetition(outcome, ended(result({-0.0}, 0.3)));
  EXPECT_EQ(outcome.status, "rejected");
}

// A good run after a repetition with the same numbers that ended as `status`.
Outcome after_repetition(const char* status) {
  Outcome outcome = ended(result({1.5}, 0.3));
  Json repetition = result({1.5}, 0.3);
  repetition["status"] = status;
  compare_with_repetition(outcome, ended(repetition));
  return outcome;
}

TEST(OutcomeTest, ARepetitionThatRaisesIsADifference) {
  const Outcome outcome = after_repetition("script_error");
  EXPECT_EQ(outcome.status, "rejected");
  EXPECT_THAT(outcome.message, HasSubstr("script_error"));
}

TEST(OutcomeTest, ARepetitionThatWasKilledSaysSo) {
  Outcome outcome = ended(result({1.5}, 0.3));
  Verdict killed;
  killed.signal = SIGKILL;
  killed.killed_by = KilledBy::kDeadline;
  compare_with_repetition(outcome, judge(killed, {}, {}));
  EXPECT_EQ(outcome.status, "timeout");
  EXPECT_EQ(outcome.jail.killed_by, KilledBy::kDeadline);
  EXPECT_THAT(outcome.message, HasSubstr("repetition"));
}

// A machine that was busy or asleep in the meantime says nothing about the candidate.
TEST(OutcomeTest, ARepetitionOutOfTimeIsNoDifference) {
  const Outcome outcome = after_repetition("timeout");
  EXPECT_EQ(outcome.status, "timeout");
  EXPECT_THAT(outcome.message, HasSubstr("repetition"));
}

TEST(OutcomeTest, TheDocumentHasEveryMember) {
  Outcome outcome = ended(result({1.5}, 0.3));
  outcome.degraded = true;
  outcome.jail.layers = {{"landlock", "missing: old kernel"}};
  const Json document = verdict_document(outcome);
  EXPECT_EQ(document["status"], "ok");
  EXPECT_EQ(document["flags"], Json({"leaks", "degraded"}));
  EXPECT_EQ(document["jail"]["layers"][0]["state"], "missing: old kernel");
  EXPECT_EQ(document["jail"]["exit_code"], 0);
  EXPECT_TRUE(document["jail"]["signal"].is_null());
  EXPECT_TRUE(document["jail"]["killed_by"].is_null());
  const Json none = verdict_document(not_run("no sandbox", {}));
  EXPECT_EQ(none["status"], "infrastructure");
  EXPECT_TRUE(none["result"].is_null());
}

TEST(OutcomeTest, OddResultsDontBreakTheDocument) {
  for (const char* text :
       {R"({"type":"result","status":"ok","flags":"x","findings":3,"metrics":[],"stages":"no"})",
        R"({"type":"result","status":3,"flags":{"a":1}})", R"({"type":"result"})"}) {
    Outcome outcome = ended(Json::parse(text));
    if (outcome.status == "ok") compare_with_repetition(outcome, ended(result({1}, 1)));
    EXPECT_NE(verdict_document(outcome)["status"], "ok") << text;
  }
}

TEST(OutcomeTest, ARankThatEndedIsNamed) {
  Verdict verdict;
  verdict.process = 2;
  verdict.signal = SIGKILL;
  EXPECT_EQ(judge(verdict, {{}, true, ""}, {}).status, "infrastructure");
  EXPECT_THAT(judge(verdict, {{}, true, ""}, {}).message,
              HasSubstr("rank 2 of the trainer was ended by SIGKILL"));
  verdict.signal = SIGSEGV;
  EXPECT_EQ(judge(verdict, {{}, true, ""}, {}).message,
            "the candidate crashed rank 2 of the trainer (SIGSEGV)");
  verdict.signal.reset();
  verdict.exit_code = 3;
  EXPECT_THAT(judge(verdict, {{}, true, ""}, {}).message,
              HasSubstr("rank 2 of the trainer gave up (exit code 3)"));
  // Rank 0 has the word, whatever another one did after it.
  Json lost = result({}, Json());
  lost["status"] = "infrastructure";
  lost["message"] = "rank 1 did not come";
  verdict.process = 0;
  verdict.exit_code = 0;
  EXPECT_EQ(judge(verdict, {lost, true, ""}, {}).status, "infrastructure");
  EXPECT_EQ(judge(verdict, {lost, true, ""}, {}).message, "rank 1 did not come");
}

}  // namespace
}  // namespace bitloop::jobs
