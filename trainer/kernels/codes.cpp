#include "trainer/kernels/codes.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cfloat>
#include <cmath>

#include "trainer/kernels/bfloat16.h"
#include "trainer/kernels/simd.h"
#include "trainer/kernels/team.h"

namespace bitloop::kernels {
namespace {

constexpr int64_t kGrain = 4096;

// Whether every product of the piece is near an integer in range; packs as it goes.
BITLOOP_SIMD bool pack_piece(const float* codes, int64_t begin, int64_t end, float factor,
                             float low, float high, int8_t* out) {
  const float tolerance = kSnap * factor;
  int32_t bad = 0;
  for (int64_t i = begin; i < end; ++i) {
    const float product = codes[i] * factor;
    const float nearest = __builtin_rintf(product);
    const float clamped = nearest < low ? low : nearest > high ? high : nearest;
    const float distance = __builtin_fabsf(product - clamped);
    bad |= !(distance <= tolerance);  // also true for NaN
    out[i] = static_cast<int8_t>(static_cast<int32_t>(clamped));
  }
  return bad == 0;
}

BITLOOP_SIMD bool integers_piece(const float* codes, int64_t begin, int64_t end, float low,
                                 float high) {
  int32_t bad = 0;
  for (int64_t i = begin; i < end; ++i) {
    const float code = codes[i];
    const float distance = __builtin_fabsf(code - __builtin_rintf(code));
    bad |= !(distance <= kSnap) | !(code >= low - kSnap) | !(code <= high + kSnap);
  }
  return bad == 0;
}

BITLOOP_SIMD void scale_rows(const int32_t* acc, const float* x_scale, int64_t x_stride,
                             const float* w_row, const float* bias, int64_t begin, int64_t end,
                             int64_t cols, float* y) {
  for (int64_t r = begin; r < end; ++r) {
    const float sx = x_scale[r * x_stride];
    const int32_t* from = acc + r * cols;
    float* to = y + r * cols;
    for (int64_t c = 0; c < cols; ++c)
      to[c] = static_cast<float>(from[c]) * (sx * w_row[c]) + bias[c];
  }
}

BITLOOP_SIMD void bfloat16_rows(const float* dy, const float* row, int64_t row_stride,
                                const float* columns, int64_t begin, int64_t end, int64_t cols,
                                uint16_t* by_row, uint16_t* by_column) {
  for (int64_t r = begin; r < end; ++r) {
    const float* from = dy + r * cols;
    if (by_row != nullptr) {
      const float scale = row[r * row_stride];
      uint16_t* to = by_row + r * cols;
      for (int64_t c = 0; c < cols; ++c) to[c] = to_bfloat16(from[c] * scale);
    }
    if (by_column != nullptr) {
      uint16_t* to = by_column + r * cols;
      for (int64_t c = 0; c < cols; ++c) to[c] = to_bfloat16(from[c] * columns[c]);
    }
  }
}

BITLOOP_SIMD void int8_piece(const int8_t* codes, int64_t begin, int64_t end, uint16_t* out) {
  for (int64_t i = begin; i < end; ++i)
    out[i] = static_cast<uint16_t>(
        std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(codes[i]))) >> 16);
}

// The level nearest to a code; any level for NaN, which then fails the comparison with kSnap.
float nearest_level(float code, const std::vector<float>& levels) {
  const auto above = std::lower_bound(levels.begin(), levels.end(), code);
  if (above == levels.end()) return levels.back();
  if (above == levels.begin() || *above - code < code - *(above - 1)) return *above;
  return *(above - 1);
}

