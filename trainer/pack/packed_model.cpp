#include "trainer/pack/packed_model.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "trainer/pack/code_packing.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

constexpr const char *kFormat = "bitloop-packed", *kVersion = "1";
// Metadata of the header: all are text, as the format wants it.
constexpr const char *kChecksum = "header_xxh3", *kDescription = "bitloop";

std::unexpected<Error> bad(std::string message) { return fail("bad_weights", std::move(message)); }

std::string checksum(const void* data, size_t size) {
  return fmt::format("{:016x}", XXH3_64bits(data, size));
}

// The header's own checksum is made with zeros in its place.
std::string with_zeros(std::string_view header) {
  std::string text(header);
  const std::string key = fmt::format("\"{}\":\"", kChecksum);
  if (const size_t at = text.find(key); at != std::string::npos)
    for (size_t i = at + key.size(); i < std::min(text.size(), at + key.size() + 16); ++i)
      text[i] = '0';
  return text;
}

bool is_quantised(const BitLinear& layer, const lua::Format* format) {
  return layer.quantized && format != nullptr && format->quantizes_weights;
}

int64_t choices_of(const lua::Format& format) {
  return format.codebook_entries > 0 ? format.codebook_entries : std::ssize(format.levels);
}

// What a code is: an entry's index, or the level itself.
std::vector<float> values_of(const lua::Format& format) {
  std::vector<float> values;
  for (int64_t i = 0; i < choices_of(format); ++i)
    values.push_back(format.codebook_entries > 0
                         ? static_cast<float>(i)
                         : static_cast<float>(format.levels[static_cast<size_t>(i)]));
  return values;
}

at::Tensor pack(const at::Tensor& codes, const lua::Format& format) {
  const at::Tensor flat = codes.cpu().contiguous().view({-1});
  const float* of = flat.const_data_ptr<float>();
  const std::vector<float> values = values_of(format);  // ascending
  std::vector<uint16_t> indices(static_cast<size_t>(flat.numel()));
  for (size_t i = 0; i < indices.size(); ++i)
    indices[i] = static_cast<uint16_t>(std::ranges::lower_bound(values, of[i]) - values.begin());
  const CodePacking packing = CodePacking::of(choices_of(format));
  const at::Tensor bytes = at::empty({packing.bytes(flat.numel())}, at::kByte);
  pack_codes(packing, indices.data(), flat.numel(), bytes.data_ptr<uint8_t>());
  return bytes;
}

// One file while it is taken apart: which of its tensors were read, and whether they are whole.
class Reader {
 public:
  Reader(const MappedTensors& tensors, const json& checksums, at::Device device)
      : tensors_(tensors), checksums_(checksums), device_(device) {}

  bool has(const std::string& name) const { return tensors_.has(name); }
  Result<at::Tensor> floats(const std::string& name) {
    BITLOOP_TRY(check(name));
    return tensors_.get(name);
  }
  Result<std::span<const uint8_t>> bytes(const std::string& name) {
    BITLOOP_TRY(check(name));
    return tensors_.bytes(name);
  }
  // A copy on the model's device.
  Result<at::Tensor> copy(const std::string& name) {
    BITLOOP_ASSIGN(stored, floats(name));
    return stored.to(device_, at::kFloat, /*non_blocking=*/false, /*copy=*/true);
  }
  // Copies of all that are named PREFIX… by what follows it.
  Result<std::map<std::string, at::Tensor>> under(const std::string& prefix) {
    std::map<std::string, at::Tensor> found;
    for (const std::string& name : tensors_.names()) {
      if (!name.starts_with(prefix)) continue;
      BITLOOP_ASSIGN(tensor, copy(name));
      found[name.substr(prefix.size())] = std::move(tensor);
    }
    return found;
  }
  // Copies into a tensor that is there.
  Status fill(const std::string& name, const at::Tensor& into) {
    BITLOOP_ASSIGN(stored, floats(name));
    if (stored.sizes() != into.sizes())
      return bad(fmt::format("has '{}' as {}, but its model makes it {}", name,
                             fmt::join(stored.sizes(), " x "), fmt::join(into.sizes(), " x ")));
    into.detach().copy_(stored);
    return {};
  }
  // Nothing is there that no part of the model asked for.
  Status finish() const {
    for (const std::string& name : tensors_.names())
      if (!read_.contains(name)) return bad(fmt::format("has '{}', which its model has not", name));
    return {};
  }

