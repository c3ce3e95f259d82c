// The product with a weight that stays as it is stored: packed codes, or floats in a mapped file.
// What `bitloop generate` computes with (docs/packing.md says which arithmetic, and where its
// numbers are those of other paths). On the CPU; on() makes one for a device. Legend: R rows, N output features, K input
// features.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "harness/base/result.h"
#include "lua/quantizer/quantizer.h"
#include "trainer/model/quantize.h"

namespace bitloop::kernels {
class DeviceKernels;
struct Spread;
}  // namespace bitloop::kernels

namespace bitloop::trainer {

// The product with one row of x in parts, for threads that are a team already: one of them hands
// the row over, then each makes some of the outputs. The bits are WeightProduct::multiply's.
class RowProduct {
 public:
  virtual ~RowProduct() = default;
  // x (K), which may change afterwards: its value; or codes times `scale`, where the product takes
  // integers.
  virtual void take(const float* x_K) = 0;
  virtual void take(const int8_t* codes_K, float scale) = 0;
  // y[n - begin] for outputs [begin, end), with the bias (N) or null; several threads at a time.
  virtual void make(int64_t begin, int64_t end, const float* bias_N, float* y) const = 0;
  // What make() reads of the weight for them, or most of it.
  virtual std::span<const uint8_t> reads(int64_t begin, int64_t end) const = 0;
  // As many outputs as a thread should make at a time.
  virtual int64_t part_rows() const = 0;
};

class WeightProduct {
 public:
  virtual ~WeightProduct() = default;
  // What it reads of the weight, in bytes.
  virtual int64_t bytes() const = 0;
  // The same product for rows on another device, with a copy of the weight there, or null where
  // there is none. `kernels`, which work there, must outlive it.
  virtual std::shared_ptr<const WeightProduct> on(at::Device,
                                                  kernels::DeviceKernels& /*kernels*/) const {
    return nullptr;
  }
  // A form of its own for each caller, which this product must outlive; or null.
  virtual std::unique_ptr<RowProduct> row_product() const { return nullptr; }
  // Whether it wants int8 activations with one scale, or one a row (Operand::codes_int8), if there
  // are any.
  virtual bool takes_integers() const = 0;
  // x (R, K) wᵀ + bias (N): (R, N). x has codes_int8 and int8_scale, or its value.
  virtual at::Tensor multiply(const Operand& x, const std::optional<at::Tensor>& bias) const = 0;
};

// Of w (N, K) in float32 or bfloat16, contiguous, which is kept and not copied.
std::shared_ptr<const WeightProduct> float_product(at::Tensor w_NK);

// A quantised weight (N, K) as a packed file has it. The tensors may be views of the file.
struct StoredWeight {
  int64_t out_features = 0, in_features = 0;
  at::Tensor codes;                    // bytes
  at::Tensor scale, offset, codebook;  // as they are stored, in float16 or float32; or undefined
};

// The codes (float32, levels or indices) of a weight as they are packed.
at::Tensor pack_weight_codes(const at::Tensor& codes, const lua::Format& format);
// A weight of this process, as a file would have it.
StoredWeight store_weight(const Operand& operand, const lua::Format& format);

// How many levels, or entries of a codebook, a code may be.
int64_t choices_of(const lua::Format& format);
// What the codes stand for, ascending: the levels themselves, or indices of a codebook.
std::vector<float> values_of(const lua::Format& format);
// Whether products read weights of this format as they are packed: at most 256 levels.
bool has_packed_product(const lua::Format& format);

// The product with it, which keeps its tensors. `checked`: the operand that packed_weight_operand
// or stored_weight_operand made of its scales. Requires: has_packed_product, as many bytes of codes
// as there must be; that they are codes (kernels::are_codes) is the caller's to check.
std::shared_ptr<const WeightProduct> packed_product(const StoredWeight& weight,
                                                    const Operand& checked,
                                                    const lua::Format& format);
// Which of a scale's or offset's numbers belongs to a weight.
kernels::Spread spread_of(const at::Tensor& tensor, const StoredWeight& weight,
                          const lua::Format& format);
// What integer each level is, where codes are integers / factor.
std::vector<int8_t> integers_of(const lua::Format& format, int factor);
// Whether every number in its bytes stands for codes.
bool holds_codes(const StoredWeight& weight, const lua::Format& format);

}  // namespace bitloop::trainer
