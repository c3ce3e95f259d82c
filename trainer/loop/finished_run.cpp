#include "trainer/loop/finished_run.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <utility>
#include <vector>

#include "harness/base/fd.h"
#include "sandbox/lock_down.h"
#include "trainer/eval/scorer.h"
#include "trainer/loop/threads.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

Status run(const json& job, const json& weights, const ModelConfig* model, const Records& records,
           const std::function<Status(const MappedTensors&, const Machine&)>& work) {
  BITLOOP_ASSIGN(machine, open_machine(job.value("device", "cpu")));
  const at::NoGradGuard no_graph;
  start_threads(job.at("threads"));
  std::vector<std::pair<std::string, std::shared_ptr<const MappedFile>>> files;
  for (const json& part : weights) {
    const UniqueFd fd(part.at("fd").get<int>());
    BITLOOP_ASSIGN(file, MappedFile::map(fd.get()));
    files.emplace_back(part.at("path"), std::move(file));
  }
  warm_scoring(model);
  BITLOOP_TRY(sandbox::lock_down(machine.opened.is_cpu() ? sandbox::LockDownProfile::kCpu
                                                         : sandbox::LockDownProfile::kCuda));
  // From here on files are read that may be hostile.
  std::string name = files.size() == 1 ? files.front().first : "the model";
  const auto load_and_work = [&]() -> Status {
    MappedTensors all;
    for (const auto& [path, file] : files) {
      const auto part = MappedTensors::parse(file);
      const Status added = part ? all.add(*part) : Status(std::unexpected(part.error()));
      if (added) continue;
      name = path;
      return added;
    }
    return work(all, machine);
  };
  const Status done = load_and_work();
  const std::string status = done ? "ok" : done.error().code;
  std::string message = done ? "done" : done.error().message;
  if (status == "bad_weights") message = fmt::format("{} {}", name, message);
  records.send("result", {{"status", status}, {"message", message}});
  return {};
}

}  // namespace

Status run_with_weights(const json& job, const json& weights, const ModelConfig* scored,
                        const Records& records,
                        const std::function<Status(const MappedTensors&, const Machine&)>& work) {
  try {
    return run(job, weights, scored, records, work);
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
  // On the CPU, wherever it was trained: what is done here is packing, export and single texts.
  // From the seed, because Q.init may look at the weights that training began with.
  run->model = std::make_unique<Transformer>(run->job.model, run->job.rules.quantize_head,
                                             run->job.train.seed);
  BITLOOP_TRY(load_candidate(*run));
  for (const auto& [name, tensor] : run->state_tensors()) {
    BITLOOP_ASSIGN(stored, weights.get(name));
    if (stored.sizes() != tensor.sizes())
      return fail("bad_weights",
                  fmt::format("'{}' is {}, but the run's job makes it {}", name,
                              fmt::join(stored.sizes(), " x "), fmt::join(tensor.sizes(), " x ")));
    tensor.detach().copy_(stored);
  }
  BITLOOP_ASSIGN(fresh, load_fresh(*run));
  run->quantizer = std::move(fresh);
  return run;
}

ForwardContext finished_context(const Run& run) {
  ForwardContext context = run.context(run.job.train.steps, false);
  context.lambda = 1.0;
  context.products = Products::kExact;  // integer products would make code for every length
  context.packed = true;
  return context;
}

}  // namespace bitloop::trainer
