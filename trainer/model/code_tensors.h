// trainer/kernels/codes.h on tensors of any device: those kernels on the CPU, LibTorch's operations
// elsewhere, with the same results (but for the order in which two scales are multiplied, none).
// Tensors are contiguous and have no graph. Legend: R rows, N output and K input features.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace bitloop::trainer::codes {

// What was made of codes, and the index of the first one that was not allowed, or -1; then `made`
// is unspecified.
struct Checked {
  at::Tensor made;
  int64_t bad = -1;
};
// Float32: each code's level. `levels` is sorted.
Checked snap_to_levels(const at::Tensor& codes, std::span<const double> levels);
// Int8: round(codes * factor) in [low, high].
Checked pack_int8(const at::Tensor& codes, float factor, int low, int high);
// The first code that is no integer in [low, high], or -1.
int64_t find_non_integer(const at::Tensor& codes, float low, float high);
// Codes (N, K) as places in a codebook (N, ceil(K / block), entries): rounded, and what stands
// there.
struct LookedUp {
  at::Tensor codes, value;
  int64_t bad = -1;  // the first code that is no place: both are unspecified then
};
LookedUp look_up(const at::Tensor& codes, const at::Tensor& codebook, int64_t block);
// Numbers as they are stored, rounded to float16 or unchanged, in memory of their own; undefined
// where one is not finite.
at::Tensor round_stored(const at::Tensor& numbers, bool float16);

// x (R, K) wᵀ of int8, w (N, K), summed exactly: (R, N) int32.
at::Tensor multiply(const at::Tensor& x_codes, const at::Tensor& w_codes);
// y (R, N) = float(acc) * (x_scale * w_scale) + bias; scales are (R) and (N), or (1).
at::Tensor scale_products(const at::Tensor& acc, const at::Tensor& x_scale,
                          const at::Tensor& w_scale, const std::optional<at::Tensor>& bias);
// dy (R, N) times w_scale and times x_scale, in bfloat16; undefined where not wanted.
std::pair<at::Tensor, at::Tensor> scale_to_bfloat16(const at::Tensor& dy, const at::Tensor& x_scale,
                                                    const at::Tensor& w_scale, bool by_column,
                                                    bool by_row);
at::Tensor to_bfloat16(const at::Tensor& codes_int8);

// The same by LibTorch's operations on any device, where the above has kernels on the CPU.
namespace operations {
Checked snap_to_levels(const at::Tensor& codes, std::span<const double> levels);
Checked pack_int8(const at::Tensor& codes, float factor, int low, int high);
int64_t find_non_integer(const at::Tensor& codes, float low, float high);
LookedUp look_up(const at::Tensor& codes, const at::Tensor& codebook, int64_t block);
at::Tensor round_stored(const at::Tensor& numbers, bool float16);
at::Tensor multiply(const at::Tensor& x_codes, const at::Tensor& w_codes);
at::Tensor scale_products(const at::Tensor& acc, const at::Tensor& x_scale,
                          const at::Tensor& w_scale, const std::optional<at::Tensor>& bias);
std::pair<at::Tensor, at::Tensor> scale_to_bfloat16(const at::Tensor& dy, const at::Tensor& x_scale,
                                                    const at::Tensor& w_scale, bool by_column,
                                                    bool by_row);
}  // namespace operations

}  // namespace bitloop::trainer::codes
