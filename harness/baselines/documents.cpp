#include "harness/baselines/documents.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "harness/base/fd.h"
#include "harness/base/text.h"
#include "harness/jobs/run_folder.h"
#include "harness/sessions/job.h"

namespace bitloop::baselines {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxFile = size_t{1} << 30;

void add_document(Answers& answers, const Json& document) {
  const auto scores = document.at("log_probabilities").get<std::vector<double>>();
  answers.choices = scores.size() > 1;
  if (!answers.choices) {
    answers.values.push_back(-scores.at(0) / document.at("tokens").get<double>());
    return;
  }
  const auto chosen = std::ranges::max_element(scores) - scores.begin();  // the first of equals
  answers.values.push_back(chosen == document.at("gold").get<int64_t>() ? 1.0 : 0.0);
}

// Sums of the documents' numbers over seeds.
struct Sums {
  bool choices = false;
  size_t seeds = 0;
  std::vector<double> a, b;

  void add(const Answers& of_a, const Answers& of_b) {
    if (of_a.values.size() != of_b.values.size() || of_a.values.empty()) return;
    if (seeds > 0 && a.size() != of_a.values.size()) return;
    choices = of_a.choices;
    a.resize(of_a.values.size());
    b.resize(of_a.values.size());
    for (size_t i = 0; i < a.size(); ++i) {
      a[i] += of_a.values[i];
      b[i] += of_b.values[i];
    }
    ++seeds;
  }
};

std::vector<double> divided(std::vector<double> values, size_t by) {
  for (double& value : values) value /= static_cast<double>(by);
  return values;
}

std::optional<double> unpaired_error(const Spread& a, const Spread& b) {
  if (!a.sd || !b.sd) return {};
  const auto n = static_cast<double>(a.count);
  return std::sqrt((*a.sd * *a.sd + *b.sd * *b.sd) / n);
}

}  // namespace

std::map<std::string, Answers> read_answers(const std::filesystem::path& run_dir) {
  std::map<std::string, Answers> answers;
  const auto text = read_file(run_dir / jobs::kDocumentsFile, kMaxFile);
  if (!text) return answers;
  for (const std::string& line : split_lines(*text)) {
    const Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    try {
      Answers& of_task = answers[record.at("task").get<std::string>()];
      for (const Json& document : record.at("documents")) add_document(of_task, document);
    } catch (const Json::exception&) {
      continue;
    }
  }
  return answers;
}

std::vector<BenchmarkDifference> compare_benchmarks(const Plan& plan,
                                                    const std::filesystem::path& workspace) {
  std::map<std::string, Sums> sums;  // by task
  for (const int64_t seed : plan.seeds) {
    const auto answers_of = [&](size_t candidate) -> std::map<std::string, Answers> {
      for (const PlannedRun& run : plan.runs)
        if (run.candidate == candidate && run.seed == seed && run.done && run.done->status == "ok")
          return read_answers(sessions::run_dir(workspace, run.session, run.test));
      return {};
    };
    const auto of_a = answers_of(0), of_b = answers_of(1);
    for (const auto& [task, answers] : of_a)
      if (const auto other = of_b.find(task); other != of_b.end())
        sums[task].add(answers, other->second);
  }
  std::vector<BenchmarkDifference> differences;
  for (const auto& [task, sum] : sums) {
    if (sum.seeds == 0) continue;
    const std::vector<double> a = divided(sum.a, sum.seeds), b = divided(sum.b, sum.seeds);
    const Spread of_a = *spread_of(a), of_b = *spread_of(b);
    differences.push_back({task, sum.choices, sum.seeds, of_a.mean, of_b.mean,
                           *paired_difference(a, b), unpaired_error(of_a, of_b)});
  }
  return differences;
}

}  // namespace bitloop::baselines
