#include "trainer/model/weight_product.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "trainer/kernels/codes.h"
#include "trainer/kernels/packed_products.h"
#include "trainer/model/code_tensors.h"
#include "trainer/model/device_product.h"
#include "trainer/pack/code_packing.h"

namespace bitloop::trainer {
namespace {

at::Tensor add_bias(const at::Tensor& y, const std::optional<at::Tensor>& bias) {
  return bias ? y.add_(*bias) : y;
}

void add_bias(const float* bias_N, int64_t begin, int64_t end, float* y) {
  if (bias_N == nullptr) return;
  for (int64_t n = begin; n < end; ++n) y[n - begin] += bias_N[n];
}

class FloatRow : public RowProduct {
 public:
  explicit FloatRow(const kernels::FloatRows& weight) : weight_(weight) {}
  void take(const float* x_K) override { kernels::pad_floats(x_K, 1, weight_.columns, x_); }
  void take(const int8_t*, float) override { TORCH_CHECK(false, "takes no integers"); }
  void make(int64_t begin, int64_t end, const float* bias_N, float* y) const override {
    kernels::multiply_part(weight_, x_, 1, begin, end, y - begin);
    add_bias(bias_N, begin, end, y);
  }
  std::span<const uint8_t> reads(int64_t begin, int64_t end) const override {
    const int64_t row = weight_.columns * (weight_.bfloat16 ? 2 : 4);
    return {static_cast<const uint8_t*>(weight_.numbers) + begin * row,
            static_cast<size_t>((end - begin) * row)};
  }
  int64_t part_rows() const override { return kernels::part_rows(weight_); }

 private:
  const kernels::FloatRows weight_;
  std::vector<float> x_;
};

class FloatProduct : public WeightProduct {
 public:
  explicit FloatProduct(at::Tensor w_NK) : w_(std::move(w_NK)) {
    TORCH_CHECK(w_.is_contiguous() && w_.is_cpu(), "a weight of floats must be contiguous");
  }

  bool takes_integers() const override { return false; }
  int64_t bytes() const override { return static_cast<int64_t>(w_.nbytes()); }
  std::shared_ptr<const WeightProduct> on(at::Device device,
                                          kernels::DeviceKernels&) const override {
    return device_float_product(w_, device);
  }
  at::Tensor multiply(const Operand& x, const std::optional<at::Tensor>& bias) const override {
    const at::Tensor rows = x.value.contiguous();
    const at::Tensor y = at::empty({rows.size(0), w_.size(0)}, rows.options());
    kernels::multiply(rows_of_weight(), rows.const_data_ptr<float>(), rows.size(0),
                      y.data_ptr<float>());
    return add_bias(y, bias);
  }
  std::unique_ptr<RowProduct> row_product() const override {
    return std::make_unique<FloatRow>(rows_of_weight());
  }

 private:
  kernels::FloatRows rows_of_weight() const {
    return {.rows = w_.size(0),
            .columns = w_.size(1),
            .numbers = w_.const_data_ptr(),
            .bfloat16 = w_.scalar_type() == at::kBFloat16};
  }

  const at::Tensor w_;
};

kernels::PackedCodes packed_codes(const StoredWeight& weight, const lua::Format& format) {
  const CodePacking packing = CodePacking::of(choices_of(format));
  return {
      .rows = weight.out_features,
      .columns = weight.in_features,
      .levels = static_cast<int>(packing.levels),
      .codes = packing.codes,
      .bits = packing.bits,
      .bytes = {weight.codes.const_data_ptr<uint8_t>(), static_cast<size_t>(weight.codes.numel())}};
}

kernels::StoredNumbers numbers_of(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {static_cast<const uint8_t*>(tensor.const_data_ptr()), tensor.scalar_type() == at::kHalf};
}

kernels::PackedValues packed_values(const StoredWeight& weight, const lua::Format& format) {
  kernels::PackedValues values;
  if (format.codebook_entries > 0) {
    values.codebook = numbers_of(weight.codebook);
    values.block = format.codebook_block;
    values.entries = format.codebook_entries;
    return values;
  }
  values.levels = values_of(format);
  values.scale = numbers_of(weight.scale);
  values.offset = numbers_of(weight.offset);
  values.scale_of = spread_of(weight.scale, weight, format);
  values.offset_of = spread_of(weight.offset, weight, format);
  return values;
}

class PackedRow : public RowProduct {
 public:
  // `integers` and their scale (1) or (N): null where there are none.
  PackedRow(int64_t K, const kernels::PackedFloats& floats, const kernels::PackedIntegers* integers,
            const at::Tensor& scale)
      : K_(K), floats_(floats), integers_(integers) {
    if (integers == nullptr) return;
    scale_ = scale.const_data_ptr<float>();
    scale_stride_ = scale.numel() > 1 ? 1 : 0;
  }

  void take(const float* x_K) override {
    as_integers_ = false;
    kernels::pad_floats(x_K, 1, K_, x_);
  }
  void take(const int8_t* codes_K, float scale) override {
    as_integers_ = true;
    x_scale_ = scale;
    integers_->prepare(codes_K, 1, codes_);
  }
  void make(int64_t begin, int64_t end, const float* bias_N, float* y) const override {
    if (!as_integers_) {
      floats_.multiply_part(x_, 1, begin, end, y - begin);
      return add_bias(bias_N, begin, end, y);
    }
    constexpr int64_t kSome = 256;
    int32_t sums[kSome];
    for (int64_t first = begin; first < end; first += kSome) {
      const int64_t last = std::min(end, first + kSome);
      integers_->multiply_part(codes_, first, last, sums - first);
      kernels::scale_product_part(sums, x_scale_, scale_ + first * scale_stride_, scale_stride_,
                                  bias_N != nullptr ? bias_N + first : nullptr, last - first,
                                  y + (first - begin));
    }
  }
  std::span<const uint8_t> reads(int64_t begin, int64_t end) const override {
    return floats_.bytes_of(begin, end);
  }
  int64_t part_rows() const override {
    return integers_ != nullptr ? integers_->part_rows() : floats_.part_rows();
  }