// Compares with every level: no branch, so it vectorises. For the common formats of a few levels.
BITLOOP_SIMD bool snap_piece_few(const float* codes, int64_t begin, int64_t end,
                                 const float* levels, int count, float* snapped) {
  constexpr int64_t kPiece = 1024;  // stays in the nearest cache from level to level
  int32_t bad = 0;
  for (int64_t from = begin; from < end; from += kPiece) {
    const int64_t to = from + kPiece < end ? from + kPiece : end;
    for (int64_t i = from; i < to; ++i) snapped[i] = __builtin_nanf("");
    for (int k = 0; k < count; ++k) {
      const float level = levels[k];
      for (int64_t i = from; i < to; ++i)
        snapped[i] = __builtin_fabsf(codes[i] - level) <= kSnap ? level : snapped[i];
    }
    for (int64_t i = from; i < to; ++i) bad |= snapped[i] != snapped[i];
  }
  return bad == 0;
}

bool snap_piece_many(const float* codes, int64_t begin, int64_t end,
                     const std::vector<float>& levels, float* snapped) {
  bool good = true;
  for (int64_t i = begin; i < end; ++i) {
    snapped[i] = nearest_level(codes[i], levels);
    good &= std::abs(codes[i] - snapped[i]) <= kSnap;
  }
  return good;
}

// The slow path after a piece was found bad: which code was it?
template <typename Good>
int64_t first_not(const float* codes, int64_t n, Good good) {
  for (int64_t i = 0; i < n; ++i)
    if (!good(codes[i])) return i;
  return -1;
}

}  // namespace

int64_t snap_to_levels(const float* codes, int64_t n, std::span<const double> levels,
                       float* snapped) {
  const std::vector<float> rounded(levels.begin(), levels.end());
  const auto count = static_cast<int>(rounded.size());
  std::atomic<bool> good = true;
  run_parts(n, kGrain, [&](int64_t begin, int64_t end) {
    const bool all = count <= kFewLevels
                         ? snap_piece_few(codes, begin, end, rounded.data(), count, snapped)
                         : snap_piece_many(codes, begin, end, rounded, snapped);
    if (!all) good = false;
  });
  if (good) return -1;
  return first_not(
      codes, n, [&](float code) { return std::abs(code - nearest_level(code, rounded)) <= kSnap; });
}

int64_t pack_int8(const float* codes, int64_t n, float factor, int low, int high, int8_t* out) {
  std::atomic<bool> good = true;
  const auto lo = static_cast<float>(low), hi = static_cast<float>(high);
  run_parts(n, kGrain, [&](int64_t begin, int64_t end) {
    if (!pack_piece(codes, begin, end, factor, lo, hi, out)) good = false;
  });
  if (good) return -1;
  return first_not(codes, n, [&](float code) {
    const float product = code * factor;
    return std::abs(product - std::clamp(std::rint(product), lo, hi)) <= kSnap * factor;
  });
}

BITLOOP_SIMD bool pack_levels_run(const float* codes, int64_t n, std::span<const float> levels,
                                  std::span<const int8_t> integers, int8_t* out) {
  constexpr int64_t kPiece = 256;
  constexpr int32_t kNone = 128;  // no int8
  int32_t packed[kPiece];
  int32_t bad = 0;
  for (int64_t begin = 0; begin < n; begin += kPiece) {
    const int64_t count = n - begin < kPiece ? n - begin : kPiece;
    const float* from = codes + begin;
    for (int64_t i = 0; i < count; ++i) packed[i] = kNone;
    for (size_t k = 0; k < levels.size(); ++k) {
      const float level = levels[k];
      const int32_t integer = integers[k];
      for (int64_t i = 0; i < count; ++i)
        packed[i] = __builtin_fabsf(from[i] - level) <= kSnap ? integer : packed[i];
    }
    int8_t* to = out + begin;
    for (int64_t i = 0; i < count; ++i) {
      bad |= packed[i] == kNone;
      to[i] = static_cast<int8_t>(packed[i]);
    }
  }
  return bad == 0;
}

BITLOOP_SIMD bool round_stored(const float* from, int64_t n, bool float16, float* out) {
  bool good = true;
  for (int64_t i = 0; i < n; ++i) {
    out[i] = float16 ? static_cast<float>(static_cast<_Float16>(from[i])) : from[i];
    good &= __builtin_fabsf(out[i]) <= FLT_MAX;  // false for NaN
  }
  return good;
}

