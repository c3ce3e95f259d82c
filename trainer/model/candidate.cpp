#include "trainer/model/candidate.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace bitloop::trainer {

lua::Context script_context(const BitLinear& layer, const ForwardContext& context) {
  return script_context(layer, context, layer.params, layer.state);
}

lua::Context script_context(const BitLinear& layer, const ForwardContext& context,
                            const std::map<std::string, at::Tensor>& params,
                            const std::map<std::string, at::Tensor>& state) {
  return lua::Context{.step = context.step,
                      .total_steps = context.total_steps,
                      .training = context.training,
                      .layer = &layer.layer,
                      .params = &params,
                      .state = &state};
}

lua::Context activation_context(const BitLinear& layer, const ForwardContext& context) {
  lua::Context script = script_context(layer, context);
  if (context.quantizer->format().codebook_entries > 0) script.state = nullptr;
  return script;
}

Status check_guard(const ForwardContext& context, const char* function, const BitLinear& layer) {
  if (context.guard == nullptr || context.quantizer->state_digest() == context.guard->digest)
    return {};
  return fail("rejected", fmt::format("{} (layer {}): changes a variable that later calls can read",
                                      function, layer.layer.name));
}

namespace {

bool is_of_rows(const at::Tensor& tensor, int64_t rows) {
  return tensor.dim() == 2 && tensor.size(0) == rows;
}

// Two calls' results on R rows in all as one: what has a row for each of theirs is put together,
// all else must be the same.
Result<at::Tensor> join_rows(const at::Tensor& first, const at::Tensor& second, int64_t cut,
                             int64_t R, const char* what, const BitLinear& layer) {
  if (!first.defined() && !second.defined()) return at::Tensor();
  if (first.defined() && second.defined()) {
    if (is_of_rows(first, cut) && is_of_rows(second, R - cut) && first.size(1) == second.size(1))
      return at::cat({first, second});
    if (first.sizes() == second.sizes() && at::equal(first, second)) return first;
  }
  return fail(
      "rejected",
      fmt::format("activation_quant (layer {}): its {} is not the same for two sets of rows, "
                  "so it looks at rows together; take it of each row (dim = -1, keepdim = "
                  "true), or from ctx.params",
                  layer.layer.name, what));
}

}  // namespace

Result<lua::Quantized> call_activation_quant(BitLinear& layer, const at::Tensor& x_RK,
                                             const ForwardContext& context) {
  const lua::Context script = activation_context(layer, context);
  if (context.guard == nullptr || !context.guard->order.defined())
    return context.quantizer->activation_quant(x_RK, script);
  const ScoreGuard& guard = *context.guard;
  const int64_t R = x_RK.size(0), cut = guard.cut > 0 ? guard.cut : R;
  const at::Tensor ordered = x_RK.index_select(0, guard.order);
  BITLOOP_ASSIGN(returned, context.quantizer->activation_quant(ordered.narrow(0, 0, cut), script));
  if (cut < R) {
    // Between the calls too: what the first wrote down the second could use and take back.
    BITLOOP_TRY(check_guard(context, "activation_quant", layer));
    BITLOOP_ASSIGN(rest,
                   context.quantizer->activation_quant(ordered.narrow(0, cut, R - cut), script));
    for (const auto& [member, what] :
         {std::pair{&lua::Quantized::codes, "codes"}, std::pair{&lua::Quantized::scale, "scale"},
          std::pair{&lua::Quantized::offset, "offset"},
          std::pair{&lua::Quantized::codebook, "codebook"}}) {
      BITLOOP_ASSIGN(joined, join_rows(returned.*member, rest.*member, cut, R, what, layer));
      returned.*member = std::move(joined);
    }
  }
  for (at::Tensor* tensor : {&returned.codes, &returned.scale, &returned.offset})
    if (tensor->defined() && is_of_rows(*tensor, R))
      *tensor = tensor->index_select(0, guard.inverse);
  returned.surrogate = at::Tensor();  // of no use to a score
  return returned;
}

Result<at::Tensor> call_input(BitLinear& layer, const at::Tensor& x_RK,
                              const ForwardContext& context) {
  if (!layer.quantized || context.quantizer == nullptr || !context.quantizer->has("input"))
    return x_RK;
  const lua::Context script = activation_context(layer, context);
  const auto call = [&](const at::Tensor& x) -> Result<at::Tensor> {
    BITLOOP_ASSIGN(made, context.quantizer->input(x, script));
    BITLOOP_TRY(check_guard(context, "input", layer));
    if (made.sizes() != x.sizes())
      return fail("script_error",
                  fmt::format("input (layer {}): must return a Tensor of x's shape ({}, {})",
                              layer.layer.name, x.size(0), x.size(1)));
    return made;
  };
  if (context.guard == nullptr || !context.guard->order.defined()) return call(x_RK);
  const ScoreGuard& guard = *context.guard;
  const int64_t R = x_RK.size(0), cut = guard.cut > 0 ? guard.cut : R;
  const at::Tensor ordered = x_RK.index_select(0, guard.order);
  BITLOOP_ASSIGN(made, call(ordered.narrow(0, 0, cut)));
  if (cut < R) {
    BITLOOP_ASSIGN(rest, call(ordered.narrow(0, cut, R - cut)));
    made = at::cat({made, rest});
  }
  return made.index_select(0, guard.inverse);
}

}  // namespace bitloop::trainer