 private:
  Status check(const std::string& name) {
    if (!tensors_.has(name)) return bad(fmt::format("has no tensor '{}'", name));
    const std::span<const uint8_t> bytes = tensors_.bytes(name);
    const auto known = checksums_.find(name);
    if (known == checksums_.end() || *known != checksum(bytes.data(), bytes.size()))
      return bad(fmt::format("is damaged: '{}' has another checksum than the file says", name));
    read_.insert(name);
    return {};
  }

  const MappedTensors& tensors_;
  const json& checksums_;
  const at::Device device_;
  std::set<std::string> read_;
};

Status unpack_weight(Reader& reader, BitLinear& layer, const lua::Format& format) {
  const std::string& name = layer.layer.name;
  const int64_t N = layer.layer.out_features, K = layer.layer.in_features;
  const CodePacking packing = CodePacking::of(choices_of(format));
  BITLOOP_ASSIGN(bytes, reader.bytes(name + ".codes"));
  if (std::ssize(bytes) != packing.bytes(N * K))
    return bad(fmt::format("has {} bytes of codes for '{}', but {} x {} codes are {}", bytes.size(),
                           name, N, K, packing.bytes(N * K)));
  std::vector<uint16_t> indices(static_cast<size_t>(N * K));
  if (!unpack_codes(packing, bytes.data(), N * K, indices.data()))
    return bad(
        fmt::format("has codes for '{}' that are none of the {} levels", name, choices_of(format)));
  const std::vector<float> values = values_of(format);
  lua::Quantized quantized;
  quantized.codes = at::empty({N, K}, at::kFloat);
  float* to = quantized.codes.data_ptr<float>();
  for (size_t i = 0; i < indices.size(); ++i) to[i] = values[indices[i]];
  const at::Device device = layer.weight.device();
  quantized.codes = quantized.codes.to(device);
  for (const auto& [part, tensor] :
       {std::pair{"scale", &quantized.scale}, std::pair{"offset", &quantized.offset},
        std::pair{"codebook", &quantized.codebook}}) {
    const std::string whole = fmt::format("{}.{}", name, part);
    if (!reader.has(whole)) continue;
    BITLOOP_ASSIGN(stored, reader.copy(whole));
    *tensor = std::move(stored);
  }
  // The same checks, and from here on the same numbers, as of what weight_quant returns.
  const at::Tensor like = at::zeros({1, 1}, layer.weight.options()).expand({N, K});
  auto operand = make_weight_operand(quantized, like, format, name);
  if (!operand) return bad("is not what a quantizer returns: " + operand.error().message);
  layer.stored = std::move(*operand);
  layer.stored_row_bias = at::Tensor();
  if (reader.has(name + ".row_bias")) {
    layer.stored_row_bias = at::empty({N}, layer.weight.options());
    BITLOOP_TRY(reader.fill(name + ".row_bias", layer.stored_row_bias));
  }
  return {};
}

}  // namespace

