#include "harness/baselines/documents.h"

#include <gmock/gmock.h>

#include <cmath>

#include "harness/base/fd.h"
#include "harness/baselines/verdict.h"
#include "tests/harness/baselines/fixture.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::baselines {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

class DocumentsTest : public testing::Test {
 protected:
  void answer(const std::string& run, const std::string& lines) {
    std::filesystem::create_directories(workspace_ / "runs" / run);
    ASSERT_TRUE(write_file_atomic(workspace_ / "runs" / run / "documents.jsonl", lines));
  }
  // PIQA's choices: 1 where the first, right one is the likeliest.
  static std::string piqa(std::initializer_list<int> right) {
    json documents = json::array();
    for (const int is : right)
      documents.push_back({{"log_probabilities", {is == 1 ? -1.0 : -3.0, -2.0}},
                           {"gold", 0},
                           {"greedy", {false, false}},
                           {"tokens", 3}});
    return json{{"task", "piqa"}, {"first", 0}, {"documents", documents}}.dump() + "\n";
  }
  static std::string lambada(std::initializer_list<double> nats) {
    json documents = json::array();
    for (const double all : nats)
      documents.push_back({{"log_probabilities", {-all}}, {"gold", 0}, {"tokens", 4}});
    return json{{"task", "lambada"}, {"documents", documents}}.dump() + "\n";
  }

  test_support::ScratchFolder scratch_;
  const std::filesystem::path workspace_ = scratch_.path();
};

TEST_F(DocumentsTest, OneNumberADocument) {
  answer("local-1", piqa({1, 0}) + "torn {\n" + piqa({1}) + lambada({8, 12}));
  const auto answers = read_answers(workspace_ / "runs" / "local-1");
  EXPECT_THAT(answers.at("piqa").values, ElementsAre(1, 0, 1));
  EXPECT_TRUE(answers.at("piqa").choices);
  EXPECT_THAT(answers.at("lambada").values, ElementsAre(2, 3));  // nats a token
  EXPECT_FALSE(answers.at("lambada").choices);
  EXPECT_TRUE(read_answers(workspace_ / "nowhere").empty());
}

TEST_F(DocumentsTest, DifferencesArePairedByDocumentAndAveragedOverSeeds) {
  Plan plan = a_trained_plan({{"a", 1, {1.7, 1.7}}, {"b", 1, {1.6, 1.6}}});
  for (PlannedRun& run : plan.runs) run.session = "local";
  // Runs: a and b of the first seed, then of the second.
  answer("local-1", piqa({1, 1, 0, 0}) + lambada({4, 8}));
  answer("local-2", piqa({1, 1, 1, 0}) + lambada({8, 12}));
  answer("local-3", piqa({1, 0, 0, 0}));
  answer("local-4", piqa({1, 1, 1, 0}));
  const auto differences = compare_benchmarks(plan, workspace_);
  ASSERT_EQ(differences.size(), 2u);
  EXPECT_EQ(differences[0].task, "lambada");
  EXPECT_EQ(differences[0].seeds, 1u);  // the second seed has none
  EXPECT_DOUBLE_EQ(differences[0].difference.mean, 1.0);
  EXPECT_DOUBLE_EQ(*differences[0].difference.standard_error, 0.0);  // each document lost one nat
  EXPECT_GT(*differences[0].unpaired_error, 0.5);
  const BenchmarkDifference& of_piqa = differences[1];
  EXPECT_EQ(of_piqa.seeds, 2u);
  EXPECT_DOUBLE_EQ(of_piqa.a, (1 + 0.5 + 0 + 0) / 4);
  EXPECT_DOUBLE_EQ(of_piqa.b, 0.75);
  EXPECT_EQ(of_piqa.difference.pairs, 4u);
  // 0, 0.5, 1, 0: their standard deviation over the root of 4.
  EXPECT_NEAR(*of_piqa.difference.standard_error, std::sqrt(0.6875 / 3) / 2, 1e-12);
  EXPECT_GT(*of_piqa.unpaired_error, *of_piqa.difference.standard_error);
}

TEST_F(DocumentsTest, OtherDocumentsAreNotCompared) {
  Plan plan = a_trained_plan({{"a", 1, {1.7}}, {"b", 1, {1.6}}});
  for (PlannedRun& run : plan.runs) run.session = "local";
  answer("local-1", piqa({1, 1, 0}));
  answer("local-2", piqa({1, 1}));
  EXPECT_TRUE(compare_benchmarks(plan, workspace_).empty());
}

TEST_F(DocumentsTest, AVerdictShowsThem) {
  Plan plan = a_trained_plan({{"a", 1, {1.7}}, {"b", 1, {1.6}}});
  for (PlannedRun& run : plan.runs) run.session = "local";
  answer("local-1", piqa({1, 1, 0, 0}));
  answer("local-2", piqa({1, 1, 1, 0}));
  const Summary summary = summarize(plan);
  const Entry &a = *summary.find("a"), &b = *summary.find("b");
  Verdict verdict = compare(a, b);
  EXPECT_TRUE(verdict_json(summary, a, b, verdict)["benchmarks"].empty());
  verdict.benchmarks = compare_benchmarks(plan, workspace_);
  const auto entry = verdict_json(summary, a, b, verdict)["benchmarks"][0];
  EXPECT_EQ(entry["metric"], "acc");
  EXPECT_EQ(entry["documents"], 4);
  EXPECT_EQ(entry["difference"], 0.25);
  const std::string text = verdict_for_people(a, b, verdict);
  EXPECT_THAT(text, HasSubstr("acc, %"));
  EXPECT_THAT(text, HasSubstr("+25.00"));
  EXPECT_THAT(text, HasSubstr("inside the noise"));
}

}  // namespace
}  // namespace bitloop::baselines
