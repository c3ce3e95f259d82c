#include "trainer/kernels/adamw.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "trainer/kernels/simd.h"
#include "trainer/kernels/team.h"

namespace bitloop::kernels {
namespace {

constexpr int64_t kPiece = 16'384;  // numbers that a thread takes at a time

struct Piece {
  const AdamwTensor* tensor;
  int64_t begin, n;
};

std::vector<Piece> pieces_of(std::span<const AdamwTensor> tensors) {
  std::vector<Piece> pieces;
  for (const AdamwTensor& tensor : tensors)
    for (int64_t begin = 0; begin < tensor.n; begin += kPiece)
      pieces.push_back({&tensor, begin, std::min(kPiece, tensor.n - begin)});
  return pieces;
}

typedef double DoubleLanes __attribute__((vector_size(64)));
typedef float HalfOfLanesInMemory __attribute__((vector_size(32), aligned(4), may_alias));
constexpr int64_t kDoubles = 8;

BITLOOP_SIMD double squares(const float* x, int64_t n) {
  DoubleLanes sums{};
  int64_t i = 0;
  for (; i + kDoubles <= n; i += kDoubles) {
    const auto lanes = __builtin_convertvector(
        *reinterpret_cast<const HalfOfLanesInMemory*>(x + i), DoubleLanes);
    sums += lanes * lanes;
  }
  double sum = 0.0;
  for (int64_t lane = 0; lane < kDoubles; ++lane) sum += sums[lane];
  for (; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  return sum;
}

// What one number's update multiplies by, in float32 as the moments are.
struct Factors {
  float gradient, keep, beta1, beta2, rest1, rest2, rate, root, epsilon;
};

BITLOOP_SIMD void update(const Factors& f, const float* __restrict g, int64_t n,
                         float* __restrict p, float* __restrict m, float* __restrict v) {
  for (int64_t i = 0; i < n; ++i) {
    const float gradient = g[i] * f.gradient;
    m[i] = m[i] * f.beta1 + gradient * f.rest1;
    v[i] = v[i] * f.beta2 + gradient * gradient * f.rest2;
    p[i] = p[i] * f.keep - f.rate * m[i] / (__builtin_sqrtf(v[i]) * f.root + f.epsilon);
  }
}

}  // namespace

double sum_of_squares(std::span<const AdamwTensor> tensors) {
  const std::vector<Piece> pieces = pieces_of(tensors);
  std::vector<double> sums(pieces.size());
  run_items(std::ssize(pieces), [&](int64_t i) {
    const Piece& piece = pieces[static_cast<size_t>(i)];
    sums[static_cast<size_t>(i)] = squares(piece.tensor->gradient + piece.begin, piece.n);
  });
  double sum = 0.0;
  for (const double part : sums) sum += part;
  return sum;
}

void adamw(std::span<const AdamwTensor> tensors, const AdamwStep& step) {
  const double correction1 = 1.0 - std::pow(step.beta1, static_cast<double>(step.step)),
               correction2 = 1.0 - std::pow(step.beta2, static_cast<double>(step.step));
  const std::vector<Piece> pieces = pieces_of(tensors);
  run_items(std::ssize(pieces), [&](int64_t i) {
    const auto& [tensor, begin, n] = pieces[static_cast<size_t>(i)];
    const Factors factors{
        .gradient = static_cast<float>(step.gradient_factor),
        .keep = static_cast<float>(1.0 - tensor->rate * tensor->weight_decay),
        .beta1 = static_cast<float>(step.beta1),
        .beta2 = static_cast<float>(step.beta2),
        .rest1 = static_cast<float>(1.0 - step.beta1),
        .rest2 = static_cast<float>(1.0 - step.beta2),
        .rate = static_cast<float>(tensor->rate / correction1),
        .root = static_cast<float>(1.0 / std::sqrt(correction2)),
        .epsilon = static_cast<float>(step.epsilon),
    };
    update(factors, tensor->gradient + begin, n, tensor->parameter + begin, tensor->first + begin,
           tensor->second + begin);
  });
}

}  // namespace bitloop::kernels
