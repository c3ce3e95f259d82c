// Rotary positions (Su et al. 2021): in each of the first `heads` heads of a row, the numbers i and
// i + S/2 are turned by an angle. Legend: R rows, C numbers of a row, S of a head, P angles' rows.
#pragma once

#include <cstdint>

namespace bitloop::kernels {

struct RotaryShape {
  int64_t R, C, P, heads, S;
};

// y (R, C) = x with row r turned by the angles of row r % P, whose cosines and sines are (P, S /
// 2); what follows the heads is copied. `back`: by the negative angles, which is also the
// gradient's way.
void rotate(const float* x, const float* cosine, const float* sine, const RotaryShape& shape,
            bool back, float* y);

}  // namespace bitloop::kernels
