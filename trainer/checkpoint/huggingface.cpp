#include "trainer/checkpoint/huggingface.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <set>

namespace bitloop::trainer {
namespace {

std::unexpected<Error> bad(std::string message) { return fail("bad_weights", std::move(message)); }

// Linear layers of GPT-2's blocks, whose weights are stored (in, out).
bool is_conv1d(const std::string& name) {
  return name.starts_with("h.") && name.ends_with(".weight") &&
         name.find(".ln_") == std::string::npos;
}

// Tensors with a row a token, which training may have more of.
bool has_token_rows(const std::string& name, const ModelConfig& config) {
  return name == BlockMaker::embedding_name(config) || name == "lm_head.weight";
}

// Where names of the model's own tensors begin.
std::string prefix_of(const MappedTensors& tensors, const ModelConfig& config) {
  return !config.is_llama() && tensors.has("transformer.wte.weight") ? "transformer." : "";
}

Status check_tensor(const MappedTensors& tensors, const std::string& name,
                    const std::vector<int64_t>& wanted) {
  if (!tensors.has(name)) return bad(fmt::format("has no tensor '{}'", name));
  const std::vector<int64_t> stored = tensors.shape(name);
  if (stored == wanted) return {};
  return bad(fmt::format("'{}' is {}, but config.json makes it {}", name, fmt::join(stored, " x "),
                         fmt::join(wanted, " x ")));
}

// Whether the file has the tensors that the model's size follows from, before memory is asked for.
Status check_size(const MappedTensors& tensors, const ModelConfig& config) {
  const std::string prefix = prefix_of(tensors, config);
  const int64_t D = config.width, F = config.hidden_width();
  BITLOOP_TRY(
      check_tensor(tensors, prefix + BlockMaker::embedding_name(config), {config.vocab_size, D}));
  if (config.is_llama()) {
    BITLOOP_TRY(check_tensor(tensors, "model.layers.0.mlp.up_proj.weight", {F, D}));
  } else {
    BITLOOP_TRY(check_tensor(tensors, prefix + "wpe.weight", {config.context, D}));
  }
  // Each block has norms of its own.
  const bool llama = config.is_llama();
  for (int64_t i = 0; i < config.layers; ++i)
    BITLOOP_TRY(check_tensor(tensors,
                             fmt::format("{}{}{}.{}.weight", prefix, llama ? "model.layers." : "h.",
                                         i, llama ? "input_layernorm" : "ln_1"),
                             {D}));
  return {};
}

// A Llama's file holds its tensors and no others: more of them would be another model's.
Status check_names(const MappedTensors& tensors, const std::set<std::string>& known) {
  for (const std::string& name : tensors.names())
    if (!known.contains(name) && name != "lm_head.weight" &&
        !name.ends_with(".rotary_emb.inv_freq"))  // written by old versions, and computed here
      return bad(fmt::format("has '{}', which the model of config.json has not", name));
  return {};
}

// A head that is written though it is tied.
Status check_tied_head(const MappedTensors& tensors, const std::string& embedding_name) {
  if (!tensors.has("lm_head.weight")) return {};
  BITLOOP_ASSIGN(head, tensors.get("lm_head.weight"));
  BITLOOP_ASSIGN(embedding, tensors.get(embedding_name));
  if (at::equal(head, embedding)) return {};
  return bad("'lm_head.weight' is not the token embedding, which config.json ties the head to");
}

}  // namespace

Result<Transformer> read_huggingface(const ModelConfig& config, const MappedTensors& tensors) {
  BITLOOP_TRY(check_size(tensors, config));
  Transformer model = Transformer::empty(config, false);
  BITLOOP_TRY(load_huggingface(tensors, model));
  return model;
}

Status load_huggingface(const MappedTensors& tensors, Transformer& model) {
  const at::NoGradGuard no_grad;
  const ModelConfig& config = model.config();
  const std::string prefix = prefix_of(tensors, config);
  std::set<std::string> known;
  for (const auto& [name, parameter] : model.named_parameters()) {
    const std::string stored_name = name == "lm_head.weight" ? name : prefix + name;
    known.insert(stored_name);
    const bool transposed = is_conv1d(name), by_token = has_token_rows(name, config);
    std::vector<int64_t> wanted = parameter.sizes().vec();
    if (transposed) std::swap(wanted[0], wanted[1]);
    if (by_token) wanted[0] = config.vocab_size;
    BITLOOP_TRY(check_tensor(tensors, stored_name, wanted));
    BITLOOP_ASSIGN(stored, tensors.get(stored_name));
    if (!at::isfinite(stored).all().item<bool>())
      return bad(fmt::format("holds a number in '{}' that is not finite", stored_name));
    if (by_token && parameter.size(0) > config.vocab_size)
      fill_parameter(parameter,
                     at::constant_pad_nd(stored, {0, 0, 0, parameter.size(0) - config.vocab_size}));
    else
      fill_parameter(parameter, transposed ? stored.t() : stored);
  }
  if (config.is_llama()) BITLOOP_TRY(check_names(tensors, known));
  return config.tied_head ? check_tied_head(tensors, prefix + BlockMaker::embedding_name(config))
                          : Status();
}

NamedTensors huggingface_tensors(Transformer& model) {
  const at::NoGradGuard no_grad;
  const ModelConfig& config = model.config();
  const std::string prefix = config.is_llama() ? "" : "transformer.";
  NamedTensors tensors;
  for (const auto& [name, parameter] : model.named_parameters()) {
    at::Tensor value = parameter.detach();
    if (has_token_rows(name, config)) value = value.narrow(0, 0, config.vocab_size);
    tensors.emplace_back(prefix + name, (is_conv1d(name) ? value.t() : value).contiguous());
  }
  if (config.is_llama() || config.bias) return tensors;
  // transformers' layers always have biases.
  for (BitLinear* layer : model.bitlinears())
    if (layer->layer.name != "lm_head")
      tensors.emplace_back(prefix + layer->layer.name + ".bias",
                           at::zeros({layer->layer.out_features}));
  return tensors;
}

}  // namespace bitloop::trainer
