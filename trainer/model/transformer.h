// GPT-2 (Radford et al. 2019; nanoGPT's form) with BitLinear in every linear layer of its blocks:
// pre-norm blocks, learned positions, tanh-GELU, head tied to the token embedding. Legend: B batch,
// T tokens, D width, H heads, V padded vocabulary, R = B T.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/result.h"
#include "trainer/job.h"
#include "trainer/model/bitlinear.h"

namespace bitloop::trainer {

struct LayerNorm {
  at::Tensor weight;  // (D)
  at::Tensor bias;    // (D)
};

struct Block {
  LayerNorm ln_1, ln_2;
  BitLinear qkv;        // (3D, D)   name h.<i>.attn.c_attn
  BitLinear attn_proj;  // (D, D)    h.<i>.attn.c_proj
  BitLinear fc;         // (4D, D)   h.<i>.mlp.c_fc
  BitLinear mlp_proj;   // (D, 4D)   h.<i>.mlp.c_proj
};

inline constexpr double kNormEpsilon = 1e-5;

// Sequences whose tokens don't just follow each other: several continuations of one beginning, say.
struct Layout {
  at::Tensor positions_BT;  // int64: which row of the position embedding
  at::Tensor mask_B1TT;     // bool: which places (columns) a place (row) sees
};

// Keys and values of one sequence's tokens so far, (room, D) for each block: what the next token's
// attention reads.
struct KeyValueCache {
  std::vector<at::Tensor> keys, values;
  int64_t length = 0;  // tokens in it
};

class Transformer {
 public:
  // Weights N(0, 0.02), residual projections scaled by 1/sqrt(2 L), biases zero, norms one; the
  // same bits for the same seed.
  Transformer(const ModelConfig& config, bool quantize_head, uint64_t seed);
  // The same shapes without numbers, to load some into: not even zeros.
  static Transformer empty(const ModelConfig& config, bool quantize_head);

  // Moves the parameters, which become other tensors where they were on another device: before
  // anything refers to them. They are made on the CPU, since no other device draws the same
  // numbers.
  void to(at::Device device);
  at::Device device() const { return wte_.device(); }

  // Quantises all weights for one optimiser step. Must precede forward, and follow each change of
  // the weights.
  Status quantize_weights(const ForwardContext& context);
  // ids (B, T) int64, on the model's device -> logits (R, V) float32. Errors are those of the
  // candidate's functions.
  Result<at::Tensor> forward(const at::Tensor& ids_BT, const ForwardContext& context);
  // The two halves of forward: ids (B, T) -> what the head reads (R, D); rows of that (n, D) ->
  // logits (n, V).
  // `layout` may be null: one token after the other, each seeing those before it.
  Result<at::Tensor> features(const at::Tensor& ids_BT, const ForwardContext& context,
                              const Layout* layout = nullptr);
  Result<at::Tensor> logits(const at::Tensor& x_ND, const ForwardContext& context);
  // Features of a sequence that grows, without computing again what came before; on the CPU only,
  // where `bitloop generate` always is. Quantised activations must not depend on other rows (they
  // do only where a task has paper_compat). A cache for so many tokens, at most `context`.
  KeyValueCache make_cache(int64_t room) const;
  // ids (T) int64, the beginning of a sequence -> (T, D), and keys and values into the empty cache.
  Result<at::Tensor> prefill(const at::Tensor& ids_T, KeyValueCache& cache,
                             const ForwardContext& context);
  // ids (R) int64, the next token of each of R sequences -> (R, D).
  Result<at::Tensor> decode(const at::Tensor& ids_R, std::span<KeyValueCache* const> caches,
                            const ForwardContext& context);
  // After the last backward pass of a step: finishes the gradients of all latent weights.
  void finish_weight_gradients(const ForwardContext& context);

  const ModelConfig& config() const { return config_; }
  // The layers that the candidate quantises, in order of the forward pass (the head last, where the
  // task quantises it).
  std::vector<BitLinear*> bitlinears();
  // Every learnable tensor with its name in the Hugging Face style ("h.0.attn.c_attn.weight", here
  // (N, K)); fixed order.
  std::vector<std::pair<std::string, at::Tensor>> named_parameters();
  int64_t parameter_count();

 private:
  Transformer(const ModelConfig& config, bool quantize_head, const at::Generator* random);

  // The blocks and the last norm on x (R, D). attend(block, qkv (R, 3D)) -> (R, D).
  using Attend = std::function<at::Tensor(size_t block, const at::Tensor& qkv_RC)>;
  Result<at::Tensor> run_blocks(at::Tensor x_RD, const ForwardContext& context,
                                const Attend& attend);

  friend class FusedTraining;  // the same model with a forward and backward of its own
  friend class DeviceTraining;
  ModelConfig config_;
  at::Tensor wte_;  // (V, D)
  at::Tensor wpe_;  // (context, D)
  std::vector<Block> blocks_;
  LayerNorm ln_f_;
  BitLinear head_;  // its weight is wte_; quantised only where the task says so
};

}  // namespace bitloop::trainer
