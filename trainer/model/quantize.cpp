#include "trainer/model/quantize.h"

#include <fmt/format.h>

#include <cmath>

#include "trainer/kernels/codes.h"
#include "trainer/model/code_tensors.h"

namespace bitloop::trainer {
namespace {

std::string shape_text(const at::Tensor& tensor) {
  std::string text = "(";
  for (int64_t d = 0; d < tensor.dim(); ++d)
    text += (d ? ", " : "") + std::to_string(tensor.size(d));
  return text + ")";
}

// Activation scales are not counted as bits a weight, so a group must be long enough for them to
// carry little: one scale an input would be float activations under another name.
constexpr int64_t kSmallestActivationGroup = 16;

// Where an error happened: "weight_quant of layer h.0.attn.c_attn".
struct Place {
  const char* function;
  const std::string& layer;

  std::unexpected<Error> error(const char* code, const std::string& what) const {
    return fail(code, fmt::format("{} (layer {}): {}", function, layer, what));
  }
};

// A scale-like tensor as float32 without graph, rounded to the stored width. Refuses what is not
// finite, which includes numbers too large for float16.
Result<at::Tensor> stored(const at::Tensor& tensor, const char* what, at::ScalarType dtype,
                          const Place& place) {
  const at::Tensor given = tensor.detach().to(at::kFloat).contiguous();
  const at::Tensor rounded = codes::round_stored(given, dtype == at::kHalf);
  if (!rounded.defined())
    return place.error(
        "rejected",
        fmt::format("{} must be finite after rounding to {}; clamp it (min = 1e-5) and keep "
                    "it below 65504",
                    what, dtype == at::kHalf ? "float16" : "float32"));
  return rounded;
}

// Group scales (rows, ceil(K / G)) spread over the K columns.
at::Tensor spread_groups(const at::Tensor& scale, int64_t group, int64_t columns) {
  return scale.repeat_interleave(group, 1).narrow(1, 0, columns);
}

// A scale-like tensor as it broadcasts over `like` (rows, K); the shape was checked before.
// flat_group > 0: the scales run over the flattened tensor.
at::Tensor spread(const at::Tensor& tensor, const at::Tensor& like, const lua::Format& format,
                  int64_t flat_group) {
  if (flat_group > 0 && tensor.numel() > 1)
    return tensor.reshape({-1})
        .repeat_interleave(flat_group)
        .narrow(0, 0, like.numel())
        .view_as(like);
  if (tensor.dim() == 2 && tensor.size(1) > 1 && tensor.size(1) != like.size(1))
    return spread_groups(tensor, format.group, like.size(1));
  return tensor;
}

// Brings a scale to its canonical shape or says which shapes are allowed. One number becomes 0-d.
Result<at::Tensor> canonical_scale(const at::Tensor& tensor, const char* what,
                                   const at::Tensor& like, const lua::Format& format,
                                   bool activation, const Place& place) {
  const int64_t rows = like.size(0), columns = like.size(1);
  if (tensor.numel() == 1 && tensor.dim() <= 2) return tensor.reshape({});
  const bool flat =
      format.flat_groups && !activation;  // activations are grouped along their rows always
  const bool grouped = format.group > 0 && !flat;
  const int64_t groups = grouped ? (columns + format.group - 1) / format.group : 0;
  const int64_t flat_groups = flat ? (like.numel() + format.group - 1) / format.group : 0;
  const auto is = [&](int64_t a, int64_t b) {
    return tensor.dim() == 2 && tensor.size(0) == a && tensor.size(1) == b;
  };
  if (flat && is(flat_groups, 1)) return tensor;
  if (!flat && is(rows, 1)) return tensor;
  if (activation && grouped && is(rows, groups) && format.group < kSmallestActivationGroup)
    return place.error(
        "rejected",
        fmt::format("activation scales in groups of {} inputs are too fine; group must be at "
                    "least {}",
                    format.group, kSmallestActivationGroup));
  if (grouped && is(rows, groups)) return tensor;
  if (activation && is(1, columns)) return tensor;
  std::string allowed = fmt::format("one number or ({}, 1)", flat ? flat_groups : rows);
  if (grouped) allowed += fmt::format(" or ({}, {})", rows, groups);
  if (activation) allowed += fmt::format(" or (1, {})", columns);
  // The right kind of thing, but finer than allowed: extra numbers could carry the weights
  // themselves.
  const bool finer = tensor.numel() > (flat ? flat_groups : rows);
  return place.error(
      finer ? "rejected" : "script_error",
      fmt::format("{} has shape {}, expected {}{}", what, shape_text(tensor), allowed,
                  finer && !grouped && !flat ? "; for finer scales declare group = G" : ""));
}

// The smallest factor that makes every level an integer in int8's range, or 0.
int integer_factor(const std::vector<double>& levels) {
  for (int factor = 1; factor <= 16; ++factor) {
    bool all = true;
    for (const double level : levels) {
      const double product = level * factor;
      all = all && std::abs(product - std::round(product)) <= 1e-6 * factor &&
            std::abs(product) <= 127;
    }
    if (all) return factor;
  }
  return 0;
}

// Fills scale and offset; shared by weights and activations.
Status take_scales(const lua::Quantized& returned, const at::Tensor& like,
                   const lua::Format& format, bool activation, const Place& place,
                   Operand& operand) {
  BITLOOP_ASSIGN(scale, canonical_scale(returned.scale, "scale", like, format, activation, place));
  BITLOOP_ASSIGN(stored_scale, stored(scale, "scale", format.scale_dtype, place));
  operand.scale = stored_scale;
  operand.stored_numbers += stored_scale.numel();
  if (returned.offset.defined()) {
    BITLOOP_ASSIGN(offset,
                   canonical_scale(returned.offset, "offset", like, format, activation, place));
    BITLOOP_ASSIGN(stored_offset, stored(offset, "offset", format.scale_dtype, place));
    operand.offset = stored_offset;
    operand.stored_numbers += stored_offset.numel();
  }
  return {};
}

Status take_surrogate(const lua::Quantized& returned, const at::Tensor& like, const Place& place,
                      Operand& operand) {
  if (!returned.surrogate.defined()) return {};
  if (returned.surrogate.sizes() != like.sizes())
    return place.error("script_error",
                       fmt::format("surrogate has shape {}, expected the value's {}",
                                   shape_text(returned.surrogate), shape_text(like)));
  if (!returned.surrogate.requires_grad() && at::GradMode::is_enabled() && like.requires_grad())
    return place.error(
        "script_error",
        "surrogate has no gradient: it must be computed from the tensor it stands for");
  operand.surrogate = returned.surrogate;
  return {};
}

Status check_codes_shape(const lua::Quantized& returned, const at::Tensor& like,
                         const Place& place) {
  if (!returned.codes.defined() || (!returned.scale.defined() && !returned.codebook.defined()))
    return place.error("script_error",
                       "must return codes, scale (or a table with codes and scale or codebook)");
  if (returned.codes.sizes() != like.sizes())
    return place.error("script_error", fmt::format("codes have shape {}, expected {}",
                                                   shape_text(returned.codes), shape_text(like)));
  return {};
}

// The exact integer form exists for one scale or one a row, without offset.
bool has_row_scales(const Operand& operand, int64_t rows) {
  return !operand.offset.defined() && (operand.flat_group == 0 || operand.scale.dim() == 0) &&
         (operand.scale.dim() == 0 || (operand.scale.dim() == 2 && operand.scale.size(1) == 1 &&
                                       operand.scale.size(0) == rows));
}

std::string code_at(const at::Tensor& codes, int64_t index) {
  const int64_t columns = codes.size(-1);
  return fmt::format("code {} at [{}, {}]", codes.view({-1})[index].item<float>(), index / columns,
                     index % columns);
}

std::string levels_text(const std::vector<double>& levels) {
  std::string text;
  const size_t shown = levels.size() > 8 ? 4 : levels.size();
  for (size_t i = 0; i < shown; ++i) text += fmt::format("{}{:.6g}", i ? ", " : "", levels[i]);
  if (shown < levels.size()) text += fmt::format(", … {:.6g}", levels.back());
  return "{" + text + "}";
}

// The codebook alone, without the codes that are looked up in it.
Status take_entries(const lua::Quantized& returned, const at::Tensor& w_NK,
                    const lua::Format& format, const Place& place, Operand& operand) {
  const int64_t rows = w_NK.size(0), columns = w_NK.size(1), block = format.codebook_block;
  const int64_t blocks = (columns + block - 1) / block, entries = format.codebook_entries;
  if (!returned.codebook.defined() || returned.codebook.dim() != 3 ||
      returned.codebook.size(0) != rows || returned.codebook.size(1) != blocks ||
      returned.codebook.size(2) != entries)
    return place.error("script_error",
                       fmt::format("codebook must have shape ({}, {}, {})", rows, blocks, entries));
  BITLOOP_ASSIGN(codebook, stored(returned.codebook, "codebook", format.scale_dtype, place));
  operand.codebook = codebook;
  operand.stored_numbers = codebook.numel();
  return {};
}

Status take_codebook(const lua::Quantized& returned, const at::Tensor& w_NK,
                     const lua::Format& format, const Place& place, Operand& operand) {
  BITLOOP_TRY(take_entries(returned, w_NK, format, place, operand));
  const at::Tensor raw = returned.codes.detach().to(at::kFloat).contiguous();
  const codes::LookedUp found = codes::look_up(raw, operand.codebook, format.codebook_block);
  if (found.bad >= 0)
    return place.error("rejected",
                       fmt::format("{} is not an index in 0 … {}", code_at(raw, found.bad),
                                   format.codebook_entries - 1));
  operand.codes = found.codes;
  operand.value = found.value;
  return {};
}

}  // namespace

PackedLevels pack_levels(const lua::Format& format) {
  PackedLevels packed;
  if (format.codebook_entries > 0 || format.levels.empty() ||
      std::ssize(format.levels) > kernels::kFewLevels)
    return packed;
  packed.factor = integer_factor(format.levels);
  for (const double level : format.levels) {
    packed.levels.push_back(static_cast<float>(level));
    packed.integers.push_back(static_cast<int8_t>(std::lround(level * packed.factor)));
  }
  return packed;
}

void materialise_value(Operand& operand, const at::Tensor& like, const lua::Format& format) {
  if (operand.value.defined()) return;
  if (!operand.codes.defined()) {
    operand.codes = operand.codes_int8.to(at::kFloat);
    if (operand.factor > 1) {  // weights: each integer is a level times the factor
      const PackedLevels packed = pack_levels(format);
      const at::Tensor codes = at::empty_like(operand.codes);
      for (size_t k = 0; k < packed.levels.size(); ++k)
        codes.masked_fill_(operand.codes.eq(packed.integers[k]), packed.levels[k]);
      operand.codes = codes;
    }
  }
  operand.value = operand.codes * spread(operand.scale, like, format, operand.flat_group);
  if (operand.offset.defined())
    operand.value = operand.value + spread(operand.offset, like, format, operand.flat_group);
}

namespace {

// Codes and scales of a tensor that is not finite can't be: that is the training's failure, not the
// file's.
Result<Operand> unless_diverged(Result<Operand> operand, const at::Tensor& like,
                                const std::string& layer_name) {
  if (operand || at::isfinite(like).all().item<bool>()) return operand;
  return fail("diverged",
              fmt::format("a weight or activation of layer {} is not finite", layer_name));
}

// The scale of integers that are codes times `factor`.
void set_integer_scale(Operand& operand, int factor) {
  operand.factor = factor;
  operand.int8_scale = operand.scale.reshape({-1});
  if (factor > 1) operand.int8_scale = operand.int8_scale / factor;
}

Result<Operand> weight_operand(const lua::Quantized& returned, const at::Tensor& w_NK,
                               const lua::Format& format, const std::string& layer_name) {
  const Place place{"weight_quant", layer_name};
  Operand operand;
  BITLOOP_TRY(check_codes_shape(returned, w_NK, place));
  if (format.codebook_entries > 0) {
    BITLOOP_TRY(take_codebook(returned, w_NK, format, place, operand));
    BITLOOP_TRY(take_surrogate(returned, w_NK, place, operand));
    return operand;
  }
  if (!returned.scale.defined()) return place.error("script_error", "must return codes, scale");
  const at::Tensor raw = returned.codes.detach().to(at::kFloat).contiguous();
  const codes::Checked snapped = codes::snap_to_levels(raw, format.levels);
  if (snapped.bad >= 0)
    return place.error("rejected",
                       fmt::format("{} is not a declared level {}; return codes, rounded and "
                                   "clamped, not codes * scale: the value is made of them here",
                                   code_at(raw, snapped.bad), levels_text(format.levels)));
  operand.codes = snapped.made;
  if (format.flat_groups) operand.flat_group = format.group;
  BITLOOP_TRY(take_scales(returned, w_NK, format, false, place, operand));
  materialise_value(operand, w_NK, format);
  BITLOOP_TRY(take_surrogate(returned, w_NK, place, operand));

  if (const int factor = integer_factor(format.levels);
      factor > 0 && has_row_scales(operand, w_NK.size(0))) {
    operand.codes_int8 =
        codes::pack_int8(operand.codes, static_cast<float>(factor), -127, 127).made;
    set_integer_scale(operand, factor);
  }
  return operand;
}

Result<Operand> packed_operand(const lua::Quantized& returned, const at::Tensor& codes_int8,
                               int factor, const at::Tensor& w_NK, const lua::Format& format,
                               const std::string& layer_name) {
  Operand operand;
  BITLOOP_TRY(
      take_scales(returned, w_NK, format, false, Place{"weight_quant", layer_name}, operand));
  operand.codes_int8 = codes_int8;
  set_integer_scale(operand, factor);
  return operand;
}

Result<Operand> stored_operand(const lua::Quantized& returned, const at::Tensor& w_NK,
                               const lua::Format& format, const std::string& layer_name) {
  const Place place{"weight_quant", layer_name};
  Operand operand;
  if (format.codebook_entries > 0) {
    BITLOOP_TRY(take_entries(returned, w_NK, format, place, operand));
    return operand;
  }
  if (!returned.scale.defined()) return place.error("script_error", "must return codes, scale");
  if (format.flat_groups) operand.flat_group = format.group;
  BITLOOP_TRY(take_scales(returned, w_NK, format, false, place, operand));
  if (const int factor = integer_factor(format.levels);
      factor > 0 && has_row_scales(operand, w_NK.size(0)))
    set_integer_scale(operand, factor);
  return operand;
}

Result<Operand> activation_operand(const lua::Quantized& returned, const at::Tensor& x_RK,
                                   const lua::Format& format, const std::string& layer_name) {
  const Place place{"activation_quant", layer_name};
  Operand operand;
  BITLOOP_TRY(check_codes_shape(returned, x_RK, place));
  if (!returned.scale.defined()) return place.error("script_error", "must return codes, scale");
  const int high = (1 << (format.activation_bits - 1)) - 1, low = -high - 1;
  const at::Tensor raw = returned.codes.detach().to(at::kFloat).contiguous();
  int64_t bad;
  if (format.activation_bits <= 8) {
    const codes::Checked packed = codes::pack_int8(raw, 1.0f, low, high);
    operand.codes_int8 = packed.made;
    bad = packed.bad;
  } else {
    bad = codes::find_non_integer(raw, static_cast<float>(low), static_cast<float>(high));
  }
  if (bad >= 0)
    return place.error("rejected",
                       fmt::format("{} is not an integer in [{}, {}] ({} bits)", code_at(raw, bad),
                                   low, high, format.activation_bits));
  BITLOOP_TRY(take_scales(returned, x_RK, format, true, place, operand));
  BITLOOP_TRY(take_surrogate(returned, x_RK, place, operand));
  if (operand.codes_int8.defined() && has_row_scales(operand, x_RK.size(0))) {
    operand.int8_scale = operand.scale.reshape({-1});
  } else {
    operand.codes_int8 = at::Tensor();
    operand.codes = raw.round();
  }
  return operand;
}

}  // namespace

Result<at::Tensor> stored_activation_scale(const at::Tensor& scale, const lua::Format& format,
                                           const std::string& layer_name) {
  return stored(scale, "scale", format.scale_dtype, Place{"activation_quant", layer_name});
}

Result<Operand> make_weight_operand(const lua::Quantized& returned, const at::Tensor& w_NK,
                                    const lua::Format& format, const std::string& layer_name) {
  return unless_diverged(weight_operand(returned, w_NK, format, layer_name), w_NK, layer_name);
}

Result<Operand> packed_weight_operand(const lua::Quantized& returned, const at::Tensor& codes_int8,
                                      int factor, const at::Tensor& w_NK, const lua::Format& format,
                                      const std::string& layer_name) {
  return unless_diverged(packed_operand(returned, codes_int8, factor, w_NK, format, layer_name),
                         w_NK, layer_name);
}

Result<Operand> stored_weight_operand(const lua::Quantized& returned, const at::Tensor& w_NK,
                                      const lua::Format& format, const std::string& layer_name) {
  return stored_operand(returned, w_NK, format, layer_name);
}

Result<Operand> make_activation_operand(const lua::Quantized& returned, const at::Tensor& x_RK,
                                        const lua::Format& format, const std::string& layer_name) {
  return unless_diverged(activation_operand(returned, x_RK, format, layer_name), x_RK, layer_name);
}

}  // namespace bitloop::trainer
