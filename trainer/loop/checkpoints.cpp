#include "trainer/loop/checkpoints.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <map>

namespace bitloop::trainer {

using nlohmann::json;

namespace {

constexpr const char* kProgress = "progress";
constexpr const char* kInARow = "early_stop_in_a_row";
constexpr const char* kOptimizerSteps = "adamw_steps";

}  // namespace

NamedTensors Checkpoints::tensors() const {
  NamedTensors all = run_.state_tensors();
  for (auto& moment : optimizer_.moments()) all.push_back(std::move(moment));
  return all;
}

Status Checkpoints::resume() {
  if (!run_.checkpoints || !run_.job.resume) return {};
  const at::NoGradGuard no_grad;
  std::vector<std::string> notes;
  BITLOOP_ASSIGN(found, run_.checkpoints->newest(run_digest(run_.job), notes));
  if (found) {
    const auto progress = Progress::from_json(found->progress.value(kProgress, json()));
    std::map<std::string, at::Tensor> stored(found->tensors.begin(), found->tensors.end());
    const NamedTensors wanted = tensors();
    for (const auto& [name, tensor] : wanted) {
      const auto tensor_of_file = stored.find(name);
      if (!progress || stored.size() != wanted.size() || tensor_of_file == stored.end() ||
          tensor_of_file->second.sizes() != tensor.sizes())
        return fail("infrastructure",
                    fmt::format("the checkpoint of step {} does not fit this run at '{}', though "
                                "it says that it is of this run; test again",
                                found->step, name));
      tensor.detach().copy_(tensor_of_file->second);
    }
    progress_ = *progress;
    optimizer_.set_steps_done(found->progress.value(kOptimizerSteps, found->step));
    watch_.set_in_a_row(found->progress.value(kInARow, int64_t{0}));
  }
  run_.records->send("resumed", {{"step", progress_.steps}, {"notes", notes}});
  return {};
}

Status Checkpoints::after_step() {
  if (!run_.checkpoints) return {};
  const int64_t done = progress_.steps;
  due_ = due_ || done % run_.job.checkpoint.every == 0;
  const int64_t requantize = std::max<int64_t>(1, run_.quantizer->format().requantize_every);
  if (!due_ || done % requantize != 0 || done == run_.job.train.steps) return {};
  due_ = false;
  BITLOOP_TRY(check_variables(run_));
  run_.checkpoints->save({done,
                          {{kProgress, progress_.to_json()},
                           {kInARow, watch_.in_a_row()},
                           {kOptimizerSteps, optimizer_.steps_done()}},
                          tensors()},
                         run_digest(run_.job));
  report();
  return {};
}

void Checkpoints::report() {
  if (!run_.checkpoints) return;
  while (const auto saved = run_.checkpoints->take_saved()) {
    const bool ok = saved->status.has_value();
    run_.records->send(
        "checkpoint",
        {{"step", saved->step},
         {"file", saved->file},
         {"seconds", saved->seconds},
         {"ok", ok},
         {"message", ok ? "written"
                        : fmt::format("{} was not written ({}); the ones before it are whole, and "
                                      "training goes on",
                                      saved->file, saved->status.error().message)}});
  }
}

void Checkpoints::finish() {
  if (!run_.checkpoints) return;
  run_.checkpoints->wait();
  report();
}

}  // namespace bitloop::trainer
