#include "trainer/model/functions.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "trainer/kernels/gelu.h"

namespace bitloop::trainer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Gelu : torch::autograd::Function<Gelu> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x) {
    ctx->save_for_backward({x});
    const at::Tensor y = at::empty_like(x);
    kernels::gelu_forward(x.const_data_ptr<float>(), y.data_ptr<float>(), x.numel());
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor x = ctx->get_saved_variables()[0];
    const at::Tensor dy = grads[0].contiguous();
    const at::Tensor dx = at::empty_like(x);
    kernels::gelu_backward(dy.const_data_ptr<float>(), x.const_data_ptr<float>(), dx.data_ptr<float>(), x.numel());
    return {dx};
  }
};

}  // namespace

at::Tensor gelu_tanh(const at::Tensor& x) { return Gelu::apply(x.contiguous()); }

at::Tensor causal_attention(const at::Tensor& qkv_BTC, int64_t heads) {
  const int64_t B = qkv_BTC.size(0), T = qkv_BTC.size(1), D = qkv_BTC.size(2) / 3;
  const auto qkv = qkv_BTC.view({B, T, 3, heads, D / heads}).permute({2, 0, 3, 1, 4});  // (3, B, H, T, D/H)
  const at::Tensor y = at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], {}, 0.0, /*is_causal=*/true);
  return y.transpose(1, 2).reshape({B, T, D});
}

}  // namespace bitloop::trainer
