// How a layer calls the candidate's functions: what they see, and what is looked at afterwards.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include "trainer/model/bitlinear.h"

namespace bitloop::trainer {

// What the functions see of this layer.
lua::Context script_context(const BitLinear& layer, const ForwardContext& context);
// The same with other tensors in the place of the layer's own, which must outlive it.
lua::Context script_context(const BitLinear& layer, const ForwardContext& context,
                            const std::map<std::string, at::Tensor>& params,
                            const std::map<std::string, at::Tensor>& state);

// What activation_quant and input see: the same, but of a candidate with a codebook without the
// state, which is its weights' and need not be there once they are packed.
lua::Context activation_context(const BitLinear& layer, const ForwardContext& context);

// After a call of the candidate in a guarded pass: "rejected" when it wrote down anything.
Status check_guard(const ForwardContext& context, const char* function, const BitLinear& layer);

// Calls a quantising function, which is pure: without recording a graph as long as no surrogate has
// come, since without one no gradient passes through the call; once more with recording when the
// first one does.
template <typename Call>
Result<lua::Quantized> call_recording(bool& surrogate_seen, Call call) {
  if (!surrogate_seen) {
    Result<lua::Quantized> returned;
    {
      at::NoGradGuard no_grad;
      returned = call();
    }
    if (!returned || !returned->surrogate.defined()) return returned;
    surrogate_seen = true;
  }
  return call();
}

// activation_quant on x, in a guarded pass with its rows in the guard's order, in two calls, and
// the results put back. Error "rejected" where the two calls disagree on what is not a row's own.
Result<lua::Quantized> call_activation_quant(BitLinear& layer, const at::Tensor& x_RK,
                                             const ForwardContext& context);

// Q.input of x, likewise; x itself where there is none. Error "script_error" for another shape.
Result<at::Tensor> call_input(BitLinear& layer, const at::Tensor& x_RK,
                              const ForwardContext& context);

}  // namespace bitloop::trainer
