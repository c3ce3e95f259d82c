#include "trainer/loop/finished_run.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <utility>
#include <vector>

#include "harness/base/fd.h"
#include "sandbox/lock_down.h"
#include "trainer/device/cuda_kernels.h"
#include "trainer/device/device.h"
#include "trainer/eval/scorer.h"
#include "trainer/loop/threads.h"
#include "trainer/model/device_product.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

Result<Machine> open_machine(const std::string& wanted) {
  Machine machine;
  BITLOOP_ASSIGN(device, open_device(wanted));
  if (device.is_cpu()) return machine;
  auto kernels = open_cuda_kernels();
  if (!kernels && wanted == "auto") {
    fmt::print(stderr, "on the CPU: {}\n", kernels.error().message);
    return machine;
  }
  if (!kernels) return std::unexpected(kernels.error());
  machine.device = device;
  machine.kernels = std::move(*kernels);
  return machine;
}

// What a sequence needs on a GPU, once: libraries read their files at the first use.
void warm_serving(const Machine& machine) {
  constexpr int64_t kWidth = 64;
  Transformer model({.vocab_size = 64,
                     .padded_vocab_size = 64,
                     .context = 8,
                     .layers = 1,
                     .heads = 2,
                     .width = kWidth},
                    false, 1);
  const ForwardContext context{.products = Products::kFloat32, .as_stored = true};
  (void)model.quantize_weights(context);
  if (!model.serve_on(machine.device, *machine.kernels)) return;
  KeyValueCache cache = model.make_cache(4);
  const at::Tensor ids = at::zeros({2}, at::TensorOptions(machine.device).dtype(at::kLong));
  const auto prompt = model.prefill(ids, cache, context);
  KeyValueCache* const one[] = {&cache};
  const auto next = model.decode(ids.narrow(0, 0, 1), one, context);
  if (prompt && next) (void)model.logits(*next, context)->cpu();
  lua::Format format;
  format.levels = {-1, 0, 1};
  const StoredWeight weight{.out_features = 8,
                            .in_features = kWidth,
                            .codes = at::zeros({(8 * kWidth + 4) / 5}, at::kByte),
                            .scale = at::ones({1}),
                            .offset = {},
                            .codebook = {}};
  const auto product =
      device_packed_product(weight, format, {at::ones({1}), 1}, machine.device, *machine.kernels);
  Operand row;
  row.value = at::ones({1, kWidth}, machine.device);
  (void)product->multiply(row, {});
  row.codes_int8 = row.value.to(at::kChar);
  row.int8_scale = at::ones({1}, machine.device);
  (void)product->multiply(row, {}).cpu();
}

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
  if (machine.kernels) warm_serving(machine);
  BITLOOP_TRY(sandbox::lock_down(machine.kernels ? sandbox::LockDownProfile::kCuda
                                                 : sandbox::LockDownProfile::kCpu));
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
