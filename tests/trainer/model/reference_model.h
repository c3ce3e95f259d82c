// GPT-2 once more, apart from the trainer's: what its loss and gradients are compared with.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <map>
#include <string>

#include "trainer/job.h"
#include "trainer/model/transformer.h"

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

// Expects the model's loss and all its gradients on B sequences of T random tokens to be those of
// `reference` (as above) in double precision. Its parameters get noise first, so that biases and
// norms are away from their initial values.
template <typename Reference>
void expect_loss_and_gradients_of(Transformer& model, const Reference& reference, int64_t B,
                                  int64_t T) {
  const ModelConfig& config = model.config();
  std::map<std::string, at::Tensor> doubles;
  for (auto& [name, tensor] : model.named_parameters()) {
    tensor.detach().add_(at::randn_like(tensor.detach()) * 0.1);
    doubles[name] = tensor.detach().to(at::kDouble).requires_grad_(true);
  }
  const at::Tensor ids = at::randint(0, config.vocab_size, {B, T}, at::kLong);
  const at::Tensor targets = at::randint(0, config.vocab_size, {B * T}, at::kLong);
  ForwardContext context{.training = true, .products = Products::kFloat32};
  ASSERT_TRUE(model.quantize_weights(context));
  const at::Tensor loss = at::cross_entropy_loss(*model.forward(ids, context), targets);
  const at::Tensor loss64 = at::cross_entropy_loss(reference(doubles, ids, config), targets);
  torch::autograd::backward({loss}, {});
  torch::autograd::backward({loss64}, {});
  EXPECT_NEAR(loss.item<double>(), loss64.item<double>(), 2e-6);
  for (const auto& [name, tensor] : model.named_parameters()) {
    const at::Tensor expected = doubles[name].grad();
    // Sums of at most a few hundred products: float32's epsilon times some tens, relative to the
    // whole tensor.
    EXPECT_LT((tensor.grad().to(at::kDouble) - expected).norm().template item<double>(),
              2e-5 * expected.norm().template item<double>() + 1e-9)
        << name;
  }
}

}  // namespace bitloop::trainer
