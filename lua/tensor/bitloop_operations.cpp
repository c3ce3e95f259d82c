// The table bitloop: what quantisers need and PyTorch has not.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include "lua/tensor/autograd.h"
#include "lua/tensor/hadamard.h"
#include "lua/tensor/operation.h"

namespace bitloop::lua {

namespace {

int hadamard(Call& c) {
  const at::Tensor x = c.floats(0);
  const int64_t block = c.integer(1);
  if (!is_hadamard_block(block)) {
    c.fail(fmt::format("block must be a power of two up to {}, got {}", kMaxHadamard, block));
  }
  if (x.dim() == 0 || x.size(-1) % block) {
    c.fail(fmt::format("block {} does not divide the last dimension, {}", block,
                       x.dim() ? x.size(-1) : 1));
  }
  return c.push(block_hadamard(x, block));
}

int blocks(Call& c) {
  const at::Tensor x = c.numeric(0);
  const int64_t group = c.integer(1);
  if (group < 1) c.fail(fmt::format("group must be at least 1, got {}", group));
  if (x.dim() == 0) c.fail("needs a tensor with at least one dimension");
  const int64_t length = x.size(-1);
  if (group > (int64_t{1} << 40)) c.fail("group is too large");
  const int64_t count = (length + group - 1) / group;
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = count;
  shape.push_back(group);
  c.reserve(shape);
  const at::Tensor padded =
      count * group == length ? x : at::constant_pad_nd(x, {0, count * group - length});
  return c.push(padded.reshape(shape));
}

int unblocks(Call& c) {
  const at::Tensor x = c.numeric(0);
  const int64_t length = c.integer(1);
  if (x.dim() < 2) c.fail("needs the result of bitloop.blocks");
  const at::Tensor flat = x.flatten(-2, -1);
  if (length < 0 || length > flat.size(-1)) {
    c.fail(fmt::format("length must be from 0 to {}, got {}", flat.size(-1), length));
  }
  return c.push(flat.narrow(-1, 0, length));
}

constexpr Operation kBitloopOperations[] = {
    {"ste_round(x)",
     "rounds to the nearest whole number, halves to even; the gradient passes unchanged",
     [](Call& c) { return c.push(ste_round(c.floats(0))); }, kBitloop},
    {"autograd(forward: Forward, backward: Backward) -> differentiable: Forward",
     "a function with a gradient of its own: bitloop.autograd{forward = f, backward = g}; f(x, …) "
     "returns one Tensor, "
     "g(grad, x, …) returns one gradient (or nil) for each argument of f",
     make_autograd, kBitloop},
    {"hadamard(x, block: integer)",
     "each run of block inputs along the last dimension times the orthogonal Hadamard matrix",
     hadamard, kBitloop},
    {"blocks(x, group: integer)", "(…, K) as (…, ceil(K / group), group), the tail padded with 0",
     blocks, kBitloop},
    {"unblocks(x, length: integer)", "its inverse: (…, blocks, group) as (…, length)", unblocks,
     kBitloop},
};

}  // namespace

std::span<const Operation> bitloop_operations() { return kBitloopOperations; }

}  // namespace bitloop::lua
