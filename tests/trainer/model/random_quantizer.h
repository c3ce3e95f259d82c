// Quantizer files made at random: small, valid, and full of what captured programs must get right
// (views, groups, reductions, masks, parameters, surrogates). The same seed gives the same text.
#pragma once

#include <cstdint>
#include <string>

namespace bitloop::trainer {

struct RandomQuantizer {
  int64_t rows = 0, columns = 0;  // of the weight it was made for
  int64_t tokens = 0;             // rows of the activation
  std::string lua;
  // The same file with the numbers before they are rounded in place of the codes: how near a code
  // is to its neighbour.
  std::string unrounded;
};

// `layers`: for layers of several shapes at once: nothing in the file depends on rows and columns.
RandomQuantizer random_quantizer(uint64_t seed, bool for_layers = false);

}  // namespace bitloop::trainer
