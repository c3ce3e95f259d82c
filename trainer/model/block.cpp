#include "trainer/model/block.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "trainer/kernels/rms_norm.h"
#include "trainer/kernels/rows.h"
#include "trainer/kernels/team.h"
#include "trainer/model/functions.h"

namespace bitloop::trainer {
namespace {

constexpr double kDeviation = 0.02;

}  // namespace

std::vector<BitLinear*> Block::layers() {
  std::vector<BitLinear*> all;
  for (BitLinear& layer : qkv) all.push_back(&layer);
  all.push_back(&attn_proj);
  for (BitLinear& layer : fc) all.push_back(&layer);
  all.push_back(&mlp_proj);
  return all;
}

std::set<std::pair<int64_t, int64_t>> product_shapes(const ModelConfig& config) {
  const int64_t D = config.width, F = config.hidden_width();
  const int64_t keys = config.key_heads() * (D / config.heads);
  std::set<std::pair<int64_t, int64_t>> shapes = {
      {D, D}, {F, D}, {D, F}, {config.padded_vocab_size, D}};
  shapes.emplace(config.is_llama() ? keys : 3 * D, D);
  return shapes;
}

BlockMaker::BlockMaker(const ModelConfig& config, Normal normal, int64_t layers)
    : config_(config), normal_(std::move(normal)), count_(layers) {}

std::string BlockMaker::embedding_name(const ModelConfig& config) {
  return config.is_llama() ? "model.embed_tokens.weight" : "wte.weight";
}

std::string BlockMaker::last_norm_name(const ModelConfig& config) {
  return config.is_llama() ? "model.norm" : "ln_f";
}

int64_t BlockMaker::layers_of_a_block(const ModelConfig& config) {
  return config.is_llama() ? 7 : 4;
}

NormLayer BlockMaker::norm(const std::string& name) const {
  NormLayer made{.name = name,
                 .weight = at::ones({config_.width}).requires_grad_(true),
                 .bias = {},
                 .epsilon = config_.is_llama() ? config_.norm_epsilon : kNormEpsilon};
  if (!config_.is_llama()) made.bias = at::zeros({config_.width}).requires_grad_(true);
  return made;
}

BitLinear BlockMaker::linear(const std::string& name, const char* kind, int64_t N, int64_t K,
                             double deviation) {
  BitLinear layer;
  layer.layer = {.name = name,
                 .index = index_++,
                 .count = count_,
                 .kind = kind,
                 .in_features = K,
                 .out_features = N};
  layer.weight = normal_({N, K}, deviation);
  if (config_.bias) layer.bias = at::zeros({N}).requires_grad_(true);
  return layer;
}

Block BlockMaker::block(int64_t index) {
  return config_.is_llama() ? llama(fmt::format("model.layers.{}.", index))
                            : gpt2(fmt::format("h.{}.", index));
}

Block BlockMaker::gpt2(const std::string& prefix) {
  const int64_t D = config_.width;
  const double residual = kDeviation / std::sqrt(2.0 * static_cast<double>(config_.layers));
  Block block;
  block.ln_1 = norm(prefix + "ln_1");
  block.qkv.push_back(linear(prefix + "attn.c_attn", "attn_qkv", 3 * D, D, kDeviation));
  block.attn_proj = linear(prefix + "attn.c_proj", "attn_proj", D, D, residual);
  block.ln_2 = norm(prefix + "ln_2");
  block.fc.push_back(linear(prefix + "mlp.c_fc", "mlp_fc", 4 * D, D, kDeviation));
  block.mlp_proj = linear(prefix + "mlp.c_proj", "mlp_proj", D, 4 * D, residual);
  return block;
}

Block BlockMaker::llama(const std::string& prefix) {
  const int64_t D = config_.width, F = config_.hidden_width(),
                keys = config_.key_heads() * (D / config_.heads);
  const double residual = kDeviation / std::sqrt(2.0 * static_cast<double>(config_.layers));
  Block block;
  block.ln_1 = norm(prefix + "input_layernorm");
  for (const auto& [name, N] : {std::pair{"q_proj", D}, {"k_proj", keys}, {"v_proj", keys}})
    block.qkv.push_back(linear(prefix + "self_attn." + name, "attn_qkv", N, D, kDeviation));
  block.attn_proj = linear(prefix + "self_attn.o_proj", "attn_proj", D, D, residual);
  block.ln_2 = norm(prefix + "post_attention_layernorm");
  for (const char* name : {"gate_proj", "up_proj"})
    block.fc.push_back(linear(prefix + "mlp." + name, "mlp_fc", F, D, kDeviation));
  block.mlp_proj = linear(prefix + "mlp.down_proj", "mlp_proj", D, F, residual);
  return block;
}

void normalise_row(const NormLayer& norm, const float* x_D, float* y_D) {
  const int64_t D = norm.weight.numel();
  const float* weight = norm.weight.const_data_ptr<float>();
  float mean, rstd;
  if (norm.bias.defined())
    kernels::layer_norm(x_D, weight, norm.bias.const_data_ptr<float>(), 1, D, norm.epsilon, y_D,
                        &mean, &rstd);
  else
    kernels::rms_norm_forward(x_D, weight, 1, D, norm.epsilon, y_D, &rstd);
}

at::Tensor normalise(const at::Tensor& x_RD, const NormLayer& norm) {
  const int64_t D = x_RD.size(-1);
  if (norm.bias.defined() && !at::GradMode::is_enabled() && x_RD.is_cpu() &&
      x_RD.scalar_type() == at::kFloat && D % 16 == 0) {
    const at::Tensor x = x_RD.contiguous(), y = at::empty_like(x);
    kernels::run_parts(x.numel() / D, 16, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        normalise_row(norm, x.const_data_ptr<float>() + r * D, y.data_ptr<float>() + r * D);
    });
    return y;
  }
  if (norm.bias.defined())
    return at::layer_norm(x_RD, {x_RD.size(-1)}, norm.weight, norm.bias, norm.epsilon);
  return rms_norm(x_RD, norm.weight, norm.epsilon);
}

at::Tensor mlp_activation(const std::vector<at::Tensor>& hidden) {
  return hidden.size() == 1 ? gelu_tanh(hidden.front()) : swiglu(hidden.at(0), hidden.at(1));
}

}  // namespace bitloop::trainer
