// GPT-2 once more, apart from the trainer's: what its loss and gradients are compared with.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <map>
#include <string>

#include "trainer/job.h"

namespace bitloop::trainer {

// The model composed of LibTorch operations alone, in double precision; weights by name.
inline at::Tensor reference_logits(const std::map<std::string, at::Tensor>& w,
                                   const at::Tensor& ids, const ModelConfig& c) {
  const int64_t B = ids.size(0), T = ids.size(1), D = c.width, S = D / c.heads;
  const auto linear = [&](const at::Tensor& x, const std::string& name) {
    return x.matmul(w.at(name + ".weight").t()) + w.at(name + ".bias");
  };
  const auto norm = [&](const at::Tensor& x, const std::string& name) {
    const at::Tensor centred = x - x.mean(-1, true);
    return centred / (centred.pow(2).mean(-1, true) + 1e-5).sqrt() * w.at(name + ".weight") +
           w.at(name + ".bias");
  };
  at::Tensor x = w.at("wte.weight").index({ids}) + w.at("wpe.weight").slice(0, 0, T);
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string h = "h." + std::to_string(i) + ".";
    const auto qkv = linear(norm(x, h + "ln_1"), h + "attn.c_attn")
                         .view({B, T, 3, c.heads, S})
                         .permute({2, 0, 3, 1, 4});
    const at::Tensor scores =
        (qkv[0].matmul(qkv[1].transpose(2, 3)) / std::sqrt(static_cast<double>(S)))
            .masked_fill(at::ones({T, T}, at::kBool).triu(1), -INFINITY);
    x = x + linear(scores.softmax(-1).matmul(qkv[2]).transpose(1, 2).reshape({B, T, D}),
                   h + "attn.c_proj");
    x = x + linear(at::gelu(linear(norm(x, h + "ln_2"), h + "mlp.c_fc"), "tanh"), h + "mlp.c_proj");
  }
  return norm(x, "ln_f").matmul(w.at("wte.weight").t()).view({B * T, -1});
}

}  // namespace bitloop::trainer
