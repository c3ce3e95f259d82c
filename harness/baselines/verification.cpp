#include "harness/baselines/verification.h"

#include <fmt/format.h>

namespace bitloop::baselines {

using Json = nlohmann::ordered_json;

std::string verification_mark(const std::string& session, int64_t test) {
  return fmt::format("verifies {}/{}", session, test);
}

std::optional<Verification> verification_of(const ledger::Row& row,
                                            const std::vector<ledger::Row>& all) {
  if (!row.test) return {};
  const std::string mark = verification_mark(row.session, *row.test);
  Verification verification;
  std::vector<double> losses;
  for (const ledger::Row& other : all) {
    if (other.type != "verify" || other.description != mark) continue;
    // What the machine failed says nothing.
    if (other.status == "infrastructure" || other.status == "cancelled") continue;
    ++verification.runs;
    if (other.val_loss) losses.push_back(*other.val_loss);
  }
  if (verification.runs == 0) return {};
  verification.val_loss = spread_of(losses);
  return verification;
}

const char* name_of(Standing standing) {
  switch (standing) {
    case Standing::kHolds:
      return "holds";
    case Standing::kLucky:
      return "lucky";
    case Standing::kFailed:
      return "failed";
    case Standing::kUndecided:
      return "undecided";
  }
  return "undecided";
}

Judgement judge(const Verification& verification, std::optional<double> score,
                const std::optional<PooledSpread>& floor) {
  Judgement judgement;
  const std::optional<Spread>& hidden = verification.val_loss;
  if (hidden && score) judgement.difference = hidden->mean - *score;
  if (hidden && floor) {
    judgement.noise = noise_of_one_run(*floor, hidden->count);
  } else if (hidden && hidden->sd) {
    judgement.noise = noise_of_one_run({*hidden->sd, hidden->count - 1}, hidden->count);
  }
  if (verification.failed() > 0)
    judgement.standing = Standing::kFailed;
  else if (judgement.difference && judgement.noise)
    judgement.standing =
        *judgement.difference <= *judgement.noise ? Standing::kHolds : Standing::kLucky;
  return judgement;
}

Json to_json(const std::optional<Verification>& verification) {
  if (!verification) return nullptr;
  const std::optional<Spread>& loss = verification->val_loss;
  return {{"runs", verification->runs},
          {"failed", verification->failed()},
          {"val_loss", loss ? Json(loss->mean) : Json()},
          {"val_loss_sd", loss && loss->sd ? Json(*loss->sd) : Json()}};
}

std::string short_text(const Json& verification) {
  if (verification.is_null()) return "";
  const size_t runs = verification["runs"], failed = verification["failed"];
  const Json &loss = verification["val_loss"], &sd = verification["val_loss_sd"];
  if (runs == 0) return "";
  if (loss.is_null()) return "failed";
  std::string text = fmt::format("{:.4f}", loss.get<double>());
  if (!sd.is_null()) text += fmt::format(" ±{:.4f}", sd.get<double>());
  text += fmt::format(" ({})", runs - failed);
  if (failed > 0) text += fmt::format(", {} failed", failed);
  return text;
}

std::string short_text(const std::optional<Verification>& verification) {
  return short_text(to_json(verification));
}

}  // namespace bitloop::baselines
