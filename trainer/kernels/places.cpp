#include "trainer/kernels/places.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "trainer/kernels/codes.h"
#include "trainer/kernels/simd.h"
#include "trainer/kernels/team.h"

namespace bitloop::kernels {
namespace {

constexpr int64_t kGrain = 8;    // runs a thread takes at least
constexpr int64_t kPiece = 256;  // values that stay in the nearest cache from entry to entry

BITLOOP_SIMD void count_piece(const float* table, int64_t entries, const float* values, int64_t n,
                              int64_t* places) {
  int32_t below[kPiece];
  for (int64_t i = 0; i < n; ++i) below[i] = 0;
  for (int64_t e = 0; e < entries; ++e) {
    const float entry = table[e];
    for (int64_t i = 0; i < n; ++i) below[i] += entry >= values[i] ? 0 : 1;
  }
  for (int64_t i = 0; i < n; ++i) places[i] = below[i];
}

bool ascends(const float* table, int64_t entries) {
  for (int64_t e = 0; e < entries; ++e)
    if (!(table[e] >= table[std::max<int64_t>(0, e - 1)])) return false;  // NaN neither
  return true;
}

// Rounds codes of one table and looks whether all are places.
BITLOOP_SIMD bool round_piece(const float* codes, int64_t n, float last, float* rounded,
                              int32_t* places) {
  int32_t bad = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float whole = __builtin_rintf(codes[i]);
    const float kept = whole >= 0.0f ? (whole <= last ? whole : last) : 0.0f;  // NaN: 0
    bad |= !(__builtin_fabsf(codes[i] - kept) <= kSnap);
    rounded[i] = kept;
    places[i] = static_cast<int32_t>(kept);
  }
  return bad == 0;
}

}  // namespace

bool count_below(const float* tables, int64_t runs, int64_t entries, const float* values,
                 int64_t length, int64_t* places) {
  std::atomic<bool> good = true;
  run_parts(runs, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (!ascends(tables + r * entries, entries)) {
        good = false;
        return;
      }
      for (int64_t i = 0; i < length; i += kPiece)
        count_piece(tables + r * entries, entries, values + r * length + i,
                    std::min(kPiece, length - i), places + r * length + i);
    }
  });
  return good;
}

bool add_at_places(const int64_t* places, const float* values, int64_t runs, int64_t length,
                   int64_t entries, float* sums) {
  std::atomic<bool> good = true;
  run_parts(runs, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* of_run = sums + r * entries;
      for (int64_t i = r * length; i < (r + 1) * length; ++i) {
        if (places[i] < 0 || places[i] >= entries) {
          good = false;
          return;
        }
        of_run[places[i]] += values[i];
      }
    }
  });
  return good;
}

int64_t look_up(const float* codes, const float* tables, int64_t rows, int64_t columns,
                int64_t block, int64_t entries, float* rounded, float* values) {
  const int64_t blocks = (columns + block - 1) / block;
  const auto last = static_cast<float>(entries - 1);
  std::atomic<bool> good = true;
  run_parts(rows, kGrain, [&](int64_t begin, int64_t end) {
    int32_t places[kPiece];
    for (int64_t r = begin; r < end; ++r)
      for (int64_t b = 0; b < blocks; ++b) {
        const float* table = tables + (r * blocks + b) * entries;
        const int64_t stop = r * columns + std::min(columns, (b + 1) * block);
        for (int64_t i = r * columns + b * block; i < stop; i += kPiece) {
          const int64_t n = std::min(kPiece, stop - i);
          if (!round_piece(codes + i, n, last, rounded + i, places)) good = false;
          for (int64_t k = 0; k < n; ++k) values[i + k] = table[places[k]];
        }
      }
  });
  if (good) return -1;
  for (int64_t i = 0; i < rows * columns; ++i)
    if (!(std::abs(codes[i] - std::clamp(std::rint(codes[i]), 0.0f, last)) <= kSnap)) return i;
  return -1;
}

}  // namespace bitloop::kernels
