#include "trainer/model/transformer.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <memory>

#include "trainer/kernels/decode_attention.h"
#include "trainer/kernels/team.h"
#include "trainer/model/device_product.h"
#include "trainer/model/functions.h"
#include "trainer/model/token_step.h"

namespace bitloop::trainer {
namespace {

// A matrix's rows in float32, as which it need not be stored.
at::Tensor rows_of(const at::Tensor& matrix, const at::Tensor& ids) {
  return at::embedding(matrix, ids).to(at::kFloat);
}

// Of this shape, without memory of its own.
at::Tensor unfilled(at::IntArrayRef shape) { return at::zeros({1}).expand(shape); }

}  // namespace

Transformer::Transformer(const ModelConfig& config, bool quantize_head, uint64_t seed)
    : Transformer(config, quantize_head,
                  std::make_unique<at::Generator>(at::detail::createCPUGenerator(seed)).get()) {}

Transformer Transformer::empty(const ModelConfig& config, bool quantize_head) {
  return {config, quantize_head, nullptr};
}

Transformer::Transformer(const ModelConfig& config, bool quantize_head, const at::Generator* random)
    : config_(config) {
  const int64_t D = config.width, V = config.padded_vocab_size;
  const auto normal = [&](at::IntArrayRef shape, double deviation) {
    if (random == nullptr) return unfilled(shape).requires_grad_(true);
    return at::empty(shape, at::kFloat).normal_(0.0, deviation, *random).requires_grad_(true);
  };
  const int64_t in_blocks = config.layers * BlockMaker::layers_of_a_block(config);
  wte_ = normal({V, D}, 0.02);
  if (config.is_llama())
    rotary_.emplace(config);
  else
    wpe_ = normal({config.context, D}, 0.02);
  BlockMaker make(config, normal, in_blocks + (quantize_head ? 1 : 0));
  for (int64_t i = 0; i < config.layers; ++i) blocks_.push_back(make.block(i));
  ln_f_ = make.norm(BlockMaker::last_norm_name(config));
  head_.layer = {.name = "lm_head",
                 .index = in_blocks,
                 .count = in_blocks + (quantize_head ? 1 : 0),
                 .kind = "head",
                 .in_features = D,
                 .out_features = V};
  head_.weight = config.tied_head ? wte_ : normal({V, D}, 0.02);
  head_.quantized = quantize_head;
}

void Transformer::to(at::Device device) {
  const auto move = [&](at::Tensor& parameter) {
    if (parameter.defined() && parameter.device() != device)
      parameter = parameter.detach().to(device).requires_grad_(true);
  };
  for (at::Tensor* embedding : {&wte_, &wpe_}) move(*embedding);
  for (NormLayer* norm : norms()) {
    move(norm->weight);
    move(norm->bias);
  }
  for (Block& block : blocks_)
    for (BitLinear* layer : block.layers()) {
      move(layer->weight);
      move(layer->bias);
    }
  if (config_.tied_head)
    head_.weight = wte_;
  else
    move(head_.weight);
}

std::vector<NormLayer*> Transformer::norms() {
  std::vector<NormLayer*> all;
  for (Block& block : blocks_) {
    all.push_back(&block.ln_1);
    all.push_back(&block.ln_2);
  }
  all.push_back(&ln_f_);
  return all;
}

Status Transformer::quantize_weights(const ForwardContext& context) {
  std::vector<BitLinear*> layers = bitlinears();
  if (!head_.quantized) layers.push_back(&head_);
  token_step_ = nullptr;
  tried_token_step_ = false;
  return bitloop::trainer::quantize_weights(layers, context);
}

void fill_parameter(const at::Tensor& parameter, const at::Tensor& numbers) {
  const at::Tensor into = parameter.detach();
  if (into.is_non_overlapping_and_dense())
    into.copy_(numbers);
  else
    parameter.set_data(
        numbers.to(into.device(), at::kFloat, /*non_blocking=*/false, /*copy=*/true).contiguous());
}

Result<at::Tensor> Transformer::forward(const at::Tensor& ids_BT, const ForwardContext& context) {
  BITLOOP_ASSIGN(x_RD, features(ids_BT, context));
  return logits(x_RD, context);
}

Result<at::Tensor> Transformer::logits(const at::Tensor& x_ND, const ForwardContext& context) {
  return bitlinear_forward(head_, x_ND, context);
}

at::Tensor Transformer::embed(const at::Tensor& ids, const at::Tensor& positions) const {
  const at::Tensor tokens = rows_of(wte_, ids);
  if (!wpe_.defined()) return tokens;
  return tokens +
         (positions.defined() ? rows_of(wpe_, positions) : wpe_.narrow(0, 0, ids.size(-1)));
}

std::optional<Rotary::Angles> Transformer::angles(const at::Tensor& positions_P) const {
  return rotary_ ? std::optional(rotary_->angles(positions_P)) : std::nullopt;
}

at::Tensor Transformer::turn(const at::Tensor& qkv_RC,
                             const std::optional<Rotary::Angles>& angles) const {
  return angles ? rotary_->turn(qkv_RC, *angles) : qkv_RC;
}

Result<at::Tensor> Transformer::features(const at::Tensor& ids_BT, const ForwardContext& context,
                                         const Layout* layout) {
  const int64_t B = ids_BT.size(0), T = ids_BT.size(1), D = config_.width, R = B * T;
  const at::Tensor positions_BT = layout != nullptr ? layout->positions_BT : at::Tensor();
  const auto angles =
      this->angles(layout != nullptr ? positions_BT.reshape({R})
                                     : at::arange(T, ids_BT.options().dtype(at::kLong)));
  return run_blocks(
      embed(ids_BT, positions_BT).view({R, D}), context, [&](size_t, const at::Tensor& qkv_RC) {
        const at::Tensor qkv_BTC =
            repeat_key_heads(turn(qkv_RC, angles), config_.heads, config_.key_heads())
                .view({B, T, 3 * D});
        return (layout != nullptr ? masked_attention(qkv_BTC, config_.heads, layout->mask_B1TT)
                                  : causal_attention(qkv_BTC, config_.heads))
            .view({R, D});
      });
}

namespace {

// The outputs of layers that read the same rows.
Result<std::vector<at::Tensor>> outputs_of(std::vector<BitLinear>& layers, const at::Tensor& x_RD,
                                           const ForwardContext& context) {
  std::vector<at::Tensor> outputs;
  for (BitLinear& layer : layers) {
    BITLOOP_ASSIGN(output, bitlinear_forward(layer, x_RD, context));
    outputs.push_back(std::move(output));
  }
  return outputs;
}

}  // namespace

Result<at::Tensor> Transformer::run_blocks(at::Tensor x_RD, const ForwardContext& context,
                                           const Attend& attend) {
  for (size_t i = 0; i < blocks_.size(); ++i) {
    Block& block = blocks_[i];
    BITLOOP_ASSIGN(parts, outputs_of(block.qkv, normalise(x_RD, block.ln_1), context));
    at::Tensor qkv = parts.size() == 1 ? parts.front() : at::cat(parts, 1);
    // What the fused step's attention reads: bfloat16.
    if (context.products == Products::kBfloat16) qkv = qkv.to(at::kBFloat16).to(at::kFloat);
    BITLOOP_ASSIGN(attended, bitlinear_forward(block.attn_proj, attend(i, qkv), context));
    x_RD = x_RD + attended;
    BITLOOP_ASSIGN(hidden, outputs_of(block.fc, normalise(x_RD, block.ln_2), context));
    BITLOOP_ASSIGN(fed, bitlinear_forward(block.mlp_proj, mlp_activation(hidden), context));
    x_RD = x_RD + fed;
  }
  return normalise(x_RD, ln_f_);
}

bool Transformer::serve_on(at::Device device, kernels::DeviceKernels& kernels) {
  std::vector<BitLinear*> layers = bitlinears();
  if (!head_.quantized) layers.push_back(&head_);
  const auto move = [&](at::Tensor& tensor) {
    if (tensor.defined()) tensor = tensor.detach().to(device);
  };
  const bool shares = config_.tied_head && !head_.quantized;
  if (shares) move(wte_);
  for (BitLinear* layer : layers) {
    TORCH_CHECK(layer->product, "a model is served as it is stored");
    layer->product = shares && layer == &head_ ? device_float_product(wte_, device)
                                               : layer->product->on(device, kernels);
    if (!layer->product) return false;
    move(layer->bias);
    move(layer->row_bias);
    for (auto* named : {&layer->params, &layer->state})
      for (auto& [name, tensor] : *named) move(tensor);
    // Nothing reads these any more.
    if (layer != &head_ || !config_.tied_head)
      layer->weight = at::zeros({1}, at::TensorOptions(device)).expand(layer->weight.sizes());
    layer->latent = layer->used_weight = at::Tensor();
    layer->weight_operand = layer->kept = Operand();
    layer->stored.reset();
    layer->stored_product = nullptr;
    layer->packed = nullptr;
  }
  for (at::Tensor* embedding : {&wte_, &wpe_}) move(*embedding);
  for (NormLayer* norm : norms()) {
    move(norm->weight);
    move(norm->bias);
  }
  if (config_.tied_head) head_.weight = wte_;
  served_ = true;
  return true;
}

KeyValueCache Transformer::make_cache(int64_t room) const {
  const at::TensorOptions options = at::TensorOptions(device()).dtype(at::kFloat);
  const int64_t width = config_.key_heads() * (config_.width / config_.heads);
  KeyValueCache cache;
  for (int64_t i = 0; i < config_.layers; ++i) {
    cache.keys.push_back(at::empty({room, width}, options));
    cache.values.push_back(at::empty({room, width}, options));
  }
  return cache;
}

Result<at::Tensor> Transformer::prefill(const at::Tensor& ids_T, KeyValueCache& cache,
                                        const ForwardContext& context) {
  const int64_t T = ids_T.size(0), D = config_.width, G = config_.key_heads(),
                width = G * (D / config_.heads);
  const auto angles = this->angles(at::arange(T, ids_T.options()));
  BITLOOP_ASSIGN(
      x_TD, run_blocks(embed(ids_T, {}), context, [&](size_t i, const at::Tensor& given) {
        const at::Tensor qkv_TC = turn(given, angles);
        cache.keys[i].narrow(0, 0, T).copy_(qkv_TC.narrow(1, D, width));
        cache.values[i].narrow(0, 0, T).copy_(qkv_TC.narrow(1, D + width, width));
        return causal_attention(repeat_key_heads(qkv_TC, config_.heads, G).view({1, T, 3 * D}),
                                config_.heads)
            .view({T, D});
      }));
  cache.length = T;
  return x_TD;
}

bool Transformer::decode_one(const at::Tensor& x_1D, KeyValueCache& cache,
                             const std::optional<Rotary::Angles>& angles,
                             const ForwardContext& context) {
  if (served_) return false;
  if (!tried_token_step_) token_step_ = TokenStep::make(*this, context);
  tried_token_step_ = true;
  return token_step_ && token_step_->serves(*this, context) &&
         token_step_->run(*this, x_1D, cache, angles);
}

Result<at::Tensor> Transformer::decode(const at::Tensor& ids_R,
                                       std::span<KeyValueCache* const> caches,
                                       const ForwardContext& context) {
  const int64_t R = ids_R.size(0), D = config_.width, H = config_.heads, G = config_.key_heads(),
                S = D / H, width = G * S;
  std::vector<int64_t> lengths;
  for (const KeyValueCache* cache : caches) lengths.push_back(cache->length);
  const int64_t longest = *std::ranges::max_element(lengths) + 1;
  const at::Tensor positions = at::tensor(lengths, at::kLong).to(device());
  const auto angles = this->angles(positions);
  if (R == 1)
    if (const at::Tensor x_1D = embed(ids_R, positions);
        decode_one(x_1D, *caches[0], angles, context)) {
      ++caches[0]->length;
      return normalise(x_1D, ln_f_);
    }
  const at::Tensor scores = at::empty({served_ ? 0 : R, H * longest});
  const auto attend = [&](size_t i, const at::Tensor& given) {
    const at::Tensor qkv_RC = turn(given, angles).contiguous(), out = at::empty({R, D});
    kernels::run_items(R, [&](int64_t r) {
      KeyValueCache& cache = *caches[static_cast<size_t>(r)];
      const float* qkv = qkv_RC.const_data_ptr<float>() + r * (D + 2 * width);
      float* keys = cache.keys[i].data_ptr<float>();
      float* values = cache.values[i].data_ptr<float>();
      std::copy_n(qkv + D, width, keys + cache.length * width);
      std::copy_n(qkv + D + width, width, values + cache.length * width);
      kernels::decode_attention(qkv, keys, values, {cache.length + 1, H, G, S},
                                scores.data_ptr<float>() + r * H * longest,
                                out.data_ptr<float>() + r * D);
    });
    return out;
  };
  const auto attend_there = [&](size_t i, const at::Tensor& given) {
    const at::Tensor qkv_RC = turn(given, angles);
    std::vector<at::Tensor> rows;
    for (int64_t r = 0; r < R; ++r) {
      KeyValueCache& cache = *caches[static_cast<size_t>(r)];
      const at::Tensor qkv = qkv_RC[r];
      cache.keys[i][cache.length].copy_(qkv.narrow(0, D, width));
      cache.values[i][cache.length].copy_(qkv.narrow(0, D + width, width));
      rows.push_back(attention_of_one(qkv.narrow(0, 0, D),
                                      cache.keys[i].narrow(0, 0, cache.length + 1),
                                      cache.values[i].narrow(0, 0, cache.length + 1), H, G));
    }
    return at::stack(rows);
  };
  BITLOOP_ASSIGN(x_RD, run_blocks(embed(ids_R, positions), context,
                                  served_ ? Attend(attend_there) : Attend(attend)));
  for (KeyValueCache* cache : caches) ++cache->length;
  return x_RD;
}

void Transformer::finish_weight_gradients(const ForwardContext& context) {
  for (BitLinear* layer : bitlinears()) finish_weight_gradient(*layer, context);
}

std::vector<BitLinear*> Transformer::bitlinears() {
  std::vector<BitLinear*> layers;
  for (Block& block : blocks_)
    for (BitLinear* layer : block.layers()) layers.push_back(layer);
  if (head_.quantized) layers.push_back(&head_);
  return layers;
}

std::vector<std::pair<std::string, at::Tensor>> Transformer::named_parameters() {
  std::vector<std::pair<std::string, at::Tensor>> all = {
      {BlockMaker::embedding_name(config_), wte_}};
  if (wpe_.defined()) all.emplace_back("wpe.weight", wpe_);
  const auto add = [&](const std::string& name, const at::Tensor& weight, const at::Tensor& bias) {
    all.emplace_back(name + ".weight", weight);
    if (bias.defined()) all.emplace_back(name + ".bias", bias);
  };
  const auto add_norm = [&](const NormLayer& norm) { add(norm.name, norm.weight, norm.bias); };
  const auto add_linear = [&](const BitLinear& layer) {
    add(layer.layer.name, layer.weight, layer.bias);
  };
  for (const Block& block : blocks_) {
    add_norm(block.ln_1);
    for (const BitLinear& layer : block.qkv) add_linear(layer);
    add_linear(block.attn_proj);
    add_norm(block.ln_2);
    for (const BitLinear& layer : block.fc) add_linear(layer);
    add_linear(block.mlp_proj);
  }
  add_norm(ln_f_);
  if (!config_.tied_head) add_linear(head_);
  return all;
}

int64_t Transformer::parameter_count() {
  int64_t count = 0;
  for (const auto& [name, tensor] : named_parameters()) count += tensor.numel();
  return count;
}

}  // namespace bitloop::trainer