 private:
  const int64_t K_;
  const kernels::PackedFloats& floats_;
  const kernels::PackedIntegers* const integers_;
  const float* scale_ = nullptr;
  int64_t scale_stride_ = 0;
  bool as_integers_ = false;
  float x_scale_ = 0;
  kernels::PackedIntegers::Inputs codes_;
  std::vector<float> x_;
};

class PackedProduct : public WeightProduct {
 public:
  PackedProduct(const StoredWeight& weight, const Operand& checked, const lua::Format& format)
      : weight_(weight),
        format_(format),
        floats_(packed_codes(weight, format), packed_values(weight, format)),
        factor_(checked.factor) {
    if (!checked.int8_scale.defined()) return;
    integers_.emplace(packed_codes(weight, format), integers_of(format, factor_));
    int8_scale_ = checked.int8_scale.clone();
  }

  bool takes_integers() const override { return integers_.has_value(); }
  int64_t bytes() const override {
    int64_t sum = weight_.codes.numel();
    for (const at::Tensor* part : {&weight_.scale, &weight_.offset, &weight_.codebook})
      if (part->defined()) sum += static_cast<int64_t>(part->nbytes());
    return sum;
  }
  std::shared_ptr<const WeightProduct> on(at::Device device,
                                          kernels::DeviceKernels& kernels) const override {
    return device_packed_product(weight_, format_, {int8_scale_, factor_}, device, kernels);
  }
  at::Tensor multiply(const Operand& x, const std::optional<at::Tensor>& bias) const override {
    const int64_t N = weight_.out_features;
    if (integers_ && x.codes_int8.defined()) {
      const at::Tensor codes = x.codes_int8.contiguous();
      const at::Tensor sums = at::empty({codes.size(0), N}, codes.options().dtype(at::kInt));
      integers_->multiply(codes.const_data_ptr<int8_t>(), codes.size(0), sums.data_ptr<int32_t>());
      return codes::scale_products(sums, x.int8_scale, int8_scale_, bias);
    }
    const at::Tensor rows = x.value.contiguous();
    const at::Tensor y = at::empty({rows.size(0), N}, rows.options());
    floats_.multiply(rows.const_data_ptr<float>(), rows.size(0), y.data_ptr<float>());
    return add_bias(y, bias);
  }
  std::unique_ptr<RowProduct> row_product() const override {
    return std::make_unique<PackedRow>(weight_.in_features, floats_,
                                       integers_ ? &*integers_ : nullptr, int8_scale_);
  }

 private:
  const StoredWeight weight_;  // what the others look at
  const lua::Format format_;
  kernels::PackedFloats floats_;
  const int factor_;
  std::optional<kernels::PackedIntegers> integers_;
  at::Tensor int8_scale_;
};

}  // namespace

std::shared_ptr<const WeightProduct> float_product(at::Tensor w_NK) {
  return std::make_shared<FloatProduct>(std::move(w_NK));
}

int64_t choices_of(const lua::Format& format) {
  return format.codebook_entries > 0 ? format.codebook_entries : std::ssize(format.levels);
}

std::vector<float> values_of(const lua::Format& format) {
  std::vector<float> values;
  for (int64_t i = 0; i < choices_of(format); ++i)
    values.push_back(format.codebook_entries > 0
                         ? static_cast<float>(i)
                         : static_cast<float>(format.levels[static_cast<size_t>(i)]));
  return values;
}

at::Tensor pack_weight_codes(const at::Tensor& codes, const lua::Format& format) {
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

StoredWeight store_weight(const Operand& operand, const lua::Format& format) {
  const auto as_stored = [&](const at::Tensor& tensor) {
    return tensor.defined() ? tensor.to(format.scale_dtype).contiguous() : at::Tensor();
  };
  return {.out_features = operand.codes.size(0),
          .in_features = operand.codes.size(1),
          .codes = pack_weight_codes(operand.codes, format),
          .scale = as_stored(operand.scale),
          .offset = as_stored(operand.offset),
          .codebook = as_stored(operand.codebook)};
}

// By the shapes that canonical_scale allows (trainer/model/quantize.cpp).
kernels::Spread spread_of(const at::Tensor& tensor, const StoredWeight& weight,
                          const lua::Format& format) {
  using kernels::Spread;
  if (!tensor.defined() || tensor.numel() == 1) return {Spread::kOne};
  if (format.flat_groups) return {Spread::kFlatGroups, format.group};
  if (tensor.size(1) == 1 && tensor.size(0) == weight.out_features) return {Spread::kRows};
  return {Spread::kGroups, format.group};
}

std::vector<int8_t> integers_of(const lua::Format& format, int factor) {
  std::vector<int8_t> integers;
  for (const double level : format.levels)
    integers.push_back(static_cast<int8_t>(std::lround(level * factor)));
  return integers;
}

bool has_packed_product(const lua::Format& format) {
  return choices_of(format) >= 2 && choices_of(format) <= 256;
}

bool holds_codes(const StoredWeight& weight, const lua::Format& format) {
  return kernels::are_codes(packed_codes(weight, format));
}

std::shared_ptr<const WeightProduct> packed_product(const StoredWeight& weight,
                                                    const Operand& checked,
                                                    const lua::Format& format) {
  return std::make_shared<PackedProduct>(weight, checked, format);
}

}  // namespace bitloop::trainer
