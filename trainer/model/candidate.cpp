#include "trainer/model/candidate.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace bitloop::trainer {

lua::Context script_context(const BitLinear& layer, const ForwardContext& context) {
  return lua::Context{.step = context.step,
                      .total_steps = context.total_steps,
                      .training = context.training,
                      .layer = &layer.layer,
                      .params = &layer.params,
                      .state = &layer.state};
}

Status check_guard(const ForwardContext& context, const char* function, const BitLinear& layer) {
  if (context.guard == nullptr || context.quantizer->state_digest() == context.guard->digest)
    return {};
  return fail("rejected", fmt::format("{} (layer {}): changes a variable that later calls can read",
                                      function, layer.layer.name));
}

Result<lua::Quantized> call_activation_quant(BitLinear& layer, const at::Tensor& x_RK,
                                             const ForwardContext& context) {
  const lua::Context script = script_context(layer, context);
  if (context.guard == nullptr || !context.guard->order.defined())
    return context.quantizer->activation_quant(x_RK, script);
  BITLOOP_ASSIGN(returned, context.quantizer->activation_quant(
                               x_RK.index_select(0, context.guard->order), script));
  for (at::Tensor* tensor : {&returned.codes, &returned.scale, &returned.offset})
    if (tensor->defined() && tensor->dim() == 2 && tensor->size(0) == x_RK.size(0))
      *tensor = tensor->index_select(0, context.guard->inverse);
  returned.surrogate = at::Tensor();  // of no use to a score
  return returned;
}

Result<at::Tensor> call_input(BitLinear& layer, const at::Tensor& x_RK,
                              const ForwardContext& context) {
  if (!layer.quantized || context.quantizer == nullptr || !context.quantizer->has("input"))
    return x_RK;
  const lua::Context script = script_context(layer, context);
  const bool reorder = context.guard != nullptr && context.guard->order.defined();
  BITLOOP_ASSIGN(made, context.quantizer->input(
                           reorder ? x_RK.index_select(0, context.guard->order) : x_RK, script));
  BITLOOP_TRY(check_guard(context, "input", layer));
  if (made.sizes() != x_RK.sizes())
    return fail("script_error",
                fmt::format("input (layer {}): must return a Tensor of x's shape ({}, {})",
                            layer.layer.name, x_RK.size(0), x_RK.size(1)));
  return reorder ? made.index_select(0, context.guard->inverse) : made;
}

}  // namespace bitloop::trainer
