#include "trainer/checkpoint/huggingface.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace bitloop::trainer {
namespace {

using nlohmann::json;

std::unexpected<Error> bad_model(std::string message) {
  return fail("bad_model", "config.json: " + std::move(message));
}

// Linear layers of the blocks, whose weights are stored (in, out).
bool is_conv1d(const std::string& name) {
  return name.starts_with("h.") && name.ends_with(".weight") &&
         name.find(".ln_") == std::string::npos;
}

}  // namespace

Result<ModelConfig> read_huggingface_config(const json& config) {
  if (!config.is_object()) return bad_model("it is no JSON object");
  const auto text = [&](const char* name, const char* otherwise) -> std::string {
    const auto found = config.find(name);
    if (found == config.end() || found->is_null()) return otherwise;
    return found->is_string() ? found->get<std::string>() : found->dump();
  };
  const std::string architecture = text("model_type", "");
  if (config.contains("quantization_config"))
    return bad_model("quantization_config is not read by this version");
  if (architecture != "gpt2")
    return bad_model(
        fmt::format("model_type '{}' is not read by this version: gpt2 is", architecture));
  // What must have one value for the model to be ours; absent means that value.
  const std::pair<const char*, json> fixed[] = {{"scale_attn_weights", true},
                                                {"scale_attn_by_inverse_layer_idx", false},
                                                {"add_cross_attention", false},
                                                {"tie_word_embeddings", true},
                                                {"layer_norm_epsilon", kNormEpsilon}};
  for (const auto& [name, value] : fixed)
    if (config.contains(name) && config.at(name) != value)
      return bad_model(fmt::format("{} is {}, but only {} is read by this version", name,
                                   config.at(name).dump(), value.dump()));
  const std::string activation = text("activation_function", "gelu_new");
  if (activation != "gelu_new" && activation != "gelu_pytorch_tanh")
    return bad_model(fmt::format(
        "activation_function '{}' is not read by this version: gelu_new is", activation));
  ModelConfig model;
  const std::pair<const char*, int64_t*> sizes[] = {{"vocab_size", &model.vocab_size},
                                                    {"n_positions", &model.context},
                                                    {"n_layer", &model.layers},
                                                    {"n_head", &model.heads},
                                                    {"n_embd", &model.width}};
  constexpr int64_t kLargest = 1 << 24;
  for (const auto& [name, size] : sizes) {
    const auto found = config.find(name);
    if (found == config.end() || !found->is_number_integer() || *found < 1 || *found > kLargest)
      return bad_model(fmt::format("{} must be a whole number from 1 to {}", name, kLargest));
    *size = found->get<int64_t>();
  }
  if (model.width % model.heads != 0)
    return bad_model(
        fmt::format("n_embd {} is not a multiple of n_head {}", model.width, model.heads));
  if (config.contains("n_inner") && !config.at("n_inner").is_null() &&
      config.at("n_inner") != 4 * model.width)
    return bad_model(fmt::format("n_inner is {}, but only {} (4 n_embd) is read by this version",
                                 config.at("n_inner").dump(), 4 * model.width));
  model.padded_vocab_size = model.vocab_size;
  return model;
}

Status load_huggingface(const MappedTensors& tensors, Transformer& model) {
  const at::NoGradGuard no_grad;
  const std::string prefix = tensors.has("transformer.wte.weight") ? "transformer." : "";
  for (const auto& [name, parameter] : model.named_parameters()) {
    BITLOOP_ASSIGN(stored, tensors.get(prefix + name));
    const bool transposed = is_conv1d(name);
    std::vector<int64_t> wanted = parameter.sizes().vec();
    if (transposed) std::swap(wanted[0], wanted[1]);
    if (stored.sizes() != at::IntArrayRef(wanted))
      return fail("bad_weights",
                  fmt::format("'{}' is {}, but config.json makes it {}", prefix + name,
                              fmt::join(stored.sizes(), " x "), fmt::join(wanted, " x ")));
    parameter.detach().copy_(transposed ? stored.t() : stored);
  }
  if (tensors.has("lm_head.weight")) {
    BITLOOP_ASSIGN(head, tensors.get("lm_head.weight"));
    BITLOOP_ASSIGN(embedding, tensors.get(prefix + "wte.weight"));
    if (!at::equal(head, embedding))
      return fail("bad_weights",
                  "'lm_head.weight' is not the token embedding, which this version's "
                  "head is tied to");
  }
  return {};
}

json huggingface_config(const ModelConfig& config) {
  return {{"architectures", {"GPT2LMHeadModel"}},
          {"model_type", "gpt2"},
          {"activation_function", "gelu_new"},
          {"vocab_size", config.vocab_size},
          {"n_positions", config.context},
          {"n_ctx", config.context},
          {"n_embd", config.width},
          {"n_layer", config.layers},
          {"n_head", config.heads},
          {"n_inner", nullptr},
          {"layer_norm_epsilon", kNormEpsilon},
          {"tie_word_embeddings", true},
          {"embd_pdrop", 0.0},
          {"attn_pdrop", 0.0},
          {"resid_pdrop", 0.0},
          {"torch_dtype", "float32"}};
}

NamedTensors huggingface_tensors(Transformer& model) {
  const at::NoGradGuard no_grad;
  NamedTensors tensors;
  for (const auto& [name, parameter] : model.named_parameters()) {
    at::Tensor value = parameter.detach();
    if (name == "wte.weight") value = value.narrow(0, 0, model.config().vocab_size);
    tensors.emplace_back("transformer." + name, (is_conv1d(name) ? value.t() : value).contiguous());
  }
  if (model.config().bias) return tensors;
  // transformers' layers always have biases.
  for (BitLinear* layer : model.bitlinears())
    if (layer->layer.name != "lm_head")
      tensors.emplace_back("transformer." + layer->layer.name + ".bias",
                           at::zeros({layer->layer.out_features}));
  return tensors;
}

}  // namespace bitloop::trainer
