// A packed model of random numbers, for bench/decoding.py: GPT-2's shape at any size, as `bitloop
// pack` would write it. Layers of the same shape have the same weights: each lies in the file by
// itself.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>

#include "harness/base/fd.h"
#include "trainer/model/weight_product.h"
#include "trainer/pack/packed_model.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

struct Options {
  std::string output, quantizer = BITLOOP_SOURCE_DIR "/quantizers/ternary.lua";
  int64_t layers = 22, width = 2048, heads = 32, context = 1024;
  bool float32 = false;
};

// The random weight of a shape, quantised and packed.
Result<StoredWeight> make_weight(int64_t N, int64_t K, lua::Quantizer& quantizer) {
  BitLinear layer;
  layer.layer = {
      .name = "l", .index = 0, .count = 1, .kind = "mlp_fc", .in_features = K, .out_features = N};
  layer.weight = at::randn({N, K}).mul_(0.02);
  BITLOOP_TRY(quantize_weight(layer, {.quantizer = &quantizer, .products = Products::kFloat32}));
  return store_weight(layer.weight_operand, quantizer.format());
}

Status make(const Options& options) {
  const at::NoGradGuard no_grad;
  at::manual_seed(1);
  BITLOOP_ASSIGN(text, read_file(options.quantizer));
  BITLOOP_ASSIGN(quantizer, lua::Quantizer::load(text, "candidate.lua",
                                                 lua::Limits{.tensor_bytes = size_t{16} << 30}));
  BITLOOP_ASSIGN(preset_text, read_file(BITLOOP_SOURCE_DIR "/trainer/presets/small.json"));
  json preset = json::parse(preset_text);
  preset["model"].update({{"layers", options.layers},
                          {"width", options.width},
                          {"heads", options.heads},
                          {"context", options.context}});
  const ModelConfig config{.vocab_size = 50257,
                           .padded_vocab_size = 50304,
                           .context = options.context,
                           .layers = options.layers,
                           .heads = options.heads,
                           .width = options.width};
  const at::ScalarType floats = options.float32 ? at::kFloat : at::kBFloat16;
  Transformer model = Transformer::empty(config, false);
  PackedModel packed;
  std::map<std::pair<int64_t, int64_t>, StoredWeight> made;
  std::set<std::string> latents;
  for (const BitLinear* layer : model.bitlinears()) {
    const int64_t N = layer->layer.out_features, K = layer->layer.in_features;
    if (!made.contains({N, K})) {
      BITLOOP_ASSIGN(weight, make_weight(N, K, *quantizer));
      made[{N, K}] = std::move(weight);
    }
    const StoredWeight& weight = made[{N, K}];
    for (const auto& [part, tensor] :
         {std::pair{"codes", weight.codes}, std::pair{"scale", weight.scale},
          std::pair{"offset", weight.offset}, std::pair{"codebook", weight.codebook}})
      if (tensor.defined())
        packed.tensors.emplace_back(fmt::format("{}.{}", layer->layer.name, part), tensor);
    latents.insert(layer->layer.name + ".weight");
  }
  for (const auto& [name, tensor] : model.named_parameters()) {
    if (latents.contains(name)) continue;
    const at::Tensor numbers =
        tensor.dim() == 2 ? at::randn(tensor.sizes()).mul_(0.02) : tensor.detach().contiguous();
    packed.tensors.emplace_back(name, numbers.to(floats));
  }
  std::ranges::stable_sort(packed.tensors, std::ranges::greater(),
                           [](const auto& entry) { return entry.second.element_size(); });
  json job = {
      {"schema_version", 1},
      {"kind", "train"},
      {"candidate", {{"path", "candidate.lua"}, {"content", text}}},
      {"data_dir", ""},
      {"rules",
       {{"quantize_head", false}, {"paper_compat", false}, {"allowed_config", json::object()}}},
      {"seed", 42}};
  for (const char* part : {"name", "model", "train", "eval"}) job["preset"][part] = preset[part];
  job["preset"]["data"] = {{"format", "tokens16"}};
  const UniqueFd fd(::open(options.output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (fd.get() < 0) return fail("wrong_usage", options.output + " can't be written");
  return write_packed(fd.get(), packed, {{"bitloop", "random"}, {"job", job}});
}

}  // namespace
}  // namespace bitloop::trainer

int main(int argc, char** argv) {
  bitloop::trainer::Options options;
  CLI::App app("A packed model of random numbers.");
  app.add_option("OUTPUT", options.output)->required();
  app.add_option("--quantizer", options.quantizer, "a Lua file");
  app.add_option("--layers", options.layers);
  app.add_option("--width", options.width);
  app.add_option("--heads", options.heads);
  app.add_option("--context", options.context);
  app.add_flag("--float32", options.float32, "embeddings in float32, else bfloat16");
  CLI11_PARSE(app, argc, argv);
  const auto done = bitloop::trainer::make(options);
  if (!done) fmt::print(stderr, "{}\n", done.error().message);
  return done ? 0 : 1;
}
