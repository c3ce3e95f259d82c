#include <fmt/format.h>

#include <cmath>

#include "trainer/checkpoint/huggingface.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

constexpr int64_t kLargest = 1 << 24;

std::unexpected<Error> bad_model(const std::string& message) {
  return fail("bad_model", "config.json: " + message);
}

// A value as it is shown in a message: nobody's file makes it long.
std::string shown(const json& value) {
  constexpr size_t kMost = 60;
  return value.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace)
      .substr(0, kMost);
}

// Reads one config.json; what it doesn't ask for has no effect on the numbers (dropout, the ids of
// special tokens, …).
class Reader {
 public:
  explicit Reader(const json& config) : config_(config) {}

  bool has(const char* name) const { return config_.contains(name) && !config_.at(name).is_null(); }
  std::string text(const char* name, const char* otherwise) const {
    if (!has(name)) return otherwise;
    return config_.at(name).is_string() ? config_.at(name).get<std::string>()
                                        : shown(config_.at(name));
  }
  Status size(const char* name, int64_t& value) const {
    if (!has(name) || !config_.at(name).is_number_integer() || config_.at(name) < 1 ||
        config_.at(name) > kLargest)
      return bad_model(fmt::format("{} must be a whole number from 1 to {}", name, kLargest));
    value = config_.at(name).get<int64_t>();
    return {};
  }
  // Keeps what `value` is where there is no such member.
  Status number(const char* name, double low, double high, double& value) const {
    if (!has(name)) return {};
    const json& given = config_.at(name);
    if (!given.is_number() || !(given.get<double>() >= low && given.get<double>() <= high))
      return bad_model(fmt::format("{} must be a number from {} to {}, but is {}", name, low, high,
                                   shown(given)));
    value = given.get<double>();
    return {};
  }
  Status flag(const char* name, bool& value) const {
    if (!has(name)) return {};
    if (!config_.at(name).is_boolean())
      return bad_model(
          fmt::format("{} must be true or false, but is {}", name, shown(config_.at(name))));
    value = config_.at(name).get<bool>();
    return {};
  }
  // What must have one value for the model to be ours; absent means that value.
  Status fixed(const char* name, const json& value) const {
    if (has(name) && config_.at(name) != value)
      return bad_model(fmt::format("{} is {}, but only {} is read by this version", name,
                                   shown(config_.at(name)), value.dump()));
    return {};
  }

 private:
  const json& config_;
};

Result<ModelConfig> read_gpt2(const Reader& config) {
  BITLOOP_TRY(config.fixed("scale_attn_weights", true));
  BITLOOP_TRY(config.fixed("scale_attn_by_inverse_layer_idx", false));
  BITLOOP_TRY(config.fixed("add_cross_attention", false));
  BITLOOP_TRY(config.fixed("tie_word_embeddings", true));
  BITLOOP_TRY(config.fixed("layer_norm_epsilon", kNormEpsilon));
  const std::string activation = config.text("activation_function", "gelu_new");
  if (activation != "gelu_new" && activation != "gelu_pytorch_tanh")
    return bad_model(fmt::format(
        "activation_function '{}' is not read by this version: gelu_new is", activation));
  ModelConfig model;
  BITLOOP_TRY(config.size("vocab_size", model.vocab_size));
  BITLOOP_TRY(config.size("n_positions", model.context));
  BITLOOP_TRY(config.size("n_layer", model.layers));
  BITLOOP_TRY(config.size("n_head", model.heads));
  BITLOOP_TRY(config.size("n_embd", model.width));
  if (model.width % model.heads != 0)
    return bad_model(
        fmt::format("n_embd {} is not a multiple of n_head {}", model.width, model.heads));
  int64_t inner = 4 * model.width;
  if (config.has("n_inner")) BITLOOP_TRY(config.size("n_inner", inner));
  if (inner != 4 * model.width)
    return bad_model(fmt::format("n_inner is {}, but only {} (4 n_embd) is read by this version",
                                 inner, 4 * model.width));
  model.padded_vocab_size = model.vocab_size;
  return model;
}

// The rotary positions' base, which newer versions of transformers keep in an object.
Status read_rotary(const json& config, double& theta) {
  constexpr double kLeast = 2, kMost = 1e12;
  BITLOOP_TRY(Reader(config).number("rope_theta", kLeast, kMost, theta));
  for (const char* name : {"rope_scaling", "rope_parameters"}) {
    if (!config.contains(name) || config.at(name).is_null()) continue;
    const json& rope = config.at(name);
    if (!rope.is_object()) return bad_model(fmt::format("{} is no JSON object", name));
    const Reader reader(rope);
    const std::string type = reader.text("rope_type", reader.text("type", "default").c_str());
    if (type != "default")
      return bad_model(fmt::format(
          "{} of type '{}' is not read by this version: only unscaled rotary positions are", name,
          type.substr(0, 40)));
    BITLOOP_TRY(reader.number("rope_theta", kLeast, kMost, theta));
  }
  return {};
}

