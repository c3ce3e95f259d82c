#include "trainer/loop/progress.h"

namespace bitloop::trainer {

using nlohmann::json;

namespace {

json or_null(const std::optional<double>& number) { return number ? json(*number) : json(); }

}  // namespace

json Progress::stage_metrics() const {
  return {{"step", steps}, {"train_loss", train_loss}, {"val_loss", or_null(val_loss)}};
}

json Progress::costs(const Job& job) const {
  const double tokens =
      static_cast<double>(job.train.batch * job.sequence()) * static_cast<double>(steps);
  return {{"tokens", tokens}, {"train_s", seconds}, {"tokens_per_s", tokens / seconds}};
}

json Progress::to_json() const {
  return {{"steps", steps},
          {"seconds", seconds},
          {"elapsed", elapsed},
          {"train_loss", train_loss},
          {"val_loss", or_null(val_loss)},
          {"first_losses", first_losses}};
}

std::optional<Progress> Progress::from_json(const json& document) {
  try {
    Progress progress;
    document.at("steps").get_to(progress.steps);
    document.at("seconds").get_to(progress.seconds);
    document.at("elapsed").get_to(progress.elapsed);
    document.at("train_loss").get_to(progress.train_loss);
    if (!document.at("val_loss").is_null()) progress.val_loss = document["val_loss"].get<double>();
    progress.first_losses = document.at("first_losses");
    return progress;
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

}  // namespace bitloop::trainer
