#include "lua/tensor/hadamard.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "trainer/kernels/hadamard.h"

namespace bitloop::lua {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor transformed(const at::Tensor& x, int64_t block) {
  if (!x.is_cpu()) return hadamard_by_operations(x.detach(), block);
  const at::Tensor in = x.detach().contiguous();
  const at::Tensor out = at::empty_like(in);
  kernels::block_hadamard(in.const_data_ptr<float>(), in.numel(), block, out.data_ptr<float>());
  return out;
}

struct Hadamard : torch::autograd::Function<Hadamard> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, int64_t block) {
    ctx->saved_data["block"] = block;
    return transformed(x, block);
  }
  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    return {transformed(gradients[0], ctx->saved_data["block"].toInt()), at::Tensor()};
  }
};

}  // namespace

at::Tensor block_hadamard(const at::Tensor& x, int64_t block) { return Hadamard::apply(x, block); }

at::Tensor hadamard_by_operations(const at::Tensor& x, int64_t block) {
  at::Tensor y = x.contiguous().view({-1, block});
  for (int64_t half = 1; half < block; half *= 2) {
    const at::Tensor pairs = y.view({-1, block / (2 * half), 2, half});
    const at::Tensor a = pairs.select(2, 0), b = pairs.select(2, 1);
    y = at::stack({a + b, a - b}, 2);
  }
  return y.reshape(x.sizes()) * (1.0f / std::sqrt(static_cast<float>(block)));
}

}  // namespace bitloop::lua
