// Gradients of one's own: nodes of LibTorch's graph whose backward is not a derivative that
// LibTorch knows.
#pragma once

#include "lua/tensor/operation.h"

namespace bitloop::lua {

// bitloop.ste_round: rounds forward, hands the gradient through unchanged.
at::Tensor ste_round(const at::Tensor& x);
// bitloop.autograd{forward=, backward=}: pushes the function.
int make_autograd(Call& call);

}  // namespace bitloop::lua