BITLOOP_SIMD bool convert_int8_run(const float* codes, int64_t n, int8_t* out) {
  int32_t bad = 0;
  for (int64_t i = 0; i < n; ++i) {
    bad |= codes[i] != codes[i];
    out[i] = static_cast<int8_t>(static_cast<int32_t>(codes[i]));
  }
  return bad == 0;
}

bool pack_int8_run(const float* codes, int64_t n, float factor, int low, int high, int8_t* out) {
  return pack_piece(codes, 0, n, factor, static_cast<float>(low), static_cast<float>(high), out);
}

int64_t find_non_integer(const float* codes, int64_t n, float low, float high) {
  std::atomic<bool> good = true;
  run_parts(n, kGrain, [&](int64_t begin, int64_t end) {
    if (!integers_piece(codes, begin, end, low, high)) good = false;
  });
  if (good) return -1;
  return first_not(codes, n, [&](float code) {
    return std::abs(code - std::rint(code)) <= kSnap && code >= low - kSnap && code <= high + kSnap;
  });
}

void scale_products(const int32_t* acc, const float* x_scale, int64_t x_stride,
                    const float* w_scale, int64_t w_stride, const float* bias, int64_t rows,
                    int64_t cols, float* y) {
  std::vector<float> w_row(static_cast<size_t>(cols)), b_row(static_cast<size_t>(cols), 0.0f);
  for (int64_t c = 0; c < cols; ++c) w_row[static_cast<size_t>(c)] = w_scale[c * w_stride];
  if (bias != nullptr) std::copy_n(bias, cols, b_row.begin());
  run_parts(rows, 16, [&](int64_t begin, int64_t end) {
    scale_rows(acc, x_scale, x_stride, w_row.data(), b_row.data(), begin, end, cols, y);
  });
}

void scale_product_part(const int32_t* acc, float x_scale, const float* w_scale, int64_t w_stride,
                        const float* bias, int64_t n, float* y) {
  constexpr int64_t kSome = 128;
  float w_row[kSome], b_row[kSome];
  for (int64_t first = 0; first < n; first += kSome) {
    const int64_t count = std::min(kSome, n - first);
    for (int64_t c = 0; c < count; ++c) {
      w_row[c] = w_scale[(first + c) * w_stride];
      b_row[c] = bias != nullptr ? bias[first + c] : 0.0f;
    }
    scale_rows(acc + first, &x_scale, 0, w_row, b_row, 0, 1, count, y + first);
  }
}

void scale_to_bfloat16(const float* dy, const float* row, int64_t row_stride, const float* column,
                       int64_t column_stride, int64_t rows, int64_t cols, uint16_t* by_row,
                       uint16_t* by_column) {
  std::vector<float> columns(static_cast<size_t>(by_column != nullptr ? cols : 0));
  for (size_t c = 0; c < columns.size(); ++c)
    columns[c] = column[static_cast<int64_t>(c) * column_stride];
  run_parts(rows, 16, [&](int64_t begin, int64_t end) {
    bfloat16_rows(dy, row, row_stride, columns.data(), begin, end, cols, by_row, by_column);
  });
}

BITLOOP_SIMD void codes_to_values_run(const int8_t* codes, const float* scale, int64_t stride,
                                      int64_t rows, int64_t cols, uint16_t* out) {
  for (int64_t r = 0; r < rows; ++r) {
    const float of_row = scale[r * stride];
    const int8_t* from = codes + r * cols;
    uint16_t* to = out + r * cols;
    for (int64_t c = 0; c < cols; ++c)
      to[c] = to_bfloat16(static_cast<float>(static_cast<int32_t>(from[c])) * of_row);
  }
}

void int8_to_bfloat16(const int8_t* codes, int64_t n, uint16_t* out) {
  run_parts(n, kGrain, [=](int64_t begin, int64_t end) { int8_piece(codes, begin, end, out); });
}

}  // namespace bitloop::kernels
