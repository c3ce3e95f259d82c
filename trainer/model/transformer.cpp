#include "trainer/model/transformer.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "trainer/kernels/decode_attention.h"
#include "trainer/kernels/team.h"
#include "trainer/model/functions.h"

namespace bitloop::trainer {
namespace {

at::Tensor layer_norm(const at::Tensor& x, const LayerNorm& norm) {
  return at::layer_norm(x, {x.size(-1)}, norm.weight, norm.bias, kNormEpsilon);
}

}  // namespace

Transformer::Transformer(const ModelConfig& config, bool quantize_head, uint64_t seed)
    : Transformer(config, quantize_head,
                  std::make_unique<at::Generator>(at::detail::createCPUGenerator(seed)).get()) {}

Transformer Transformer::empty(const ModelConfig& config, bool quantize_head) {
  return {config, quantize_head, nullptr};
}

Transformer::Transformer(const ModelConfig& config, bool quantize_head, const at::Generator* random)
    : config_(config) {
  const int64_t D = config.width, L = config.layers;
  const auto normal = [&](at::IntArrayRef shape, double deviation) {
    const at::Tensor made = at::empty(shape, at::kFloat);
    if (random != nullptr) made.normal_(0.0, deviation, *random);
    return made.requires_grad_(true);
  };
  const auto norm = [&] {
    return LayerNorm{at::ones({D}).requires_grad_(true), at::zeros({D}).requires_grad_(true)};
  };
  const double residual = 0.02 / std::sqrt(2.0 * static_cast<double>(L));
  int64_t index = 0;
  const int64_t count = 4 * L + (quantize_head ? 1 : 0);
  const auto linear = [&](const std::string& name, const char* kind, int64_t N, int64_t K,
                          double deviation) {
    BitLinear layer;
    layer.layer = {.name = name,
                   .index = index++,
                   .count = count,
                   .kind = kind,
                   .in_features = K,
                   .out_features = N};
    layer.weight = normal({N, K}, deviation);
    if (config.bias) layer.bias = at::zeros({N}).requires_grad_(true);
    return layer;
  };
  wte_ = normal({config.padded_vocab_size, D}, 0.02);
  wpe_ = normal({config.context, D}, 0.02);
  for (int64_t i = 0; i < L; ++i) {
    const std::string name = fmt::format("h.{}.", i);
    Block block;
    block.ln_1 = norm();
    block.qkv = linear(name + "attn.c_attn", "attn_qkv", 3 * D, D, 0.02);
    block.attn_proj = linear(name + "attn.c_proj", "attn_proj", D, D, residual);
    block.ln_2 = norm();
    block.fc = linear(name + "mlp.c_fc", "mlp_fc", 4 * D, D, 0.02);
    block.mlp_proj = linear(name + "mlp.c_proj", "mlp_proj", D, 4 * D, residual);
    blocks_.push_back(std::move(block));
  }
  ln_f_ = norm();
  head_.layer = {.name = "lm_head",
                 .index = index,
                 .count = count,
                 .kind = "head",
                 .in_features = D,
                 .out_features = config.padded_vocab_size};
  head_.weight = wte_;
  head_.quantized = quantize_head;
}

void Transformer::to(at::Device device) {
  const auto move = [&](at::Tensor& parameter) {
    if (parameter.defined() && parameter.device() != device)
      parameter = parameter.detach().to(device).requires_grad_(true);
  };
  for (at::Tensor* embedding : {&wte_, &wpe_}) move(*embedding);
  const auto move_norm = [&](LayerNorm& norm) {
    move(norm.weight);
    move(norm.bias);
  };
  for (Block& block : blocks_) {
    move_norm(block.ln_1);
    move_norm(block.ln_2);
    for (BitLinear* layer : {&block.qkv, &block.attn_proj, &block.fc, &block.mlp_proj}) {
      move(layer->weight);
      move(layer->bias);
    }
  }
  move_norm(ln_f_);
  head_.weight = wte_;
}

Status Transformer::quantize_weights(const ForwardContext& context) {
  std::vector<BitLinear*> layers = bitlinears();
  if (!head_.quantized) layers.push_back(&head_);
  return bitloop::trainer::quantize_weights(layers, context);
}

Result<at::Tensor> Transformer::forward(const at::Tensor& ids_BT, const ForwardContext& context) {
  BITLOOP_ASSIGN(x_RD, features(ids_BT, context));
  return logits(x_RD, context);
}

Result<at::Tensor> Transformer::logits(const at::Tensor& x_ND, const ForwardContext& context) {
  return bitlinear_forward(head_, x_ND, context);
}

Result<at::Tensor> Transformer::features(const at::Tensor& ids_BT, const ForwardContext& context,
                                         const Layout* layout) {
  const int64_t B = ids_BT.size(0), T = ids_BT.size(1), D = config_.width, R = B * T;
  const at::Tensor positions =
      layout != nullptr ? at::embedding(wpe_, layout->positions_BT) : wpe_.narrow(0, 0, T);
  return run_blocks((at::embedding(wte_, ids_BT) + positions).view({R, D}), context,
                    [&](size_t, const at::Tensor& qkv_RC) {
                      const at::Tensor qkv_BTC = qkv_RC.view({B, T, 3 * D});
                      return (layout != nullptr
                                  ? masked_attention(qkv_BTC, config_.heads, layout->mask_B1TT)
                                  : causal_attention(qkv_BTC, config_.heads))
                          .view({R, D});
                    });
}

Result<at::Tensor> Transformer::run_blocks(at::Tensor x_RD, const ForwardContext& context,
                                           const Attend& attend) {
  for (size_t i = 0; i < blocks_.size(); ++i) {
    Block& block = blocks_[i];
    BITLOOP_ASSIGN(qkv, bitlinear_forward(block.qkv, layer_norm(x_RD, block.ln_1), context));
    // What the fused step's attention reads: bfloat16.
    if (context.products == Products::kBfloat16) qkv = qkv.to(at::kBFloat16).to(at::kFloat);
    BITLOOP_ASSIGN(attended, bitlinear_forward(block.attn_proj, attend(i, qkv), context));
    x_RD = x_RD + attended;
    BITLOOP_ASSIGN(hidden, bitlinear_forward(block.fc, layer_norm(x_RD, block.ln_2), context));
    BITLOOP_ASSIGN(fed, bitlinear_forward(block.mlp_proj, gelu_tanh(hidden), context));
    x_RD = x_RD + fed;
  }
  return layer_norm(x_RD, ln_f_);
}

KeyValueCache Transformer::make_cache(int64_t room) const {
  TORCH_CHECK(device().is_cpu(), "a sequence grows on the CPU only");
  KeyValueCache cache;
  for (int64_t i = 0; i < config_.layers; ++i) {
    cache.keys.push_back(at::empty({room, config_.width}));
    cache.values.push_back(at::empty({room, config_.width}));
  }
  return cache;
}

Result<at::Tensor> Transformer::prefill(const at::Tensor& ids_T, KeyValueCache& cache,
                                        const ForwardContext& context) {
  const int64_t T = ids_T.size(0), D = config_.width;
  BITLOOP_ASSIGN(
      x_TD,
      run_blocks(at::embedding(wte_, ids_T) + wpe_.narrow(0, 0, T), context,
                 [&](size_t i, const at::Tensor& qkv_TC) {
                   cache.keys[i].narrow(0, 0, T).copy_(qkv_TC.narrow(1, D, D));
                   cache.values[i].narrow(0, 0, T).copy_(qkv_TC.narrow(1, 2 * D, D));
                   return causal_attention(qkv_TC.view({1, T, 3 * D}), config_.heads).view({T, D});
                 }));
  cache.length = T;
  return x_TD;
}

Result<at::Tensor> Transformer::decode(const at::Tensor& ids_R,
                                       std::span<KeyValueCache* const> caches,
                                       const ForwardContext& context) {
  const int64_t R = ids_R.size(0), D = config_.width, H = config_.heads;
  const at::Tensor positions = at::empty({R}, at::kLong);
  int64_t longest = 0;
  for (int64_t r = 0; r < R; ++r) {
    const int64_t length = caches[static_cast<size_t>(r)]->length;
    positions.data_ptr<int64_t>()[r] = length;
    longest = std::max(longest, length + 1);
  }
  const at::Tensor scores = at::empty({R, H * longest});
  const auto attend = [&](size_t i, const at::Tensor& given) {
    const at::Tensor qkv_RC = given.contiguous(), out = at::empty({R, D});
    kernels::run_items(R, [&](int64_t r) {
      KeyValueCache& cache = *caches[static_cast<size_t>(r)];
      const float* qkv = qkv_RC.const_data_ptr<float>() + r * 3 * D;
      float* keys = cache.keys[i].data_ptr<float>();
      float* values = cache.values[i].data_ptr<float>();
      std::copy_n(qkv + D, D, keys + cache.length * D);
      std::copy_n(qkv + 2 * D, D, values + cache.length * D);
      kernels::decode_attention(qkv, keys, values, cache.length + 1, H, D / H,
                                scores.data_ptr<float>() + r * H * longest,
                                out.data_ptr<float>() + r * D);
    });
    return out;
  };
  BITLOOP_ASSIGN(x_RD, run_blocks(at::embedding(wte_, ids_R) + at::embedding(wpe_, positions),
                                  context, attend));
  for (KeyValueCache* cache : caches) ++cache->length;
  return x_RD;
}

void Transformer::finish_weight_gradients(const ForwardContext& context) {
  for (BitLinear* layer : bitlinears()) finish_weight_gradient(*layer, context);
}

std::vector<BitLinear*> Transformer::bitlinears() {
  std::vector<BitLinear*> layers;
  for (Block& block : blocks_)
    for (BitLinear* layer : {&block.qkv, &block.attn_proj, &block.fc, &block.mlp_proj})
      layers.push_back(layer);
  if (head_.quantized) layers.push_back(&head_);
  return layers;
}

std::vector<std::pair<std::string, at::Tensor>> Transformer::named_parameters() {
  std::vector<std::pair<std::string, at::Tensor>> all = {{"wte.weight", wte_},
                                                         {"wpe.weight", wpe_}};
  const auto add_norm = [&](const std::string& name, const LayerNorm& norm) {
    all.emplace_back(name + ".weight", norm.weight);
    all.emplace_back(name + ".bias", norm.bias);
  };
  const auto add_linear = [&](const BitLinear& layer) {
    all.emplace_back(layer.layer.name + ".weight", layer.weight);
    if (layer.bias.defined()) all.emplace_back(layer.layer.name + ".bias", layer.bias);
  };
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Block& block = blocks_[i];
    add_norm(fmt::format("h.{}.ln_1", i), block.ln_1);
    add_linear(block.qkv);
    add_linear(block.attn_proj);
    add_norm(fmt::format("h.{}.ln_2", i), block.ln_2);
    add_linear(block.fc);
    add_linear(block.mlp_proj);
  }
  add_norm("ln_f", ln_f_);
  return all;
}

int64_t Transformer::parameter_count() {
  int64_t count = 0;
  for (const auto& [name, tensor] : named_parameters()) count += tensor.numel();
  return count;
}

}  // namespace bitloop::trainer
