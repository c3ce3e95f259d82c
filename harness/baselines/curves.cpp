#include "harness/baselines/curves.h"

#include <fmt/format.h>

#include <set>

#include "harness/base/fd.h"
#include "harness/base/text.h"
#include "harness/sessions/job.h"

namespace bitloop::baselines {
namespace {

constexpr size_t kMaxEvents = size_t{256} << 20;

void read_losses(std::string_view events, Curve& curve) {
  for (const std::string& line : split_lines(events)) {
    const auto record = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!record.is_object() || record.value("type", "") != "val") continue;
    const auto step = record.find("step"), loss = record.find("val_loss"),
               lambda = record.find("lambda");
    if (step == record.end() || !step->is_number_integer()) continue;
    if (loss == record.end() || !loss->is_number()) continue;
    curve.losses[step->get<int64_t>()] = loss->get<double>();
    if (lambda != record.end() && lambda->is_number())
      curve.lambdas[step->get<int64_t>()] = lambda->get<double>();
  }
}

}  // namespace

std::vector<Curve> read_curves(const Plan& plan, const std::filesystem::path& runs) {
  std::vector<Curve> curves;
  for (const PlannedRun& run : plan.runs) {
    if (!run.done || run.done->status != "ok" || !run.done->row.val_loss) continue;
    Curve curve{plan.candidates[run.candidate].name, run.seed, *run.done->row.val_loss, {}};
    const auto folder = runs / fmt::format("{}-{}", run.session, run.test);
    read_losses(read_file(folder / "events.jsonl", kMaxEvents).value_or(""), curve);
    if (!curve.losses.empty()) curves.push_back(std::move(curve));
  }
  return curves;
}

std::string curves_text(const Plan& plan, const std::vector<Curve>& curves) {
  std::set<int64_t> steps;
  for (const Curve& curve : curves)
    for (const auto& [step, loss] : curve.losses) steps.insert(step);
  std::string text = fmt::format(
      "# task {}, {} steps: val_loss of {} batches during training, and of the whole split at the "
      "end\nname\tseed\tval_loss",
      plan.task.name, plan.preset.at("train").at("steps").get<int64_t>(),
      plan.preset.at("eval").at("batches").get<int64_t>());
  for (const int64_t step : steps) text += fmt::format("\tat_{}", step);
  text += '\n';
  for (const Curve& curve : curves) {
    text += fmt::format("{}\t{}\t{}", curve.name, curve.seed, format_number(curve.final_loss));
    for (const int64_t step : steps) {
      const auto loss = curve.losses.find(step);
      text += '\t';
      if (loss != curve.losses.end()) text += format_number(loss->second);
    }
    text += '\n';
  }
  return text;
}

}  // namespace bitloop::baselines
