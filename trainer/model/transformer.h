// A transformer with BitLinear in every linear layer of its blocks (block.h), in two architectures:
//   GPT-2 (Radford et al. 2019; nanoGPT's form): learned positions, LayerNorm, tanh-GELU, head tied
//     to the token embedding;
//   Llama (Touvron et al. 2023): rotary positions, RMSNorm, SwiGLU, heads that may share keys and
//     values (Ainslie et al. 2023), a head that may be of its own.
// Legend: B batch, T tokens, D width, H heads, G heads of keys and values, S = D / H, V padded
// vocabulary, R = B T, C = (H + 2 G) S: what attention reads of a row.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/result.h"
#include "trainer/job.h"
#include "trainer/model/bitlinear.h"
#include "trainer/model/block.h"
#include "trainer/model/rotary.h"

namespace bitloop::trainer {

// Sequences whose tokens don't just follow each other: several continuations of one beginning, say.
struct Layout {
  at::Tensor positions_BT;  // int64: where in the text
  at::Tensor mask_B1TT;     // bool: which places (columns) a place (row) sees
};

// Keys (turned by their positions, where those are rotary) and values of one sequence's tokens so
// far, (room, G S) for each block: what the next token's attention reads.
struct KeyValueCache {
  std::vector<at::Tensor> keys, values;
  int64_t length = 0;  // tokens in it
};

// Copies numbers of its shape into a parameter; one of Transformer::empty gets memory for them.
void fill_parameter(const at::Tensor& parameter, const at::Tensor& numbers);

class TokenStep;

class Transformer {
 public:
  // Weights N(0, 0.02), residual projections scaled by 1/sqrt(2 L), biases zero, norms one; the
  // same bits for the same seed.
  Transformer(const ModelConfig& config, bool quantize_head, uint64_t seed);
  // The same shapes without numbers and memory for them: for fill_parameter and set_data.
  static Transformer empty(const ModelConfig& config, bool quantize_head);

  // Moves the parameters, which become other tensors where they were on another device: before
  // anything refers to them. They are made on the CPU, since no other device draws the same
  // numbers.
  void to(at::Device device);
  at::Device device() const { return wte_.device(); }

  // From then on runs without gradients compute on `device`: products are made anew there of those
  // that quantize_weights made, which keep weights packed. False where one has no form for it.
  // `kernels`, which work there, must outlive the model. Requires: ForwardContext::as_stored.
  bool serve_on(at::Device device, kernels::DeviceKernels& kernels);

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
  // Features of a sequence that grows, without computing again what came before. Quantised
  // activations must not depend on other rows (they do only where a task has paper_compat). A cache
  // for so many tokens, at most `context`.
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
  // Every learnable tensor with its name in the Hugging Face style ("h.0.attn.c_attn.weight",
  // "model.layers.0.self_attn.q_proj.weight", all (N, K)); fixed order.
  std::vector<std::pair<std::string, at::Tensor>> named_parameters();
  int64_t parameter_count();

 private:
  Transformer(const ModelConfig& config, bool quantize_head, const at::Generator* random);

  // Every norm, in order of the forward pass.
  std::vector<NormLayer*> norms();
  // ids -> (R, D), with the positions where those are learned: at `positions`, or 0, 1, 2, …
  at::Tensor embed(const at::Tensor& ids, const at::Tensor& positions) const;
  // What turns rows at these positions, where those are rotary.
  std::optional<Rotary::Angles> angles(const at::Tensor& positions_P) const;
  at::Tensor turn(const at::Tensor& qkv_RC, const std::optional<Rotary::Angles>& angles) const;
  // The blocks and the last norm on x (R, D). attend(block, qkv (R, C)) -> (R, D).
  using Attend = std::function<at::Tensor(size_t block, const at::Tensor& qkv_RC)>;
  Result<at::Tensor> run_blocks(at::Tensor x_RD, const ForwardContext& context,
                                const Attend& attend);

  // decode of one sequence where that has a faster form with the same bits.
  bool decode_one(const at::Tensor& x_1D, KeyValueCache& cache,
                  const std::optional<Rotary::Angles>& angles, const ForwardContext& context);

  friend class TokenStep;
  friend class FusedTraining;  // the same model with a forward and backward of its own
  friend class DeviceTraining;
  ModelConfig config_;
  at::Tensor wte_;  // (V, D)
  at::Tensor wpe_;  // (context, D), or undefined where positions are rotary
  std::optional<Rotary> rotary_;
  std::vector<Block> blocks_;
  NormLayer ln_f_;
  BitLinear head_;  // its weight is wte_, unless untied; quantised only where the task says so
  // Of the weights as they were quantised last, made with the first token; null where there is
  // none.
  std::shared_ptr<TokenStep> token_step_;
  bool served_ = false;  // serve_on
  bool tried_token_step_ = false;
};

}  // namespace bitloop::trainer
