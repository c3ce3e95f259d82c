#include "harness/sessions/report.h"

#include <gtest/gtest.h>

namespace bitloop::sessions {
namespace {

using nlohmann::json;

jobs::Verdict verdict_of(const std::string& status, const json& result = nullptr,
                         const std::string& message = "") {
  return {status, message, result, {}, nullptr};
}

TEST(Report, HeadlinesAreTheSentencesAgentsKnow) {
  EXPECT_EQ(test_headline(1, 2),
            "[Test #1] (2 tests remaining; call submit(n=N) to choose which test result to submit "
            "as final)");
  EXPECT_EQ(test_headline(2, 1),
            "[Test #2] (1 test remaining; call submit(n=N) to choose which test result to submit "
            "as final)");
  EXPECT_EQ(test_headline(3, 0),
            "[Test #3] (0 tests remaining; submit is now mandatory: call submit(n=N))");
  EXPECT_EQ(submit_sentence(2), "[submit] Submitting result from test #2 as final.");
}

TEST(Report, MetricsAreInOrderAndMissingOnesAreLeftOut) {
  EXPECT_EQ(render_metrics({{"val_loss", 2.3178}, {"train_loss", 2.271}, {"step", 400}}),
            "step=400, train_loss=2.2710, val_loss=2.3178");
  EXPECT_EQ(
      render_metrics(
          {{"bits_per_weight", 1.585}, {"val_bpb", nullptr}, {"doc", "text"}, {"val_loss", 2.0}}),
      "val_loss=2.0000, bits_per_weight=1.5850");
  EXPECT_EQ(render_metrics(nullptr), "");
}

TEST(Report, AFailedEvaluationKeepsTheTrainingMetrics) {
  const json result = json::parse(R"({"stages":[
    {"name":"train","metrics":{"step":400,"train_loss":2.271,"val_loss":2.3178},"failure":null},
    {"name":"eval","metrics":null,"failure":{"status":"script_error",
      "detail":"candidate.lua:17: weight_quant must return codes, scale"}}]})");
  EXPECT_EQ(render_stages(verdict_of("script_error", result), "quick", ""),
            "### train (quick)\n"
            "Training metrics (last steps):\n"
            "TRAIN_METRICS: step=400, train_loss=2.2710, val_loss=2.3178\n"
            "### eval (quick)\n"
            "[FAILED script_error] candidate.lua:17: weight_quant must return codes, scale");
}

TEST(Report, BenchmarksAreAStageThatSaysWhatWasNotMeasured) {
  const json result = json::parse(R"({"stages":[{"name":"benchmarks",
    "metrics":{"piqa":62.5,"arc_easy":50},"not_measured":{"lambada":"lambada.jsonl is\nmissing"},
    "failure":null}]})");
  EXPECT_EQ(render_stages(verdict_of("ok", result), "small", ""),
            "### benchmarks (small)\n"
            "EVAL_METRICS: arc_easy=50, piqa=62.5000\n"
            "Not measured: lambada: lambada.jsonl is missing");
}

TEST(Report, AKilledRunShowsHowFarItCame) {
  const std::string events =
      "{\"type\":\"stage\",\"name\":\"train\"}\n{\"type\":\"step\",\"step\":10,\"train_loss\":3.5}"
      "\nnot json\n"
      "{\"type\":\"val\",\"step\":10,\"val_loss\":3.25}\n";
  EXPECT_EQ(render_stages(verdict_of("timeout", nullptr, "The deadline of 900 s\npassed."), "tiny",
                          events),
            "### train (tiny)\nTraining metrics (last steps):\n"
            "TRAIN_METRICS: step=10, train_loss=3.5000, val_loss=3.2500\n"
            "[FAILED timeout] The deadline of 900 s passed.");
  EXPECT_EQ(render_stages(verdict_of("violation", nullptr, "m"), "tiny",
                          events + "{\"type\":\"stage\",\"name\":\"eval\"}\n"),
            "### train (tiny)\nTraining metrics (last steps):\n"
            "TRAIN_METRICS: step=10, train_loss=3.5000, val_loss=3.2500\n### eval (tiny)\n[FAILED "
            "violation] m");
}

TEST(Report, AFailureWithoutAnythingIsStillTold) {
  EXPECT_EQ(render_stages(verdict_of("infrastructure", nullptr, "gone"), "quick", ""),
            "### train (quick)\n[FAILED infrastructure] gone");
}

TEST(Report, ARowTakesWhatIsThereAndNothingElse) {
  ledger::Row row;
  jobs::Verdict verdict = verdict_of(
      "ok",
      json::parse(R"({"metrics":{"val_loss":2.5,"val_bpb":"text","tokens":819200,"device":"cpu",
                           "precision":"float32","ranks":1,"doc":"from Q.doc","step":400}})"));
  verdict.flags = {"degraded"};
  verdict.jail = {{"max_rss_mb", 612}};
  fill_row(row, verdict);
  EXPECT_EQ(row.status, "ok");
  EXPECT_EQ(row.val_loss, 2.5);
  EXPECT_EQ(row.val_bpb, std::nullopt);
  EXPECT_EQ(row.tokens, 819200);
  EXPECT_EQ(row.device, "cpu");
  EXPECT_EQ(row.precision, "float32");
  EXPECT_EQ(row.ranks, 1);
  EXPECT_EQ(row.peak_memory_mb, 612);
  EXPECT_EQ(row.description, "from Q.doc");
  EXPECT_EQ(row.flags, std::vector<std::string>{"degraded"});
  row.description = "the test's";
  fill_row(row, verdict);
  EXPECT_EQ(row.description, "the test's");
}

TEST(Report, ACheckIsOkWhenItsStatusIs) {
  const json result = json::parse(R"({"metrics":{"bits_per_weight":1.585},"findings":[
      {"rule":"levels","ok":true,"detail":"d"},{"rule":"causality","ok":false,"detail":"allowed here"}]})");
  const auto passed = check_document(verdict_of("ok", result), 12);
  EXPECT_EQ(passed["ok"], true);
  EXPECT_EQ(passed["bits_per_weight"], 1.585);
  EXPECT_EQ(passed["ms"], 12);
  EXPECT_EQ(passed["findings"].size(), 2u);
  const auto killed = check_document(verdict_of("timeout", nullptr, "too slow"), 1);
  EXPECT_EQ(killed["ok"], false);
  EXPECT_EQ(killed["bits_per_weight"], nullptr);
  EXPECT_EQ(killed["findings"][0]["rule"], "timeout");
  EXPECT_EQ(killed["findings"][0]["detail"], "too slow");
}

TEST(VersionOf, IsWhatTheFirstRecordSays) {
  const std::string header =
      R"({"type":"header","schema_version":1,"version":"0.9.0","git_hash":"5e96b16-dirty"})";
  EXPECT_EQ(version_of(header + "\n{\"type\":\"step\"}\n"), "0.9.0+5e96b16-dirty");
  EXPECT_EQ(version_of("{\"type\":\"step\"}\n" + header + "\n"), "");
  EXPECT_EQ(version_of(""), "");
  EXPECT_EQ(version_of(R"({"type":"header","version":"a\tb","git_hash":"c"})"), "");
  EXPECT_EQ(version_of(R"({"type":"header","version":1,"git_hash":"c"})"), "");
}

}  // namespace
}  // namespace bitloop::sessions
