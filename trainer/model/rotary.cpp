#include "trainer/model/rotary.h"

#include <ATen/ATen.h>

namespace bitloop::trainer {

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
