#include "trainer/model/device_product.h"

#include <ATen/ATen.h>

#include <utility>
#include <vector>

#include "trainer/kernels/packed_products.h"
#include "trainer/model/quantize.h"
#include "trainer/pack/code_packing.h"

namespace bitloop::trainer {
namespace {

constexpr int64_t kReadable = 16;  // bytes behind the codes: PackedWeight

// Widened there: the host needs no room for it.
at::Tensor float_on(const at::Tensor& tensor, at::Device device) {
  return tensor.detach().to(device).to(at::kFloat).contiguous();
}

class DevicePackedProduct : public WeightProduct {
 public:
  DevicePackedProduct(const StoredWeight& weight, const lua::Format& format,
                      const IntegerScale& scale, at::Device device, kernels::DeviceKernels& kernels)
      : kernels_(&kernels) {
    for (const at::Tensor* part : {&weight.codes, &weight.scale, &weight.offset, &weight.codebook})
      if (part->defined()) bytes_ += static_cast<int64_t>(part->nbytes());
    const auto there = [&](const at::Tensor& tensor) {
      return keep_.emplace_back(float_on(tensor, device)).const_data_ptr<float>();
    };
    const int64_t size = weight.codes.numel();
    const at::Tensor codes = keep_.emplace_back(
        at::zeros({size + kReadable}, at::TensorOptions(device).dtype(at::kByte)));
    codes.narrow(0, 0, size).copy_(weight.codes);

    const CodePacking packing = CodePacking::of(choices_of(format));
    weight_ = {.N = weight.out_features,
               .K = weight.in_features,
               .levels = static_cast<int32_t>(packing.levels),
               .codes = packing.codes,
               .bits = packing.bits,
               .bytes = codes.const_data_ptr<uint8_t>(),
               .scale = {},
               .offset = {}};
    if (format.codebook_entries > 0) {
      weight_.codebook = there(weight.codebook);
      weight_.block = format.codebook_block;
      weight_.entries = format.codebook_entries;
    } else {
      weight_.values = there(at::tensor(values_of(format)));
      const auto placed = [&](const at::Tensor& numbers) {
        return placed_numbers(spread_of(numbers, weight, format), there(numbers));
      };
      weight_.scale = placed(weight.scale);
      if (weight.offset.defined()) weight_.offset = placed(weight.offset);
    }
    if (!scale.scale.defined()) return;
    const std::vector<int8_t> integers = integers_of(format, scale.factor);
    integers_ = at::tensor(std::vector<int32_t>(integers.begin(), integers.end())).to(device);
    weight_.integers = integers_.const_data_ptr<int32_t>();
    int8_scale_ = scale.scale.to(device).contiguous();
  }

  bool takes_integers() const override { return integers_.defined(); }
  int64_t bytes() const override { return bytes_; }

  at::Tensor multiply(const Operand& x, const std::optional<at::Tensor>& bias) const override {
    const bool integer = takes_integers() && x.codes_int8.defined();
    const at::Tensor rows = (integer ? x.codes_int8 : x.value).contiguous();
    const at::Tensor y = at::empty({rows.size(0), weight_.N}, rows.options().dtype(at::kFloat));
    kernels::PackedProduct product{.weight = weight_, .R = rows.size(0), .y = y.data_ptr<float>()};
    at::Tensor scale, added;
    if (integer) {
      scale = x.int8_scale.contiguous();
      product.codes = rows.const_data_ptr<int8_t>();
      product.x_scale = scale.const_data_ptr<float>();
      product.x_stride = scale.numel() > 1 ? 1 : 0;
      product.w_scale = int8_scale_.const_data_ptr<float>();
      product.w_stride = int8_scale_.numel() > 1 ? 1 : 0;
    } else {
      product.x = rows.const_data_ptr<float>();
    }
    if (bias) {
      added = bias->contiguous();
      product.bias = added.const_data_ptr<float>();
    }
    kernels_->multiply(product);
    return y;
  }

 private:
  static kernels::PlacedNumbers placed_numbers(const kernels::Spread& spread,
                                               const float* numbers) {
    using kernels::PlacedNumbers;
    const auto kind = [&] {
      switch (spread.kind) {
        case kernels::Spread::kOne:
          return PlacedNumbers::kOne;
        case kernels::Spread::kRows:
          return PlacedNumbers::kRows;
        case kernels::Spread::kGroups:
          return PlacedNumbers::kGroups;
        case kernels::Spread::kFlatGroups:
          break;
      }
      return PlacedNumbers::kFlatGroups;
    }();
    return {.kind = kind, .group = spread.group, .numbers = numbers};
  }

  int64_t bytes_ = 0;
  kernels::DeviceKernels* const kernels_;
  std::vector<at::Tensor> keep_;  // what weight_ points to
  kernels::PackedWeight weight_;
  at::Tensor integers_, int8_scale_;
};

class DeviceFloatProduct : public WeightProduct {
 public:
  DeviceFloatProduct(const at::Tensor& w_NK, at::Device device) : w_(float_on(w_NK, device)) {}

  bool takes_integers() const override { return false; }
  int64_t bytes() const override { return static_cast<int64_t>(w_.nbytes()); }
  at::Tensor multiply(const Operand& x, const std::optional<at::Tensor>& bias) const override {
    const at::Tensor y = at::mm(x.value, w_.t());
    return bias ? y.add_(*bias) : y;
  }

 private:
  const at::Tensor w_;
};

}  // namespace

std::shared_ptr<const WeightProduct> device_packed_product(const StoredWeight& weight,
                                                           const lua::Format& format,
                                                           const IntegerScale& integers,
                                                           at::Device device,
                                                           kernels::DeviceKernels& kernels) {
  return std::make_shared<DevicePackedProduct>(weight, format, integers, device, kernels);
}

std::shared_ptr<const WeightProduct> device_float_product(const at::Tensor& w_NK,
                                                          at::Device device) {
  return std::make_shared<DeviceFloatProduct>(w_NK, device);
}

}  // namespace bitloop::trainer
