// A random weight in every form that a packed file may have, and rows that it is multiplied with.
#pragma once

#include "tests/trainer/kernels/packed_codes.h"
#include "trainer/kernels/packed_weight.h"

namespace bitloop::kernels {

struct PackedCase {
  PackedCase(int levels, int64_t N, int64_t K, int64_t R, PlacedNumbers::Kind kind, bool codebook,
             bool row_scales, std::mt19937& random)
      : codes(N, K, levels, random), rows(R), has_codebook(codebook), scales_rows(row_scales) {
    std::normal_distribution<float> draw;
    const auto floats = [&](int64_t count) {
      std::vector<float> numbers(static_cast<size_t>(count));
      for (float& number : numbers) number = draw(random);
      return numbers;
    };
    bytes = codes.bytes;
    bytes.resize(bytes.size() + 16, 0xff);  // what stands there must not matter
    for (int i = 0; i < levels; ++i) {
      narrow.push_back(
          static_cast<int8_t>(levels == 256 ? std::max(-127, i - 128) : i - levels / 2));
      wide.push_back(narrow.back());
    }
    place = {.kind = kind, .group = kind == PlacedNumbers::kFlatGroups ? 64 : 32};
    const int64_t many = N * K + 1;  // enough for any kind
    values = floats(levels), scale = floats(many), offset = floats(many);
    book = floats(codebook ? N * ((K + kBlock - 1) / kBlock) * levels : 0);
    x = floats(R * K), x_scale = floats(R), w_scale = floats(N), bias = floats(N);
    for (int64_t i = 0; i < R * K; ++i)
      x_codes.push_back(static_cast<int8_t>(static_cast<int>(random() % 256) - 128));
  }

  PackedWeight weight() const {
    PackedWeight w{.N = codes.packed.rows,
                   .K = codes.packed.columns,
                   .levels = codes.packed.levels,
                   .codes = codes.packed.codes,
                   .bits = codes.packed.bits,
                   .bytes = bytes.data(),
                   .integers = wide.data(),
                   .values = values.data(),
                   .scale = place,
                   .offset = place};
    w.scale.numbers = scale.data(), w.offset.numbers = offset.data();
    if (has_codebook)
      w.codebook = book.data(), w.values = nullptr, w.block = kBlock, w.entries = w.levels;
    return w;
  }
  PackedProduct integers(float* y) const {
    return {.weight = weight(),
            .R = rows,
            .codes = x_codes.data(),
            .x_scale = x_scale.data(),
            .x_stride = 1,
            .w_scale = w_scale.data(),
            .w_stride = scales_rows ? 1 : 0,
            .bias = bias.data(),
            .y = y};
  }
  PackedProduct floats(float* y) const {
    return {.weight = weight(), .R = rows, .x = x.data(), .bias = bias.data(), .y = y};
  }
  // The processor's product with the same values.
  PackedFloats processor() const {
    PackedValues made;
    const auto stored = [](const std::vector<float>& numbers) {
      return StoredNumbers{reinterpret_cast<const uint8_t*>(numbers.data()), false};
    };
    if (has_codebook) {
      made.codebook = stored(book), made.block = kBlock, made.entries = codes.packed.levels;
    } else {
      const Spread spread{static_cast<Spread::Kind>(place.kind), place.group};
      made.levels = values, made.scale = stored(scale), made.offset = stored(offset);
      made.scale_of = made.offset_of = spread;
    }
    return {codes.packed, made};
  }

  static constexpr int64_t kBlock = 32;
  RandomCodes codes;
  int64_t rows;
  bool has_codebook, scales_rows;
  PlacedNumbers place;
  std::vector<uint8_t> bytes;  // of the codes, and those that may be read behind them
  std::vector<int8_t> narrow, x_codes;
  std::vector<int32_t> wide;
  std::vector<float> values, scale, offset, book, x, x_scale, w_scale, bias;
};

}  // namespace bitloop::kernels
