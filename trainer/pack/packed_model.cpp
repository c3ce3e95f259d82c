#include "trainer/pack/packed_model.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "trainer/kernels/team.h"
#include "trainer/model/weight_product.h"
#include "trainer/pack/code_packing.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

std::unexpected<Error> bad(std::string message) { return fail("bad_weights", std::move(message)); }

bool is_quantised(const BitLinear& layer, const lua::Format* format) {
  return layer.quantized && format != nullptr && format->quantizes_weights;
}

// One file while it is taken apart: which of its tensors were read, and whether they are whole.
class Reader {
 public:
  // Compares all tensors with their checksums, in all threads.
  Reader(const MappedTensors& tensors, const json& checksums, at::Device device)
      : tensors_(tensors), device_(device) {
    std::vector<std::string> names = tensors.names();
    std::ranges::sort(names, std::ranges::greater(),
                      [&](const std::string& name) { return tensors.bytes(name).size(); });
    std::vector<char> whole(names.size());
    kernels::run_items(std::ssize(names), [&](int64_t item) {
      const auto i = static_cast<size_t>(item);
      const std::span<const uint8_t> bytes = tensors.bytes(names[i]);
      const auto known = checksums.find(names[i]);
      whole[i] = known != checksums.end() && *known == checksum(bytes.data(), bytes.size());
    });
    for (size_t i = 0; i < names.size(); ++i)
      if (whole[i] == 0) damaged_.insert(names[i]);
  }

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
    if (stored.sizes() != into.sizes()) return wrong_shape(name, stored, into);
    fill_parameter(into, stored);
    return {};
  }
  // Lets a matrix be where it lies in the file.
  Status place(const std::string& name, const at::Tensor& into) {
    BITLOOP_TRY(check(name));
    BITLOOP_ASSIGN(stored, tensors_.view(name));
    if (stored.sizes() != into.sizes()) return wrong_shape(name, stored, into);
    into.set_data(stored);
    return {};
  }
  // As it is stored, where it lies; undefined where there is none.
  Result<at::Tensor> stored(const std::string& name) {
    if (!has(name)) return at::Tensor();
    BITLOOP_TRY(check(name));
    return tensors_.view(name);
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
    if (damaged_.contains(name))
      return bad(fmt::format("is damaged: '{}' has another checksum than the file says", name));
    read_.insert(name);
    return {};
  }

  static Status wrong_shape(const std::string& name, const at::Tensor& stored,
                            const at::Tensor& into) {
    return bad(fmt::format("has '{}' as {}, but its model makes it {}", name,
                           fmt::join(stored.sizes(), " x "), fmt::join(into.sizes(), " x ")));
  }

  const MappedTensors& tensors_;
  const at::Device device_;
  std::set<std::string> damaged_, read_;
};

// The bytes of a layer's codes, as many as there must be.
Result<std::span<const uint8_t>> codes_of(Reader& reader, const BitLinear& layer,
                                          const lua::Format& format) {
  const std::string& name = layer.layer.name;
  const int64_t N = layer.layer.out_features, K = layer.layer.in_features;
  const CodePacking packing = CodePacking::of(choices_of(format));
  BITLOOP_ASSIGN(bytes, reader.bytes(name + ".codes"));
  if (std::ssize(bytes) != packing.bytes(N * K))
    return bad(fmt::format("has {} bytes of codes for '{}', but {} x {} codes are {}", bytes.size(),
                           name, N, K, packing.bytes(N * K)));
  return bytes;
}

std::unexpected<Error> no_codes(const std::string& name, const lua::Format& format) {
  return bad(
      fmt::format("has codes for '{}' that are none of the {} levels", name, choices_of(format)));
}

std::unexpected<Error> not_returned(const Error& error) {
  return bad("is not what a quantizer returns: " + error.message);
}

// What a layer adds to its rows.
Status read_row_bias(Reader& reader, BitLinear& layer) {
  const std::string name = layer.layer.name + ".row_bias";
  layer.stored_row_bias = at::Tensor();
  if (!reader.has(name)) return {};
  layer.stored_row_bias = at::empty({layer.layer.out_features}, layer.weight.options());
  return reader.fill(name, layer.stored_row_bias);
}

