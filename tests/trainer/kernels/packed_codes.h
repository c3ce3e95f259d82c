// What the tests of packed products share: random codes, packed by what writes the files.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "trainer/kernels/packed_products.h"
#include "trainer/pack/code_packing.h"

namespace bitloop::kernels {

struct RandomCodes {
  RandomCodes(int64_t rows, int64_t columns, int levels, std::mt19937& random)
      : indices(static_cast<size_t>(rows * columns)) {
    std::uniform_int_distribution<int> draw(0, levels - 1);
    for (uint16_t& index : indices) index = static_cast<uint16_t>(draw(random));
    const auto packing = trainer::CodePacking::of(levels);
    bytes.resize(static_cast<size_t>(packing.bytes(rows * columns)));
    trainer::pack_codes(packing, indices.data(), rows * columns, bytes.data());
    packed = {.rows = rows,
              .columns = columns,
              .levels = levels,
              .codes = packing.codes,
              .bits = packing.bits,
              .bytes = bytes};
  }

  std::vector<uint16_t> indices;
  std::vector<uint8_t> bytes;  // exactly as many as there are: sanitizers see a byte too far
  PackedCodes packed;
};

// All that this processor has.
inline std::vector<Instructions> instruction_sets() {
  std::vector<Instructions> sets = {Instructions::kPlain};
  if (best_instructions() >= Instructions::kAvx2) sets.push_back(Instructions::kAvx2);
  if (best_instructions() >= Instructions::kAvx512) sets.push_back(Instructions::kAvx512);
  return sets;
}

// The number of codes decides the layout: whole bytes, bases of three and five, long numbers, codes
// of a bit … a byte.
inline const std::vector<int> kSomeLevels = {2,  3,  4,  5,  6,   7,   8,  11,
                                             15, 16, 17, 60, 100, 255, 256};

}  // namespace bitloop::kernels
