#include <ATen/ATen.h>

#include <algorithm>

#include "trainer/distributed/meeting.h"
#include "trainer/eval/evaluate.h"
#include "trainer/loop/benchmark_score.h"
#include "trainer/loop/modes.h"
#include "trainer/loop/packed_run.h"
#include "trainer/loop/step.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

// The numbers that must be the same as training's.
Result<json> repeat(Run& run) {
  BITLOOP_TRY(load_candidate(run));
  json first_losses = json::array();
  {
    AdamW optimizer = make_optimizer(run);
    const int64_t steps = std::min(kRepeatedSteps, run.job.train.steps);
    for (int64_t step = 0; step < steps; ++step) {
      BITLOOP_ASSIGN(result, train_step(run, optimizer, step));
      first_losses.push_back(result.loss);
    }
  }
  // The score is rank 0's to repeat.
  if (!is_first(run)) return json({{"first_losses", first_losses}});
  BITLOOP_ASSIGN(fresh, load_fresh(run));
  run.quantizer = std::move(fresh);
  BITLOOP_ASSIGN(packed, MappedTensors::parse(run.packed));
  BITLOOP_TRY(load_packed(packed, run));
  BITLOOP_ASSIGN(score, evaluate(*run.model, run.data.validation, score_options(run.job, true),
                                 run.context(run.job.train.steps, false)));
  json metrics = {{"first_losses", first_losses}, {"val_loss", score.loss}};
  BITLOOP_ASSIGN(benchmarks, score_benchmarks(run, true));
  if (benchmarks) {
    metrics["benchmarks_digest"] = benchmarks->digest;
    metrics["documents_digest"] = benchmarks->documents_digest;
  }
  return metrics;
}

}  // namespace

Status verify(Job job, const Records& records) {
  BITLOOP_ASSIGN(run, prepare(std::move(job), records));
  const Result<json> repeated = repeat(*run);
  if (const Status lost = companion_failure(*run, repeated); !lost) return lost;
  const bool ok = repeated.has_value();
  records.send("result", {{"status", ok ? "ok" : repeated.error().code},
                          {"message", ok ? "repeated" : repeated.error().message},
                          {"stages", json::array()},
                          {"metrics", ok ? *repeated : json::object()},
                          {"flags", json::array()},
                          {"findings", json::array()}});
  return {};
}

}  // namespace bitloop::trainer
