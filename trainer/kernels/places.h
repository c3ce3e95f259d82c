// Small tables of numbers, one for each run of a matrix: which place of it a number has, what
// stands there, and sums by place. A codebook is such a table.
#pragma once

#include <cstdint>

namespace bitloop::kernels {

// places[r, i] = how many of the `entries` ascending numbers of table r are below values[r, i] (for
// NaN all of them), as a search in each would find. tables (runs, entries), values (runs, length).
// False where a table does not ascend: `places` is unspecified then.
bool count_below(const float* tables, int64_t runs, int64_t entries, const float* values,
                 int64_t length, int64_t* places);

// sums[r, places[r, i]] += values[r, i], in the order of i. sums (runs, entries), the others (runs,
// length). False where a place is none of 0 … entries - 1: `sums` is unspecified then.
bool add_at_places(const int64_t* places, const float* values, int64_t runs, int64_t length,
                   int64_t entries, float* sums);

// Each row has a table for every `block` columns, the last of which may stand for fewer:
//   rounded[r, c] = round(codes[r, c]), a place; values[r, c] = tables[r, c / block, that place]
// codes (rows, columns), tables (rows, ceil(columns / block), entries). Returns the index of the
// first code that is not within kSnap of a place (NaN included), or -1; otherwise the outputs are
// unspecified.
int64_t look_up(const float* codes, const float* tables, int64_t rows, int64_t columns,
                int64_t block, int64_t entries, float* rounded, float* values);

}  // namespace bitloop::kernels
