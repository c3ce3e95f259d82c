// Rotary positions (Su et al. 2021) in the form of Llama: of each head's query and key, number i
// and number i + S/2 are a point of a plane that is turned by position * theta^(-2 i / S). Legend:
// R rows, H heads, G heads of keys and values, S numbers of a head, C = (H + 2 G) S.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "trainer/job.h"

namespace bitloop::trainer {

class Rotary {
 public:
  explicit Rotary(const ModelConfig& config);

  // What all blocks of a pass turn their rows by.
  struct Angles {
    at::Tensor cosine, sine;  // (P, S / 2): row r of a pass is turned by their row r % P
  };
  // Of rows at these positions (P). Computed in float32 as `transformers` does: by these very
  // angles the models were trained.
  Angles angles(const at::Tensor& positions_P) const;

  // Queries and keys of qkv (R, C) turned, values as they are.
  at::Tensor turn(const at::Tensor& qkv_RC, const Angles& angles) const;

 private:
  int64_t turned_;          // H + G: heads that are turned, which come first
  at::Tensor frequencies_;  // (S / 2)
};

// qkv (R, C) with keys and values repeated for every head that reads them: (R, 3 H S). The same
// tensor where G is H.
at::Tensor repeat_key_heads(const at::Tensor& qkv_RC, int64_t heads, int64_t key_heads);

}  // namespace bitloop::trainer
