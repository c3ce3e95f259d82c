// Float32 products with a weight that stays as it is, for scores of many texts: oneDNN's block
// kernels on a copy of the weight in panels, 2.4 times as fast as at::mm on processors that MKL
// does not know (bench/README.md). A number depends on its row and its column alone, whatever other
// rows there are. Legend: R rows, N output features, K input features.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>

namespace bitloop::trainer {

// Makes the kernels of this shape in every thread, which must precede the narrowing of system
// calls. False where the processor has none.
bool warm_float_product(int64_t N, int64_t K);

class FloatWeight {
 public:
  // w (N, K), in any order in memory, is copied. Null where warm_float_product(N, K) was not called
  // or gave false, and for a weight that is not on the CPU.
  static std::shared_ptr<const FloatWeight> pack(const at::Tensor& w_NK);

  // x (R, K) wᵀ + bias (N); rows of the result may lie further apart than N.
  at::Tensor multiply(const at::Tensor& x_RK, const std::optional<at::Tensor>& bias_N) const;

 private:
  FloatWeight(int64_t N, int64_t K, at::Tensor panels) : N_(N), K_(K), panels_(std::move(panels)) {}
  // At most as many rows as a block has; `all_threads`: of the team, which then must not be at
  // work.
  void multiply_rows(const float* x, int64_t rows, const float* bias, float* y,
                     bool all_threads) const;

  const int64_t N_, K_;
  const at::Tensor panels_;  // (N / width rounded up, K, width), zeros at the end
};

}  // namespace bitloop::trainer
