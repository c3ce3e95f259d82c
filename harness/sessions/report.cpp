#include "harness/sessions/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "harness/base/text.h"

namespace bitloop::sessions {
namespace {

using nlohmann::json;

const json& member(const json& object, const char* name) {
  static const json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(name);
  return found == object.end() ? kNull : *found;
}

std::string text_member(const json& object, const char* name, std::string otherwise = "") {
  const json& value = member(object, name);
  return value.is_string() ? value.get<std::string>() : otherwise;
}

// A stage as rendered: what the trainer's result has, or what can be told from the events.
struct Stage {
  std::string name;
  json metrics;
  std::string failure;     // "[FAILED script_error] candidate.lua:17: …", or ""
  json not_measured = {};  // benchmarks that were left out: {name: why}
};

std::string failure_line(std::string_view status, std::string detail) {
  std::replace(detail.begin(), detail.end(), '\n', ' ');
  return fmt::format("[FAILED {}] {}", status, detail);
}

std::vector<Stage> stages_of_result(const json& result) {
  std::vector<Stage> stages;
  for (const json& item : member(result, "stages")) {
    Stage stage;
    stage.name = text_member(item, "name", "train");
    stage.metrics = member(item, "metrics");
    stage.not_measured = member(item, "not_measured");
    const json& failure = member(item, "failure");
    if (failure.is_object())
      stage.failure = failure_line(text_member(failure, "status", "script_error"),
                                   text_member(failure, "detail"));
    stages.push_back(std::move(stage));
  }
  return stages;
}

// A killed run has no result; its records tell how far it came.
std::vector<Stage> stages_of_events(std::string_view events) {
  std::vector<Stage> stages = {{"train", json::object(), ""}};
  for (const std::string& line : split_lines(events)) {
    const json record = json::parse(line, nullptr, false);
    const std::string type = text_member(record, "type");
    const std::string stage = text_member(record, "name");
    if (type == "stage" && (stage == "eval" || stage == "benchmarks"))
      stages.push_back({stage, json(), ""});
    if (type != "step" && type != "val") continue;
    for (const char* name : {"step", "train_loss", "val_loss"})
      if (const json& value = member(record, name); value.is_number())
        stages[0].metrics[name] = value;
  }
  return stages;
}

void render_stage(std::string& text, const Stage& stage, std::string_view label) {
  text += fmt::format("{}### {} ({})", text.empty() ? "" : "\n", stage.name, label);
  const std::string metrics = render_metrics(stage.metrics);
  if (!metrics.empty() && stage.name == "train")
    text += "\nTraining metrics (last steps):\nTRAIN_METRICS: " + metrics;
  else if (!metrics.empty())
    text += "\nEVAL_METRICS: " + metrics;
  if (stage.not_measured.is_object())
    for (const auto& [name, why] : stage.not_measured.items())
      if (why.is_string())
        text += fmt::format("\nNot measured: {}: {}", name, single_line(why.get<std::string>()));
  if (!stage.failure.empty()) text += "\n" + stage.failure;
}

}  // namespace

std::string test_headline(int64_t test, int64_t tests_left) {
  if (tests_left == 0)
    return fmt::format("[Test #{}] (0 tests remaining; submit is now mandatory: call submit(n=N))",
                       test);
  return fmt::format(
      "[Test #{}] ({} test{} remaining; call submit(n=N) to choose which test result to submit as "
      "final)",
      test, tests_left, tests_left == 1 ? "" : "s");
}

std::string submit_sentence(int64_t test) {
  return fmt::format("[submit] Submitting result from test #{} as final.", test);
}

std::string render_metrics(const json& metrics) {
  if (!metrics.is_object()) return "";
  std::vector<std::string> names = {"step", "train_loss"};
  for (const ledger::Column& column : ledger::columns()) names.push_back(column.name);
  for (const auto& [name, value] : metrics.items())
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  std::vector<std::string> parts;
  for (const std::string& name : names) {
    const json& value = member(metrics, name.c_str());
    if (value.is_number_integer())
      parts.push_back(fmt::format("{}={}", name, value.get<int64_t>()));
    else if (value.is_number() && std::isfinite(value.get<double>()))
      parts.push_back(fmt::format("{}={:.4f}", name, value.get<double>()));
  }
  return join(parts, ", ");
}

std::string render_stages(const jobs::Verdict& verdict, std::string_view label,
                          std::string_view events) {
  std::vector<Stage> stages = stages_of_result(verdict.result);
  if (stages.empty()) stages = stages_of_events(events);
  const bool told = std::any_of(stages.begin(), stages.end(),
                                [](const Stage& stage) { return !stage.failure.empty(); });
  if (verdict.status != "ok" && !told)
    stages.back().failure = failure_line(verdict.status, verdict.message);
  std::string text;
  for (const Stage& stage : stages) render_stage(text, stage, label);
  return text;
}

void fill_row(ledger::Row& row, const jobs::Verdict& verdict) {
  row.status = verdict.status;
  row.flags = verdict.flags;
  const json& metrics = member(verdict.result, "metrics");
  // A metric of the wrong type is left out: the trainer is ours, but a row is written in any case.
  // Only a test that ended ok has a score: a loss that was refused or never repeated must not stand
  // in a table that people sort.
  constexpr std::string_view kCosts[] = {"params", "tokens", "train_s", "tokens_per_s", "seed"};
  if (metrics.is_object())
    for (const auto& [name, value] : metrics.items())
      if (verdict.status == "ok" ||
          std::find(std::begin(kCosts), std::end(kCosts), name) != std::end(kCosts))
        (void)ledger::set_metrics(row, json{{name, value}});
  row.device = text_member(metrics, "device");
  row.precision = text_member(metrics, "precision");
  if (const json& ranks = member(metrics, "ranks"); ranks.is_number_integer())
    row.ranks = ranks.get<int64_t>();
  if (row.description.empty()) row.description = text_member(metrics, "doc");
  if (!row.peak_memory_mb) {
    const json& memory = member(verdict.jail, "max_rss_mb");
    if (memory.is_number() && memory.get<double>() > 0) row.peak_memory_mb = memory.get<double>();
  }
}

std::string version_of(std::string_view events) {
  constexpr size_t kMost = 64;
  const json header = json::parse(events.substr(0, events.find('\n')), nullptr, false);
  if (text_member(header, "type") != "header") return "";
  const std::string version = text_member(header, "version");
  const std::string hash = text_member(header, "git_hash");
  const auto plain = [](const std::string& text) {
    return !text.empty() && text.size() <= kMost &&
           std::ranges::all_of(text, [](char c) { return c > ' ' && c < 127 && c != '+'; });
  };
  return plain(version) && plain(hash) ? fmt::format("{}+{}", version, hash) : "";
}

std::string behaviour_of(const jobs::Verdict& verdict) {
  constexpr size_t kDigits = 64;
  const std::string digest = text_member(member(verdict.result, "metrics"), "behaviour");
  const bool valid =
      digest.size() == kDigits && digest.find_first_not_of("0123456789abcdef") == std::string::npos;
  return valid ? digest : "";
}

nlohmann::ordered_json check_document(const jobs::Verdict& verdict, int64_t ms) {
  nlohmann::ordered_json findings = nlohmann::ordered_json::array();
  // The status decides: a task may allow what a finding names (paper_compat and look-ahead).
  const bool ok = verdict.status == "ok";
  bool any_failed = false;
  for (const json& finding : member(verdict.result, "findings")) {
    const json& finding_ok = member(finding, "ok");
    const bool passed = finding_ok.is_boolean() && finding_ok.get<bool>();
    any_failed |= !passed;
    findings.push_back({{"rule", text_member(finding, "rule")},
                        {"ok", passed},
                        {"detail", text_member(finding, "detail")}});
  }
  if (!ok && !any_failed)
    findings.push_back({{"rule", verdict.status}, {"ok", false}, {"detail", verdict.message}});
  const json& bits = member(member(verdict.result, "metrics"), "bits_per_weight");
  return {{"ok", ok},
          {"findings", findings},
          {"bits_per_weight", bits.is_number() ? bits : json()},
          {"ms", ms},
          {"warnings", nlohmann::ordered_json::array()}};
}

}  // namespace bitloop::sessions