Result<ModelConfig> read_llama(const json& document) {
  const Reader config(document);
  ModelConfig model{
      .architecture = "llama", .bias = false, .tied_head = false, .norm_epsilon = 1e-6};
  BITLOOP_TRY(config.size("vocab_size", model.vocab_size));
  BITLOOP_TRY(config.size("max_position_embeddings", model.context));
  BITLOOP_TRY(config.size("num_hidden_layers", model.layers));
  BITLOOP_TRY(config.size("num_attention_heads", model.heads));
  BITLOOP_TRY(config.size("hidden_size", model.width));
  BITLOOP_TRY(config.size("intermediate_size", model.ffn_width));
  model.kv_heads = model.heads;
  if (config.has("num_key_value_heads"))
    BITLOOP_TRY(config.size("num_key_value_heads", model.kv_heads));
  if (model.width % model.heads != 0)
    return bad_model(fmt::format("hidden_size {} is not a multiple of num_attention_heads {}",
                                 model.width, model.heads));
  if (model.heads % model.kv_heads != 0)
    return bad_model(
        fmt::format("num_attention_heads {} is not a multiple of num_key_value_heads {}",
                    model.heads, model.kv_heads));
  const int64_t head = model.width / model.heads;
  if (head % 2 != 0)
    return bad_model(fmt::format(
        "hidden_size / num_attention_heads is {}: rotary positions need an even number", head));
  BITLOOP_TRY(config.fixed("head_dim", head));
  BITLOOP_TRY(config.fixed("hidden_act", "silu"));
  BITLOOP_TRY(config.fixed("partial_rotary_factor", 1.0));
  BITLOOP_TRY(config.fixed("sliding_window", nullptr));
  bool attention_bias = false, mlp_bias = false;
  BITLOOP_TRY(config.flag("attention_bias", attention_bias));
  BITLOOP_TRY(config.flag("mlp_bias", mlp_bias));
  if (attention_bias != mlp_bias)
    return bad_model(
        "attention_bias and mlp_bias differ, but this version has biases in all linear layers or "
        "in none");
  model.bias = mlp_bias;
  BITLOOP_TRY(config.flag("tie_word_embeddings", model.tied_head));
  BITLOOP_TRY(config.number("rms_norm_eps", 1e-12, 0.1, model.norm_epsilon));
  BITLOOP_TRY(read_rotary(document, model.rope_theta));
  model.padded_vocab_size = model.vocab_size;
  return model;
}

}  // namespace

Result<ModelConfig> read_huggingface_config(const json& config) {
  if (!config.is_object()) return bad_model("it is no JSON object");
  if (config.contains("quantization_config"))
    return bad_model("quantization_config is not read by this version");
  const std::string architecture = Reader(config).text("model_type", "");
  if (architecture == "gpt2") return read_gpt2(Reader(config));
  if (architecture == "llama") return read_llama(config);
  return bad_model(fmt::format("model_type '{}' is not read by this version: gpt2 and llama are",
                               architecture.substr(0, 40)));
}

std::string model_difference(const ModelConfig& is, const ModelConfig& wanted) {
  const auto differ = [](const char* name, const auto& a, const auto& b) -> std::string {
    return a == b ? "" : fmt::format("its {} is {}, but the preset's is {}", name, a, b);
  };
  for (std::string found :
       {differ("architecture", is.architecture, wanted.architecture),
        differ("vocabulary", is.vocab_size, wanted.vocab_size),
        differ("number of layers", is.layers, wanted.layers),
        differ("width", is.width, wanted.width), differ("number of heads", is.heads, wanted.heads),
        differ("number of key-value heads", is.key_heads(), wanted.key_heads()),
        differ("hidden width", is.hidden_width(), wanted.hidden_width()),
        differ("biases", is.bias, wanted.bias), differ("tied head", is.tied_head, wanted.tied_head),
        differ("norm_epsilon", is.norm_epsilon, wanted.norm_epsilon),
        is.is_llama() ? differ("rope_theta", is.rope_theta, wanted.rope_theta)
                      : differ("context", is.context, wanted.context)})
    if (!found.empty()) return found;
  return "";
}

json huggingface_config(const ModelConfig& config) {
  if (config.is_llama())
    return {{"architectures", {"LlamaForCausalLM"}},
            {"model_type", "llama"},
            {"hidden_act", "silu"},
            {"vocab_size", config.vocab_size},
            {"max_position_embeddings", config.context},
            {"hidden_size", config.width},
            {"intermediate_size", config.hidden_width()},
            {"num_hidden_layers", config.layers},
            {"num_attention_heads", config.heads},
            {"num_key_value_heads", config.key_heads()},
            {"rms_norm_eps", config.norm_epsilon},
            {"rope_theta", config.rope_theta},
            {"rope_scaling", nullptr},
            {"attention_bias", config.bias},
            {"mlp_bias", config.bias},
            {"attention_dropout", 0.0},
            {"tie_word_embeddings", config.tied_head},
            {"torch_dtype", "float32"}};
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

}  // namespace bitloop::trainer
