#include "harness/tasks/early_stop.h"

#include <fmt/format.h>

#include <cmath>

#include "harness/base/fd.h"
#include "harness/base/text.h"

namespace bitloop::tasks {
namespace {

using Json = nlohmann::json;
using Ordered = nlohmann::ordered_json;

constexpr size_t kMaxFile = size_t{1} << 20;
constexpr double kMostNoises = 1000;
constexpr int64_t kMostConsecutive = 1000;

std::unexpected<Error> bad_rule(std::string_view what) {
  return fail("bad_task", fmt::format("early_stop{}", what));
}

Ordered rule_json(const EarlyStopRule& rule) {
  return {{"baseline", rule.baseline},
          {"noises", rule.noises},
          {"from", rule.from},
          {"consecutive", rule.consecutive}};
}

// Throws what nlohmann::json throws for a member that is missing or of another type.
EarlyStop read_measured(const Json& document) {
  EarlyStop stop;
  for (const Json& limit : document.at("limits"))
    stop.limits.push_back({limit.at("step").get<int64_t>(), limit.at("val_loss").get<double>(),
                           limit.at("baseline").get<double>()});
  const Json& record = document.at("recorded");
  record.at("runs").get_to(stop.record.runs);
  record.at("stopped").get_to(stop.record.stopped);
  record.at("false_stops").get_to(stop.record.false_stops);
  record.at("steps_saved").get_to(stop.record.steps_saved);
  return stop;
}

}  // namespace

Result<EarlyStopRule> parse_early_stop_rule(const Json& value) {
  if (!value.is_object()) return bad_rule(" must be an object");
  EarlyStopRule rule;
  for (const auto& [key, member] : value.items()) {
    const double number = member.is_number() ? member.get<double>() : std::nan("");
    if (key == "baseline") {
      if (!member.is_string()) return bad_rule(".baseline must be a quantizer's name");
      rule.baseline = member.get<std::string>();
    } else if (key == "noises") {
      if (!(number > 0 && number <= kMostNoises))
        return bad_rule(fmt::format(".noises must be a number above 0, at most {}", kMostNoises));
      rule.noises = number;
    } else if (key == "from") {
      if (!(number > 0 && number < 1)) return bad_rule(".from must be a number between 0 and 1");
      rule.from = number;
    } else if (key == "consecutive") {
      if (!member.is_number_integer() || !(number >= 1 && number <= kMostConsecutive))
        return bad_rule(
            fmt::format(".consecutive must be a whole number, 1 … {}", kMostConsecutive));
      rule.consecutive = member.get<int64_t>();
    } else {
      return bad_rule(fmt::format(".{} is not known", single_line(key)));
    }
  }
  if (rule.baseline.empty()) return bad_rule(".baseline must be a quantizer's name");
  return rule;
}

Ordered to_json(const EarlyStop& stop) {
  Ordered limits = Ordered::array();
  for (const EarlyStopLimit& limit : stop.limits)
    limits.push_back(
        {{"step", limit.step}, {"val_loss", limit.val_loss}, {"baseline", limit.baseline}});
  Ordered document = rule_json(stop.rule);
  document["limits"] = std::move(limits);
  document["recorded"] = {{"runs", stop.record.runs},
                          {"stopped", stop.record.stopped},
                          {"false_stops", stop.record.false_stops},
                          {"steps_saved", stop.record.steps_saved}};
  return document;
}

Result<EarlyStop> load_early_stop(const std::filesystem::path& share_dir, const std::string& task,
                                  const EarlyStopRule& rule, const Json& preset) {
  const std::filesystem::path file = share_dir / "baselines" / (task + "-early-stop.json");
  const auto text = read_file(file, kMaxFile);
  if (!text && text.error().code == "file_not_found") return EarlyStop{rule, {}, {}};
  if (!text) return std::unexpected(text.error());
  const auto bad = [&](std::string_view what) {
    return fail("bad_baselines", fmt::format("{}: {}", file.string(), what));
  };
  try {
    const Json document = Json::parse(*text);
    EarlyStop stop = read_measured(document);
    BITLOOP_ASSIGN(measured, parse_early_stop_rule({{"baseline", document.at("baseline")},
                                                    {"noises", document.at("noises")},
                                                    {"from", document.at("from")},
                                                    {"consecutive", document.at("consecutive")}}));
    // Measured for another schedule: no statement about this one.
    if (measured != rule || document.at("evaluations") != Json(evaluations_of(preset)))
      return EarlyStop{rule, {}, {}};
    stop.rule = rule;
    return stop;
  } catch (const Json::exception& error) {
    return bad(single_line(error.what()));
  }
}

Ordered evaluations_of(const Json& preset) {
  return {{"steps", preset.at("train").at("steps")},
          {"every", preset.at("eval").at("every")},
          {"batches", preset.at("eval").at("batches")}};
}

Json job_early_stop(const EarlyStop& stop) {
  if (stop.limits.empty()) return nullptr;
  Json limits = Json::array();
  for (const EarlyStopLimit& limit : stop.limits)
    limits.push_back({limit.step, limit.val_loss, limit.baseline});
  return {{"baseline", stop.rule.baseline},
          {"consecutive", stop.rule.consecutive},
          {"limits", std::move(limits)}};
}

}  // namespace bitloop::tasks
