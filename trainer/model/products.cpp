#include "trainer/model/products.h"

#include <ATen/native/CPUBlas.h>

#include <vector>

namespace bitloop::trainer {
namespace {

// Two small products against plain loops, with numbers that overflow a byte if anything is signed
// or saturated wrongly.
bool try_products() {
  constexpr int64_t M = 3, N = 32, K = 64;
  std::vector<uint8_t> bytes(M * K);
  std::vector<uint16_t> halves(M * K);
  std::vector<uint32_t> right8(K / 4 * N), right16(K / 2 * N);
  const auto left = [](int64_t m, int64_t k) { return (m * 97 + k * 31) % 256; };
  const auto right = [](int64_t k, int64_t n) { return (k * 29 + n * 53) % 255 - 127; };
  for (int64_t m = 0; m < M; ++m)
    for (int64_t k = 0; k < K; ++k) {
      const size_t i = static_cast<size_t>(m * K + k);
      bytes[i] = static_cast<uint8_t>(left(m, k));
      halves[i] = c10::BFloat16(static_cast<float>(left(m, k))).x;
    }
  for (int64_t k = 0; k < K; ++k)
    for (int64_t n = 0; n < N; ++n) {
      const auto byte = static_cast<uint32_t>(static_cast<uint8_t>(right(k, n)));
      const uint32_t half = c10::BFloat16(static_cast<float>(right(k, n))).x;
      right8[static_cast<size_t>(k / 4 * N + n)] |= byte << (8 * (k % 4));
      right16[static_cast<size_t>(k / 2 * N + n)] |= half << (16 * (k % 2));
    }
  std::vector<int32_t> c8(M * N, 7);
  std::vector<float> c16(M * N, 7.0f);
  multiply_int8(M, N, K, bytes.data(), K, right8.data(), c8.data(), N);
  multiply_bfloat16(M, N, K, halves.data(), K, right16.data(), N, c16.data(), N, true);
  bool right_results = true;
  for (int64_t m = 0; m < M; ++m)
    for (int64_t n = 0; n < N; ++n) {
      int64_t sum = 0;
      for (int64_t k = 0; k < K; ++k) sum += left(m, k) * right(k, n);
      const auto i = static_cast<size_t>(m * N + n);
      right_results = right_results && c8[i] == sum && c16[i] == static_cast<float>(sum + 7);
    }
  return right_results;
}

}  // namespace

bool block_products_supported() {
  static const bool supported = [] {
    try {
      return try_products();
    } catch (const c10::Error&) {
      return false;  // not on this processor
    }
  }();
  return supported;
}

void multiply_bfloat16(int64_t M, int64_t N, int64_t K, const uint16_t* A, int64_t lda,
                       const uint32_t* B, int64_t ldb, float* C, int64_t ldc, bool add) {
  at::native::cpublas::brgemm(M, N, K, lda, ldb, ldc, add, reinterpret_cast<const at::BFloat16*>(A),
                              reinterpret_cast<const at::BFloat16*>(B), C);
}

void multiply_int8(int64_t M, int64_t N, int64_t K, const uint8_t* A, int64_t lda,
                   const uint32_t* B, int32_t* C, int64_t ldc) {
  at::native::cpublas::brgemm(M, N, K, lda, N, ldc, false, A, reinterpret_cast<const int8_t*>(B),
                              C);
}

}  // namespace bitloop::trainer
