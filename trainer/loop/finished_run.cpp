#include "trainer/loop/finished_run.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "trainer/eval/scorer.h"

namespace bitloop::trainer {

Result<std::unique_ptr<Run>> load_finished_run(const nlohmann::json& job,
                                               const MappedTensors& weights,
                                               const Records& records) {
  const at::NoGradGuard no_grad;
  nlohmann::json document = job;
  document["nonce"] = "";  // records are the caller's
  auto run = std::make_unique<Run>();
  BITLOOP_ASSIGN(parsed, parse_job(document.dump()));
  run->job = std::move(parsed);
  run->records = &records;
  // From the seed, because Q.init may look at the weights that training began with.
  run->model =
      std::make_unique<Gpt2>(run->job.model, run->job.rules.quantize_head, run->job.train.seed);
  BITLOOP_TRY(load_candidate(*run));
  for (const auto& [name, tensor] : run->state_tensors()) {
    BITLOOP_ASSIGN(stored, weights.get(name));
    if (stored.sizes() != tensor.sizes())
      return fail("bad_weights", fmt::format("'{}' is {}, but the run's job makes it {}", name,
                                             fmt::join(stored.sizes(), " x "),
                                             fmt::join(tensor.sizes(), " x ")));
    tensor.detach().copy_(stored);
  }
  BITLOOP_ASSIGN(fresh, load_fresh(run->job));
  run->quantizer = std::move(fresh);
  return run;
}

void warm_libraries() {
  Gpt2 model({.vocab_size = 64,
              .padded_vocab_size = 64,
              .context = 64,
              .layers = 1,
              .heads = 2,
              .width = 128},
             false, 1);
  const ForwardContext context;
  (void)model.quantize_weights(context);
  const Window window{std::vector<int32_t>(64, 1), std::vector<int32_t>(64, 2)};
  (void)score_windows(model, std::vector{window, window}, context, {}, [](size_t) {});
}

ForwardContext finished_context(const Run& run) {
  ForwardContext context = run.context(run.job.train.steps, false);
  context.lambda = 1.0;
  context.products = Products::kExact;  // integer products would make code for every length
  return context;
}

}  // namespace bitloop::trainer
