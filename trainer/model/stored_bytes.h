// What a product reads of its weight, in bytes: for `bitloop generate --benchmark`.
#pragma once

#include <cstdint>

namespace bitloop::trainer {

class WeightProduct;

// Of a product that weight_product.h made; 0 of others.
int64_t stored_bytes(const WeightProduct& product);

}  // namespace bitloop::trainer