PackedModel pack_model(Transformer& model, const lua::Format* format, at::ScalarType floats) {
  const at::NoGradGuard no_grad;
  PackedModel packed;
  std::set<std::string> latents;  // their codes are stored in their place
  double bits = 0.0, weights = 0.0;
  for (BitLinear* layer : model.bitlinears()) {
    const std::string& name = layer->layer.name;
    weights += static_cast<double>(layer->weight.numel());
    const auto add = [&](const std::string& part, const at::Tensor& tensor, at::ScalarType type) {
      if (!tensor.defined()) return;
      packed.tensors.emplace_back(fmt::format("{}.{}", name, part),
                                  tensor.to(type).cpu().contiguous());
      bits += 8.0 * static_cast<double>(packed.tensors.back().second.nbytes());
    };
    if (is_quantised(*layer, format)) {
      latents.insert(name + ".weight");
      Operand& operand = layer->weight_operand;
      materialise_value(operand, layer->latent, *format);
      add("codes", pack(operand.codes, *format), at::kByte);
      add("scale", operand.scale, format->scale_dtype);
      add("offset", operand.offset, format->scale_dtype);
      add("codebook", operand.codebook, format->scale_dtype);
      add("row_bias", layer->row_bias, format->scale_dtype);
    }
    for (const auto& [param, tensor] : layer->params) add("params." + param, tensor, at::kFloat);
    if (format == nullptr || format->codebook_entries == 0)
      for (const auto& [state, tensor] : layer->state) add("state." + state, tensor, at::kFloat);
  }
  if (!latents.empty()) packed.bits_per_weight = bits / weights;
  for (const auto& [name, tensor] : model.named_parameters())
    if (!latents.contains(name))
      packed.tensors.emplace_back(name, tensor.detach().to(floats).cpu().contiguous());
  // Wide numbers first: then all of them lie where a number of their type may.
  std::ranges::stable_sort(packed.tensors, std::ranges::greater(),
                           [](const auto& entry) { return entry.second.element_size(); });
  return packed;
}

Status write_packed(int fd, const PackedModel& packed, const json& description) {
  json whole = description;
  json& checksums = whole["xxh3"] = json::object();
  for (const auto& [name, tensor] : packed.tensors)
    checksums[name] = checksum(tensor.const_data_ptr(), tensor.nbytes());
  std::map<std::string, std::string> metadata = {{"format", kFormat},
                                                 {"version", kVersion},
                                                 {kChecksum, std::string(16, '0')},
                                                 {kDescription, whole.dump()}};
  const std::string zeros = safetensors_header(packed.tensors, metadata);
  metadata[kChecksum] = checksum(zeros.data(), zeros.size());
  return write_safetensors(fd, safetensors_header(packed.tensors, metadata), packed.tensors);
}

Result<json> read_description(const MappedTensors& tensors) {
  const auto text = [&](const char* name) {
    const auto found = tensors.metadata().find(name);
    return found == tensors.metadata().end() ? std::string() : found->second;
  };
  if (text("format") != kFormat) return bad("is no packed model");
  if (text("version") != kVersion)
    return bad(
        fmt::format("is a packed model of version '{}', and this version of bitloop reads {}",
                    text("version").substr(0, 20), kVersion));
  const std::string zeros = with_zeros(tensors.header());
  if (text(kChecksum) != checksum(zeros.data(), zeros.size()))
    return bad("is damaged: its header has another checksum than it says");
  json description = json::parse(text(kDescription), nullptr, /*allow_exceptions=*/false);
  if (!description.is_object() || !description.contains("xxh3") || !description["xxh3"].is_object())
    return bad("has no description of its model");
  return description;
}

Status unpack_model(const MappedTensors& tensors, const json& description, Transformer& model,
                    const lua::Format* format) {
  const at::NoGradGuard no_grad;
  Reader reader(tensors, description.at("xxh3"), model.device());
  std::set<std::string> latents;
  for (BitLinear* layer : model.bitlinears()) {
    const std::string& name = layer->layer.name;
    if (is_quantised(*layer, format)) {
      latents.insert(name + ".weight");
      BITLOOP_TRY(unpack_weight(reader, *layer, *format));
    }
    BITLOOP_ASSIGN(params, reader.under(name + ".params."));
    BITLOOP_ASSIGN(state, reader.under(name + ".state."));
    layer->params = std::move(params);
    layer->state = std::move(state);
  }
  for (const auto& [name, tensor] : model.named_parameters())
    if (!latents.contains(name)) BITLOOP_TRY(reader.fill(name, tensor));
  return reader.finish();
}

}  // namespace bitloop::trainer
