#include "trainer/model/rotary.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "trainer/kernels/rotary.h"

namespace bitloop::trainer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor rotated(const at::Tensor& x_RC, const at::Tensor& cosine, const at::Tensor& sine,
                   int64_t heads, bool back) {
  const at::Tensor x = x_RC.contiguous(), y = at::empty_like(x);
  kernels::rotate(
      x.const_data_ptr<float>(), cosine.const_data_ptr<float>(), sine.const_data_ptr<float>(),
      {x.size(0), x.size(1), cosine.size(0), heads, 2 * cosine.size(1)}, back, y.data_ptr<float>());
  return y;
}

struct Turn : torch::autograd::Function<Turn> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_RC, const at::Tensor& cosine,
                            const at::Tensor& sine, int64_t heads) {
    ctx->save_for_backward({cosine, sine});
    ctx->saved_data["heads"] = heads;
    return rotated(x_RC, cosine, sine, heads, false);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    return {rotated(grads[0], saved[0], saved[1], ctx->saved_data["heads"].toInt(), true),
            at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

Rotary::Rotary(const ModelConfig& config) : turned_(config.heads + config.key_heads()) {
  const int64_t S = config.width / config.heads;
  const at::Tensor exponents = at::arange(0, S, 2, at::kFloat) / static_cast<double>(S);
  frequencies_ =
      at::reciprocal(at::pow(at::scalar_tensor(config.rope_theta, at::kFloat), exponents));
}

Rotary::Angles Rotary::angles(const at::Tensor& positions_P) const {
  const at::Tensor angles =
      positions_P.to(at::kFloat).unsqueeze(1) * frequencies_.to(positions_P.device()).unsqueeze(0);
  return {angles.cos(), angles.sin()};
}

at::Tensor Rotary::turn(const at::Tensor& qkv_RC, const Angles& angles) const {
  if (qkv_RC.is_cpu()) return Turn::apply(qkv_RC, angles.cosine, angles.sine, turned_);
  const int64_t R = qkv_RC.size(0), P = angles.cosine.size(0), half = angles.cosine.size(1),
                turned = turned_ * 2 * half;
  const at::Tensor x = qkv_RC.narrow(1, 0, turned).reshape({R / P, P, turned_, 2 * half});
  const at::Tensor a = x.narrow(3, 0, half), b = x.narrow(3, half, half);
  const at::Tensor c = angles.cosine.unsqueeze(1), s = angles.sine.unsqueeze(1);
  const at::Tensor heads = at::cat({a * c - b * s, b * c + a * s}, 3).view({R, turned});
  return at::cat({heads, qkv_RC.narrow(1, turned, qkv_RC.size(1) - turned)}, 1);
}

at::Tensor repeat_key_heads(const at::Tensor& qkv_RC, int64_t heads, int64_t key_heads) {
  if (heads == key_heads) return qkv_RC;
  const int64_t R = qkv_RC.size(0), S = qkv_RC.size(1) / (heads + 2 * key_heads), D = heads * S;
  const at::Tensor repeated = qkv_RC.narrow(1, D, 2 * key_heads * S)
                                  .reshape({R, 2 * key_heads, 1, S})
                                  .expand({R, 2 * key_heads, heads / key_heads, S})
                                  .reshape({R, 2 * D});
  return at::cat({qkv_RC.narrow(1, 0, D), repeated}, 1);
}

}  // namespace bitloop::trainer
