// What a transformer is made of, for both architectures. A block is x + attention(norm(x)), then
// x + MLP(norm(x)); what differs between a GPT-2 and a Llama is which layers make the rows that
// attention and the MLP read, what the norms subtract, and where positions come in. Legend: B
// batch, T tokens, D width, F hidden width, H heads, G heads of keys and values, S = D / H, R = B T
// rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "trainer/job.h"
#include "trainer/model/bitlinear.h"

namespace bitloop::trainer {

inline constexpr double kNormEpsilon = 1e-5;  // GPT-2's

// LayerNorm (Ba et al. 2016), or without a bias RMSNorm (Zhang & Sennrich 2019), which subtracts no
// mean.
struct NormLayer {
  std::string name;   // "h.0.ln_1", "model.layers.0.input_layernorm"
  at::Tensor weight;  // (D)
  at::Tensor bias;    // (D) or undefined
  double epsilon = kNormEpsilon;
};

struct Block {
  NormLayer ln_1, ln_2;  // before attention, before the MLP
  // Their rows beside one another are queries (D), keys (G S) and values (G S). GPT-2: c_attn
  // (3 D, D); Llama: q_proj (D, D), k_proj (G S, D), v_proj (G S, D).
  std::vector<BitLinear> qkv;
  BitLinear attn_proj;  // (D, D)
  // GPT-2: c_fc (4 D, D), through GELU; Llama: gate_proj and up_proj (F, D), silu(gate) up.
  std::vector<BitLinear> fc;
  BitLinear mlp_proj;  // (D, F)

  // In the order of the forward pass.
  std::vector<BitLinear*> layers();
};

// (N, K) of the products of a model, each once.
std::set<std::pair<int64_t, int64_t>> product_shapes(const ModelConfig& config);

// Makes the tensors of a model's blocks, which begin in the order of the calls.
class BlockMaker {
 public:
  // normal(shape, deviation): a learnable tensor of such numbers.
  using Normal = std::function<at::Tensor(at::IntArrayRef, double)>;
  // `layers`: BitLinear layers of the whole model.
  BlockMaker(const ModelConfig& config, Normal normal, int64_t layers);

  Block block(int64_t index);
  NormLayer norm(const std::string& name) const;
  // Of the whole model, and BitLinear layers of a block.
  static std::string embedding_name(const ModelConfig& config);
  static std::string last_norm_name(const ModelConfig& config);
  static int64_t layers_of_a_block(const ModelConfig& config);

 private:
  BitLinear linear(const std::string& name, const char* kind, int64_t N, int64_t K,
                   double deviation);
  Block gpt2(const std::string& prefix);
  Block llama(const std::string& prefix);

  const ModelConfig& config_;
  const Normal normal_;
  const int64_t count_;
  int64_t index_ = 0;
};

// x (R, D) -> (R, D).
at::Tensor normalise(const at::Tensor& x_RD, const NormLayer& norm);
// The same of one row in memory: the bits that normalise() has without gradients. Requires: D a
// multiple of 16, unless there is no bias.
void normalise_row(const NormLayer& norm, const float* x_D, float* y_D);
// What the MLP's last layer reads of the outputs of `fc`: (R, F).
at::Tensor mlp_activation(const std::vector<at::Tensor>& hidden);

}  // namespace bitloop::trainer
