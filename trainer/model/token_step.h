// The next token of one sequence, bit by bit as Transformer::decode's general form computes it, on
// plain memory: all threads stay one team from the first layer to the last, products are shared out
// among them, and what stands between two products one of them does, with activation_quant as a
// captured program. Legend: as transformer.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trainer/kernels/team.h"
#include "trainer/model/transformer.h"

namespace bitloop::trainer {

class TokenStep {
 public:
  // Null where some part has the general form only: weights without a RowProduct, activations whose
  // program would not give the function's bits, functions beside the quantising ones.
  static std::unique_ptr<TokenStep> make(Transformer& model, const ForwardContext& context);

  // Whether it was made of this model and for this context.
  bool serves(const Transformer& model, const ForwardContext& context) const;

  // x (1, D), which is replaced by what comes out of the last block, and the token's keys and
  // values in `cache` behind its length. False where a code or a scale of an activation is not
  // allowed: the general form says which. Requires: serves(); no gradients.
  bool run(Transformer& model, const at::Tensor& x_1D, KeyValueCache& cache,
           const std::optional<Rotary::Angles>& angles);

 private:
  // A layer as a step sees it.
  struct Linear {
    std::shared_ptr<const WeightProduct> product;
    std::unique_ptr<RowProduct> row;
    std::optional<CapturedFunction> quantise;  // activation_quant, or nothing
    at::Tensor bias;                           // (N) or undefined
    int64_t N = 0;
    float* y = nullptr;  // (N)
    int64_t parts() const { return (N + row->part_rows() - 1) / row->part_rows(); }
  };
  struct Layers {
    std::vector<Linear> qkv, attn_proj, fc, mlp_proj;
  };
  struct Run;

  TokenStep() = default;
  Result<bool> add(BitLinear& layer, float* y, std::vector<Linear>& to);
  bool hand_over(const BitLinear& layer, Linear& linear, const float* x);
  template <typename Body>
  static void for_outputs(const std::vector<Linear>& layers, kernels::Range run, const Body& body);
  static void make_outputs(const std::vector<Linear>& layers, int64_t t, kernels::Shares& shares);
  static int64_t parts_of(const std::vector<Linear>& layers);

  ForwardContext context_;
  std::vector<Layers> blocks_;
  std::vector<float> qkv_, turned_, attended_, hidden_, fed_, scores_;  // rows of one token
  std::vector<float> values_;
  std::vector<int8_t> codes_;
};

}  // namespace bitloop::trainer
