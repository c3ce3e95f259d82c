// The packed product in plain loops: what the devices' kernels compute.
#include <cmath>
#include <vector>

#include "trainer/kernels/code_reader.h"
#include "trainer/kernels/packed_weight.h"
#include "trainer/kernels/reference_packed.h"

namespace bitloop::kernels {
namespace {

float number_of(const PlacedNumbers& placed, int64_t n, int64_t k, int64_t K) {
  switch (placed.kind) {
    case PlacedNumbers::kOne:
      return placed.numbers[0];
    case PlacedNumbers::kRows:
      return placed.numbers[n];
    case PlacedNumbers::kGroups:
      return placed.numbers[n * ((K + placed.group - 1) / placed.group) + k / placed.group];
    case PlacedNumbers::kFlatGroups:
      return placed.numbers[(n * K + k) / placed.group];
  }
  return 0;
}

float value_of(const PackedWeight& w, int64_t n, int64_t k, uint8_t code) {
  if (w.codebook != nullptr) {
    const int64_t blocks = (w.K + w.block - 1) / w.block;
    return w.codebook[(n * blocks + k / w.block) * w.entries + code];
  }
  const volatile float scaled = w.values[code] * number_of(w.scale, n, k, w.K);  // rounded here
  return w.offset.numbers != nullptr ? scaled + number_of(w.offset, n, k, w.K) : scaled;
}

}  // namespace

void reference_packed_product(const PackedProduct& p) {
  const PackedWeight& w = p.weight;
  const int64_t numbers = (w.N * w.K + w.codes - 1) / w.codes;
  const CodeReader reader({.rows = w.N,
                           .columns = w.K,
                           .levels = w.levels,
                           .codes = w.codes,
                           .bits = w.bits,
                           .bytes = {w.bytes, static_cast<size_t>((numbers * w.bits + 7) / 8)}});
  std::vector<uint8_t> room(static_cast<size_t>(w.K + CodeReader::kSlack));
  for (int64_t n = 0; n < w.N; ++n) {
    const uint8_t* const codes = reader.read(n * w.K, w.K, room.data(), Instructions::kPlain);
    for (int64_t r = 0; r < p.R; ++r) {
      int64_t whole = 0;
      double sum = 0;
      for (int64_t k = 0; k < w.K; ++k) {
        if (p.codes != nullptr)
          whole += w.integers[codes[k]] * p.codes[r * w.K + k];
        else
          sum += static_cast<double>(value_of(w, n, k, codes[k])) * p.x[r * w.K + k];
      }
      auto y = static_cast<float>(sum);
      if (p.codes != nullptr)
        y = static_cast<float>(static_cast<int32_t>(whole)) *
            (p.x_scale[r * p.x_stride] * p.w_scale[n * p.w_stride]);
      p.y[r * w.N + n] = p.bias != nullptr ? y + p.bias[n] : y;
    }
  }
}

}  // namespace bitloop::kernels
