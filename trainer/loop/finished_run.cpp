#include "trainer/loop/finished_run.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <unistd.h>

#include "sandbox/lock_down.h"
#include "trainer/eval/scorer.h"
#include "trainer/loop/threads.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

// What LibTorch's libraries look up of the machine at their first use, while files can be opened: a
// small model scores something.
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

Status run(const json& job, const json& weights, const Records& records,
           const std::function<Status(const MappedTensors&)>& work) {
  const at::NoGradGuard no_graph;
  start_threads(job.at("threads"));
  const int fd = weights.at("fd");
  BITLOOP_ASSIGN(file, MappedFile::map(fd));
  ::close(fd);
  warm_libraries();
  BITLOOP_TRY(sandbox::lock_down(sandbox::LockDownProfile::kCpu));
  // From here on files are read that may be hostile.
  const auto tensors = MappedTensors::parse(file);
  const Status done = tensors ? work(*tensors) : Status(std::unexpected(tensors.error()));
  const std::string status = done ? "ok" : done.error().code;
  std::string message = done ? "done" : done.error().message;
  if (status == "bad_weights") message = weights.at("path").get<std::string>() + " " + message;
  records.send("result", {{"status", status}, {"message", message}});
  return {};
}

}  // namespace

Status run_with_weights(const json& job, const json& weights, const Records& records,
                        const std::function<Status(const MappedTensors&)>& work) {
  try {
    return run(job, weights, records, work);
  } catch (const json::exception& error) {
    return fail("bad_job", fmt::format("the job can't be read: {}", error.what()));
  }
}

Result<std::unique_ptr<Run>> load_finished_run(const json& job, const MappedTensors& weights,
                                               const Records& records) {
  const at::NoGradGuard no_grad;
  json document = job;
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
      return fail("bad_weights",
                  fmt::format("'{}' is {}, but the run's job makes it {}", name,
                              fmt::join(stored.sizes(), " x "), fmt::join(tensor.sizes(), " x ")));
    tensor.detach().copy_(stored);
  }
  BITLOOP_ASSIGN(fresh, load_fresh(run->job));
  run->quantizer = std::move(fresh);
  return run;
}

ForwardContext finished_context(const Run& run) {
  ForwardContext context = run.context(run.job.train.steps, false);
  context.lambda = 1.0;
  context.products = Products::kExact;  // integer products would make code for every length
  return context;
}

}  // namespace bitloop::trainer
