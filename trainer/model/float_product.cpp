#include "trainer/model/float_product.h"

#include <ATen/ATen.h>
#include <ATen/native/CPUBlas.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "trainer/kernels/team.h"

namespace bitloop::trainer {
namespace {

// Rows of a kernel's call; all calls have so many, since each other number would be another kernel.
constexpr int64_t kRows = 64;
// Of the sum in one call: the block of x stays in the nearest cache, and a chain of so many
// additions rounds little.
constexpr int64_t kDepth = 256;

constexpr int64_t kWidth = 64;  // columns of a panel

int64_t panels_of(int64_t N) { return (N + kWidth - 1) / kWidth; }

// y (kRows, kWidth) = or += x (kRows, K) times a panel (K, kWidth), both from k on; rows of y are
// panels * kWidth apart.
void multiply_panel(int64_t panels, int64_t K, int64_t k, const float* x, const float* panel,
                    float* y) {
  at::native::cpublas::brgemm(kRows, kWidth, std::min(kDepth, K - k), K, kWidth, panels * kWidth,
                              k > 0, x + k, panel + k * kWidth, y, /*is_vnni=*/false);
}

// A product of one panel against a plain loop, in this thread, with the distances between rows that
// all have.
bool try_product(int64_t N, int64_t K) {
  const int64_t panels = panels_of(N), row = kRows - 1, column = kWidth - 1;
  std::vector<float> x(static_cast<size_t>(kRows * K)), right(static_cast<size_t>(K * kWidth)),
      y(static_cast<size_t>(kRows * panels * kWidth));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 29 % 7) - 3.0f;
  for (size_t i = 0; i < right.size(); ++i) right[i] = static_cast<float>(i * 31 % 5) - 2.0f;
  for (int64_t k = 0; k < K; k += kDepth)
    multiply_panel(panels, K, k, x.data(), right.data(), y.data());
  float sum = 0.0f;  // of small integers: exact
  for (int64_t k = 0; k < K; ++k)
    sum += x[static_cast<size_t>(row * K + k)] * right[static_cast<size_t>(k * kWidth + column)];
  return y[static_cast<size_t>(row * panels * kWidth + column)] == sum;
}

std::mutex mutex;
std::map<std::pair<int64_t, int64_t>, bool> met;  // by (N, K): whether there is a kernel

}  // namespace

bool warm_float_product(int64_t N, int64_t K) {
  const std::lock_guard lock(mutex);
  const auto [place, first] = met.try_emplace({N, K}, false);
  if (!first) return place->second;
  std::atomic<bool> good = true;
  try {
    kernels::run_team(kernels::team_size(), [&](int64_t) {
      if (!try_product(N, K)) good = false;
    });
  } catch (const c10::Error&) {
    good = false;  // not on this processor
  }
  return place->second = good;
}

std::shared_ptr<const FloatWeight> FloatWeight::pack(const at::Tensor& w_NK) {
  const int64_t N = w_NK.size(0), K = w_NK.size(1);
  if (!w_NK.is_cpu()) return nullptr;
  {
    const std::lock_guard lock(mutex);
    const auto found = met.find({N, K});
    if (found == met.end() || !found->second) return nullptr;
  }
  const int64_t whole = N / kWidth, rest = N % kWidth;
  const at::Tensor panels = at::empty({panels_of(N), K, kWidth}, at::kFloat), w = w_NK.detach();
  panels.narrow(0, 0, whole)
      .copy_(w.narrow(0, 0, whole * kWidth).view({whole, kWidth, K}).transpose(1, 2));
  if (rest > 0)
    panels[whole].zero_().narrow(1, 0, rest).copy_(w.narrow(0, whole * kWidth, rest).t());
  return std::shared_ptr<const FloatWeight>(new FloatWeight(N, K, panels));
}

void FloatWeight::multiply_rows(const float* x, int64_t rows, const float* bias, float* y,
                                bool all_threads) const {
  const int64_t panels = panels_of(N_), stride = panels * kWidth;
  const float* const right = panels_.const_data_ptr<float>();
  std::vector<float> padded_x, padded_y;
  float* to = y;
  if (rows < kRows) {
    padded_x.resize(static_cast<size_t>(kRows * K_));
    padded_y.resize(static_cast<size_t>(kRows * stride));
    std::copy_n(x, rows * K_, padded_x.begin());
    x = padded_x.data();
    to = padded_y.data();
  }
  const auto multiply_panels = [&](int64_t begin, int64_t end) {
    for (int64_t k = 0; k < K_; k += kDepth)
      for (int64_t p = begin; p < end; ++p)
        multiply_panel(panels, K_, k, x, right + p * K_ * kWidth, to + p * kWidth);
  };
  // A panel's numbers are the same in whatever thread.
  if (all_threads)
    kernels::run_parts(panels, 1, multiply_panels);
  else
    multiply_panels(0, panels);
  if (to != y) std::copy_n(to, rows * stride, y);
  if (bias == nullptr) return;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t n = 0; n < N_; ++n) y[row * stride + n] += bias[n];
}

at::Tensor FloatWeight::multiply(const at::Tensor& x_RK,
                                 const std::optional<at::Tensor>& bias_N) const {
  const at::Tensor x = x_RK.contiguous(),
                   bias = bias_N ? bias_N->detach().contiguous() : at::Tensor();
  const int64_t R = x.size(0), stride = panels_of(N_) * kWidth;
  const at::Tensor y = at::empty({R, stride}, x.options());
  const float *from = x.const_data_ptr<float>(),
              *add = bias.defined() ? bias.const_data_ptr<float>() : nullptr;
  float* const to = y.data_ptr<float>();
  if (R <= kRows) {  // the next token of few sequences: threads share the weight, not the rows
    multiply_rows(from, R, add, to, /*all_threads=*/true);
    return y.narrow(1, 0, N_);
  }
  kernels::run_items((R + kRows - 1) / kRows, [&](int64_t block) {
    const int64_t row = block * kRows;
    multiply_rows(from + row * K_, std::min(kRows, R - row), add, to + row * stride,
                  /*all_threads=*/false);
  });
  return y.narrow(1, 0, N_);
}

}  // namespace bitloop::trainer
