#include "trainer/loop/benchmark_score.h"

#include <ATen/ATen.h>

#include "trainer/loop/finished_run.h"
#include "trainer/tokenizer/gpt2.h"

namespace bitloop::trainer {
namespace {

constexpr int kProgressMs = 5000;

}  // namespace

Status open_benchmarks(Run& run) {
  const nlohmann::json& description = run.job.benchmarks;
  if (description.is_null()) return {};
  if (run.job.model.vocab_size != tokenizer::Gpt2::kSize || run.job.data.format == "bytes")
    return fail("bad_job", "benchmarks are for models with GPT-2's tokens");
  try {
    BITLOOP_ASSIGN(opened, Benchmarks::open(description));
    run.benchmarks = std::move(opened);
  } catch (const nlohmann::json::exception& error) {
    return fail("bad_job", std::string("benchmarks can't be read: ") + error.what());
  }
  warm_scoring(&run.job.model, run.device);
  return {};
}

Result<std::optional<BenchmarkScores>> score_benchmarks(Run& run, bool reversed) {
  if (!run.benchmarks) return std::optional<BenchmarkScores>();
  const at::NoGradGuard no_graph;
  const EvalOptions validation = score_options(run.job, reversed);
  ScoreGuards guards(run.quantizer.get(), validation.reorder_rows, validation.order_seed,
                     run.device);
  ForwardContext context = finished_context(run);
  context.guard = guards.of(1);
  BITLOOP_TRY(run.model->quantize_weights(context));
  if (const Finding levels = audit_levels(*run.model, run.quantizer->format()); !levels.ok)
    return fail(levels.status, levels.detail);
  auto scores = run.benchmarks->run(*run.model, context,
                                    {.skip = true,
                                     .progress_ms = kProgressMs,
                                     .scoring = {.reversed = reversed, .guards = &guards}},
                                    *run.records);
  if (!scores && scores.error().code == "bad_model")
    return fail("diverged", scores.error().message);
  if (!scores) return std::unexpected(scores.error());
  return std::optional(std::move(*scores));
}

}  // namespace bitloop::trainer
