// Low-precision matrix products for callers that split the work themselves: oneDNN's block kernels,
// which run in the calling thread and write their accumulators, not rounded results. A kernel is
// generated at the first use of a shape in a thread, so every thread must meet its shapes before
// system calls are narrowed. The right factor is interleaved (trainer/kernels/packing.h).
#pragma once

#include <cstdint>

namespace bitloop::trainer {

// Whether this processor has these kernels and they compute what they should (both are tried).
bool block_products_supported();

// C (M, N) float32 = A (M, K) B (K, N) of bfloat16 (its upper 16 bits), plus C with `add`. Rows of
// A are `lda`, of C `ldc` elements apart; B is (K/2, N) words, its rows `ldb` words apart. Requires:
// K even.
void multiply_bfloat16(int64_t M, int64_t N, int64_t K, const uint16_t* A, int64_t lda,
                       const uint32_t* B, int64_t ldb, float* C, int64_t ldc, bool add);

// C (M, N) int32 = A (M, K) B (K, N), A unsigned and B signed bytes, exact. B is (K/4, N) words.
// Requires: K a multiple of 4.
void multiply_int8(int64_t M, int64_t N, int64_t K, const uint8_t* A, int64_t lda,
                   const uint32_t* B, int32_t* C, int64_t ldc);

}  // namespace bitloop::trainer
