#include "trainer/loop/export.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "trainer/checkpoint/huggingface.h"
#include "trainer/loop/finished_run.h"
#include "trainer/loop/packed_run.h"

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
    if (layer->layer.name == "lm_head" && run.job.model.tied_head)
      return fail("wrong_usage",
                  "the head of this run is quantised, but a Hugging Face model's is the embedding: "
                  "--weights latent exports the weights before quantisation");
    materialise_value(layer->weight_operand, layer->latent, format);
    layer->weight = layer->weight_operand.value.contiguous();
    if (!layer->row_bias.defined()) continue;
    if (!layer->bias.defined())
      return fail("wrong_usage", "row_bias of a model without biases can't be exported");
    layer->bias.detach().add_(layer->row_bias);
  }
  return {};
}

}  // namespace

Status export_model(const json& job, const Records& records) {
  return run_with_weights(
      job, job.at("weights"), nullptr, records,
      [&](const MappedTensors& weights, const Machine&) -> Status {
        const bool packed = job.contains("packed");
        if (packed && job.at("use") != "quantised")
          return fail("wrong_usage",
                      "a packed model has no weights before quantisation: name its run's folder");
        BITLOOP_ASSIGN(run, packed ? load_packed_run(weights, records)
                                   : load_finished_run(job.at("job"), weights, records));
        if (job.at("use") == "quantised") BITLOOP_TRY(use_quantised_weights(*run));
        const NamedTensors tensors = huggingface_tensors(*run->model);
        for (const auto& [name, tensor] : tensors)
          if (!at::isfinite(tensor).all().item<bool>())
            return fail("bad_weights",
                        fmt::format("holds a number in '{}' that is not finite", name));
        BITLOOP_TRY(write_safetensors(job.at("output").at("fd"), tensors));
        records.send("exported", {{"config", huggingface_config(run->job.model)}});
        return {};
      });
}

}  // namespace bitloop::trainer
