#include "trainer/model/code_tensors.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "trainer/kernels/codes.h"
#include "trainer/kernels/places.h"

namespace bitloop::trainer::codes {
namespace {

// LibTorch's product of int8 on CUDA takes more rows than this, and lengths that these divide.
constexpr int64_t kFewRows = 16, kDepthUnit = 16, kWidthUnit = 8;

uint16_t* bits(const at::Tensor& bfloat16) {
  return reinterpret_cast<uint16_t*>(bfloat16.data_ptr<at::BFloat16>());
}

// The first place where `bad` (bool) holds, or -1. One look from the CPU where all is well.
int64_t first_of(const at::Tensor& bad) {
  if (!bad.any().item<bool>()) return -1;
  return bad.view({-1}).to(at::kInt).argmax().item<int64_t>();
}

// Not within kSnap, which is a float32; NaN is not.
at::Tensor is_far(const at::Tensor& distance, float most = kernels::kSnap) {
  return distance.le(static_cast<double>(most)).logical_not_();
}

}  // namespace

namespace operations {

Checked snap_to_levels(const at::Tensor& codes, std::span<const double> levels) {
  const std::vector<float> rounded(levels.begin(), levels.end());
  if (std::ssize(rounded) <= kernels::kFewLevels) {
    at::Tensor snapped = at::full_like(codes, NAN);
    for (const float level : rounded)
      snapped.masked_fill_((codes - level).abs_().le(static_cast<double>(kernels::kSnap)), level);
    return {snapped, first_of(snapped.isnan())};
  }
  const at::Tensor all = at::tensor(rounded, at::kFloat).to(codes.device());
  const at::Tensor place = at::searchsorted(all, codes);
  const int64_t last = std::ssize(rounded) - 1;
  const at::Tensor above = at::take(all, place.clamp_max(last)),
                   below = at::take(all, (place - 1).clamp_(0, last));
  // At either end both are the same.
  const at::Tensor snapped = at::where((above - codes).lt(codes - below), above, below);
  return {snapped, first_of(is_far((codes - snapped).abs_()))};
}

Checked pack_int8(const at::Tensor& codes, float factor, int low, int high) {
  const at::Tensor product = codes * factor;
  const at::Tensor clamped = product.round().clamp_(low, high);
  const int64_t bad = first_of(is_far((product - clamped).abs_(), kernels::kSnap * factor));
  return {bad < 0 ? clamped.to(at::kChar) : at::Tensor(), bad};
}

int64_t find_non_integer(const at::Tensor& codes, float low, float high) {
  const at::Tensor far = is_far((codes - codes.round()).abs_());
  return first_of(far | codes.lt(static_cast<double>(low - kernels::kSnap)) |
                  codes.gt(static_cast<double>(high + kernels::kSnap)));
}

LookedUp look_up(const at::Tensor& codes, const at::Tensor& codebook, int64_t block) {
  LookedUp made{.codes = codes.round(), .value = {}};
  made.bad = find_non_integer(codes, 0.0f, static_cast<float>(codebook.size(2) - 1));
  if (made.bad >= 0) return made;
  // Block by block, the last one filled up with place 0.
  const int64_t rows = codes.size(0), columns = codes.size(1), blocks = codebook.size(1);
  const at::Tensor places =
      at::constant_pad_nd(made.codes.to(at::kLong), {0, blocks * block - columns});
  made.value = codebook.gather(2, places.view({rows, blocks, block}))
                   .view({rows, blocks * block})
                   .narrow(1, 0, columns)
                   .contiguous();
  return made;
}

at::Tensor round_stored(const at::Tensor& numbers, bool float16) {
  const at::Tensor stored = float16 ? numbers.to(at::kHalf).to(at::kFloat) : numbers.clone();
  return at::isfinite(stored).all().item<bool>() ? stored : at::Tensor();
}

at::Tensor multiply(const at::Tensor& x_codes, const at::Tensor& w_codes) {
  const int64_t R = x_codes.size(0), K = x_codes.size(1), N = w_codes.size(0);
  if (x_codes.is_cuda() && R > kFewRows && K % kDepthUnit == 0 && N % kWidthUnit == 0)
    return at::_int_mm(x_codes.contiguous(), w_codes.contiguous().t());
  // A float64 holds every sum of fewer than 2^39 products of two int8.
  return at::mm(x_codes.to(at::kDouble), w_codes.to(at::kDouble).t()).to(at::kInt);
}

at::Tensor scale_products(const at::Tensor& acc, const at::Tensor& x_scale,
                          const at::Tensor& w_scale, const std::optional<at::Tensor>& bias) {
  const at::Tensor y = acc.to(at::kFloat).mul_(x_scale.unsqueeze(1) * w_scale);
  return bias ? y.add_(*bias) : y;
}

std::pair<at::Tensor, at::Tensor> scale_to_bfloat16(const at::Tensor& dy, const at::Tensor& x_scale,
                                                    const at::Tensor& w_scale, bool by_column,
                                                    bool by_row) {
  return {by_column ? (dy * w_scale).to(at::kBFloat16) : at::Tensor(),
          by_row ? (dy * x_scale.unsqueeze(1)).to(at::kBFloat16) : at::Tensor()};
}

}  // namespace operations

Checked snap_to_levels(const at::Tensor& codes, std::span<const double> levels) {
  if (!codes.is_cpu()) return operations::snap_to_levels(codes, levels);
  Checked checked{at::empty_like(codes)};
  checked.bad = kernels::snap_to_levels(codes.const_data_ptr<float>(), codes.numel(), levels,
                                        checked.made.data_ptr<float>());
  return checked;
}

Checked pack_int8(const at::Tensor& codes, float factor, int low, int high) {
  if (!codes.is_cpu()) return operations::pack_int8(codes, factor, low, high);
  Checked checked{at::empty(codes.sizes(), codes.options().dtype(at::kChar))};
  checked.bad = kernels::pack_int8(codes.const_data_ptr<float>(), codes.numel(), factor, low, high,
                                   checked.made.data_ptr<int8_t>());
  return checked;
}

int64_t find_non_integer(const at::Tensor& codes, float low, float high) {
  if (!codes.is_cpu()) return operations::find_non_integer(codes, low, high);
  return kernels::find_non_integer(codes.const_data_ptr<float>(), codes.numel(), low, high);
}

LookedUp look_up(const at::Tensor& codes, const at::Tensor& codebook, int64_t block) {
  if (!codes.is_cpu()) return operations::look_up(codes, codebook, block);
  const at::Tensor tables = codebook.contiguous();
  LookedUp made{.codes = at::empty_like(codes), .value = at::empty_like(codes)};
  made.bad = kernels::look_up(codes.const_data_ptr<float>(), tables.const_data_ptr<float>(),
                              codes.size(0), codes.size(1), block, tables.size(2),
                              made.codes.data_ptr<float>(), made.value.data_ptr<float>());
  return made;
}

at::Tensor round_stored(const at::Tensor& numbers, bool float16) {
  if (!numbers.is_cpu()) return operations::round_stored(numbers, float16);
  const at::Tensor rounded = at::empty(numbers.sizes(), numbers.options());
  return kernels::round_stored(numbers.const_data_ptr<float>(), numbers.numel(), float16,
                               rounded.data_ptr<float>())
             ? rounded
             : at::Tensor();
}

at::Tensor multiply(const at::Tensor& x_codes, const at::Tensor& w_codes) {
  if (!x_codes.is_cpu()) return operations::multiply(x_codes, w_codes);
  return at::_int_mm(x_codes, w_codes.t());
}

at::Tensor scale_products(const at::Tensor& acc, const at::Tensor& x_scale,
                          const at::Tensor& w_scale, const std::optional<at::Tensor>& bias) {
  if (!acc.is_cpu()) return operations::scale_products(acc, x_scale, w_scale, bias);
  const at::Tensor y = at::empty(acc.sizes(), x_scale.options());
  kernels::scale_products(acc.const_data_ptr<int32_t>(), x_scale.const_data_ptr<float>(),
                          x_scale.numel() > 1, w_scale.const_data_ptr<float>(), w_scale.numel() > 1,
                          bias ? bias->const_data_ptr<float>() : nullptr, acc.size(0), acc.size(1),
                          y.data_ptr<float>());
  return y;
}

std::pair<at::Tensor, at::Tensor> scale_to_bfloat16(const at::Tensor& dy, const at::Tensor& x_scale,
                                                    const at::Tensor& w_scale, bool by_column,
                                                    bool by_row) {
  if (!dy.is_cpu()) return operations::scale_to_bfloat16(dy, x_scale, w_scale, by_column, by_row);
  const at::TensorOptions options = dy.options().dtype(at::kBFloat16);
  const at::Tensor column = by_column ? at::empty(dy.sizes(), options) : at::Tensor(),
                   row = by_row ? at::empty(dy.sizes(), options) : at::Tensor();
  kernels::scale_to_bfloat16(dy.const_data_ptr<float>(), x_scale.const_data_ptr<float>(),
                             x_scale.numel() > 1, w_scale.const_data_ptr<float>(),
                             w_scale.numel() > 1, dy.size(0), dy.size(1),
                             by_row ? bits(row) : nullptr, by_column ? bits(column) : nullptr);
  return {column, row};
}

at::Tensor to_bfloat16(const at::Tensor& codes_int8) {
  if (!codes_int8.is_cpu()) return codes_int8.to(at::kBFloat16);
  const at::Tensor out = at::empty(codes_int8.sizes(), codes_int8.options().dtype(at::kBFloat16));
  kernels::int8_to_bfloat16(codes_int8.const_data_ptr<int8_t>(), codes_int8.numel(), bits(out));
  return out;
}

}  // namespace bitloop::trainer::codes
