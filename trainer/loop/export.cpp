#include "trainer/loop/export.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <unistd.h>

#include "sandbox/lock_down.h"
#include "trainer/checkpoint/huggingface.h"
#include "trainer/loop/finished_run.h"
#include "trainer/loop/threads.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

// The weights become those that the layers compute with. Activations stay as they come: the format
// has no place for a function of them.
Status use_quantised_weights(Run& run) {
  const ForwardContext context = finished_context(run);
  BITLOOP_TRY(run.model->quantize_weights(context));
  const lua::Format& format = run.quantizer->format();
  if (format.hadamard_block > 0 || run.quantizer->has("input"))
    return fail("wrong_usage",
                "this quantizer transforms what its layers read, which a Hugging Face model has no "
                "place for: --weights latent exports the weights before quantisation");
  for (BitLinear* layer : run.model->bitlinears()) {
    if (layer->layer.name == "lm_head")
      return fail("wrong_usage",
                  "the head of this run is quantised, but a Hugging Face model's is the embedding: "
                  "--weights latent exports the weights before quantisation");
    materialise_value(layer->weight_operand, layer->latent, format);
    layer->weight.detach().copy_(layer->weight_operand.value);
    if (!layer->row_bias.defined()) continue;
    if (!layer->bias.defined())
      return fail("wrong_usage", "row_bias of a model without biases can't be exported");
    layer->bias.detach().add_(layer->row_bias);
  }
  return {};
}

Status run_export(const json& job, const Records& records) {
  const at::NoGradGuard no_grad;
  start_threads(job.at("threads"));
  const int weights_fd = job.at("weights").at("fd");
  BITLOOP_ASSIGN(file, MappedFile::map(weights_fd));
  ::close(weights_fd);
  warm_libraries();
  BITLOOP_TRY(sandbox::lock_down(sandbox::LockDownProfile::kCpu));
  const auto work = [&]() -> Status {
    const auto tensors = MappedTensors::parse(file);
    if (!tensors) return fail("bad_weights", "weights.safetensors " + tensors.error().message);
    auto run = load_finished_run(job.at("job"), *tensors, records);
    if (!run)
      return run.error().code == "bad_weights"
                 ? fail("bad_weights", "weights.safetensors " + run.error().message)
                 : Status(std::unexpected(run.error()));
    if (job.at("use") == "quantised") BITLOOP_TRY(use_quantised_weights(**run));
    const NamedTensors named = huggingface_tensors(*(*run)->model);
    for (const auto& [name, tensor] : named)
      if (!at::isfinite(tensor).all().item<bool>())
        return fail("bad_weights",
                    fmt::format("weights.safetensors holds a number in '{}' that is not finite", name));
    BITLOOP_TRY(write_safetensors(job.at("output").at("fd"), named));
    records.send("exported", {{"config", huggingface_config((*run)->job.model)}});
    return {};
  };
  const Status done = work();
  records.send("result", {{"status", done ? "ok" : done.error().code},
                          {"message", done ? "exported" : done.error().message}});
  return {};
}

}  // namespace

Status export_model(const json& job, const Records& records) {
  try {
    return run_export(job, records);
  } catch (const json::exception& error) {
    return fail("bad_job", fmt::format("the export's job can't be read: {}", error.what()));
  }
}

}  // namespace bitloop::trainer