// The layer's product on what lies in the file.
Status place_weight(Reader& reader, const MappedTensors& tensors, BitLinear& layer,
                    const lua::Format& format) {
  const std::string& name = layer.layer.name;
  StoredWeight weight{.out_features = layer.layer.out_features,
                      .in_features = layer.layer.in_features,
                      .codes = {},
                      .scale = {},
                      .offset = {},
                      .codebook = {}};
  BITLOOP_ASSIGN(bytes, codes_of(reader, layer, format));
  weight.codes = at::from_blob(
      const_cast<uint8_t*>(bytes.data()), {std::ssize(bytes)}, [kept = tensors](void*) {},
      at::kByte);
  if (!holds_codes(weight, format)) return no_codes(name, format);
  for (const auto& [part, tensor] :
       {std::pair{"scale", &weight.scale}, std::pair{"offset", &weight.offset},
        std::pair{"codebook", &weight.codebook}}) {
    BITLOOP_ASSIGN(stored, reader.stored(fmt::format("{}.{}", name, part)));
    if (stored.defined() && stored.scalar_type() != format.scale_dtype)
      return bad(
          fmt::format("has '{}.{}' in another type than its quantizer declares", name, part));
    *tensor = std::move(stored);
  }
  const lua::Quantized returned{.codes = {},
                                .scale = weight.scale,
                                .offset = weight.offset,
                                .codebook = weight.codebook,
                                .surrogate = {}};
  const auto operand = stored_weight_operand(returned, layer.weight, format, name);
  if (!operand) return not_returned(operand.error());
  layer.stored_product = packed_product(weight, *operand, format);
  return read_row_bias(reader, layer);
}

Status unpack_weight(Reader& reader, BitLinear& layer, const lua::Format& format) {
  const std::string& name = layer.layer.name;
  const int64_t N = layer.layer.out_features, K = layer.layer.in_features;
  const CodePacking packing = CodePacking::of(choices_of(format));
  BITLOOP_ASSIGN(bytes, codes_of(reader, layer, format));
  std::vector<uint16_t> indices(static_cast<size_t>(N * K));
  if (!unpack_codes(packing, bytes.data(), N * K, indices.data())) return no_codes(name, format);
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
  if (!operand) return not_returned(operand.error());
  layer.stored = std::move(*operand);
  return read_row_bias(reader, layer);
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
      add("codes", pack_weight_codes(operand.codes, *format), at::kByte);
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
  std::map<std::string, std::string> metadata = packed_metadata(whole);
  seal_metadata(safetensors_header(packed.tensors, metadata), metadata);
  return write_safetensors(fd, safetensors_header(packed.tensors, metadata), packed.tensors);
}

Status unpack_model(const MappedTensors& tensors, const json& description, Transformer& model,
                    const lua::Format* format, Unpack how) {
  const at::NoGradGuard no_grad;
  Reader reader(tensors, description.at("xxh3"), model.device());
  std::set<std::string> latents;
  for (BitLinear* layer : model.bitlinears()) {
    const std::string& name = layer->layer.name;
    if (is_quantised(*layer, format)) {
      latents.insert(name + ".weight");
      BITLOOP_TRY(how == Unpack::kInPlace && has_packed_product(*format)
                      ? place_weight(reader, tensors, *layer, *format)
                      : unpack_weight(reader, *layer, *format));
    }
    BITLOOP_ASSIGN(params, reader.under(name + ".params."));
    BITLOOP_ASSIGN(state, reader.under(name + ".state."));
    layer->params = std::move(params);
    layer->state = std::move(state);
  }
  for (const auto& [name, tensor] : model.named_parameters())
    if (!latents.contains(name))
      BITLOOP_TRY(how == Unpack::kInPlace && tensor.dim() == 2 ? reader.place(name, tensor)
                                                               : reader.fill(name, tensor));
  return reader.finish();
}

}  // namespace bitloop::trainer
