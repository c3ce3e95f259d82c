// Shapes. Views share memory with x, as in PyTorch; since nothing works in place that is only a
// matter of speed.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include "lua/tensor/operation.h"

namespace bitloop::lua {

namespace {

int push_sizes(Call& c, at::IntArrayRef sizes) {
  lua_createtable(c.lua(), static_cast<int>(sizes.size()), 0);
  for (size_t i = 0; i < sizes.size(); ++i) {
    lua_pushinteger(c.lua(), sizes[i]);
    lua_rawseti(c.lua(), -2, static_cast<lua_Integer>(i) + 1);
  }
  return 1;
}

int size(Call& c) {
  if (!c.has(1)) return push_sizes(c, c.tensor(0).sizes());
  lua_pushinteger(c.lua(), c.tensor(0).size(c.integer(1)));
  return 1;
}

int flatten(Call& c) { return c.push(at::flatten(c.tensor(0), c.integer(1), c.integer(2))); }

int squeeze(Call& c) {
  return c.push(c.has(1) ? at::squeeze(c.tensor(0), c.integers(1)) : at::squeeze(c.tensor(0)));
}

int tile(Call& c) {
  const std::vector<int64_t> repeats = c.sizes(1);
  double copies = 1;
  for (int64_t count : repeats) copies *= static_cast<double>(count);
  c.reserve(c.tensor(0).sizes(), copies);
  return c.push(at::tile(c.tensor(0), repeats));
}

int repeat_interleave(Call& c) {
  const int64_t repeats = c.integer(1);
  if (repeats < 0) c.fail("repeats can't be negative");
  c.reserve(c.tensor(0).sizes(), static_cast<double>(repeats));
  return c.push(at::repeat_interleave(c.tensor(0), repeats, c.optional_integer(2)));
}

int chunk(Call& c) { return c.push_all(at::chunk(c.tensor(0), c.integer(1), c.integer(2))); }
int split(Call& c) {
  if (c.is_number(1)) return c.push_all(at::split(c.tensor(0), c.integer(1), c.integer(2)));
  return c.push_all(at::split_with_sizes(c.tensor(0), c.sizes(1), c.integer(2)));
}

// cat and stack: the result is as large as all parts together.
void reserve_all(Call& c, const std::vector<at::Tensor>& parts) {
  int64_t elements = 0;
  for (const at::Tensor& part : parts) elements += part.numel();
  c.reserve({elements});
}
int cat(Call& c) {
  const std::vector<at::Tensor> parts = c.tensors(0);
  reserve_all(c, parts);
  return c.push(at::cat(parts, c.integer(1)));
}
int stack(Call& c) {
  const std::vector<at::Tensor> parts = c.tensors(0);
  reserve_all(c, parts);
  return c.push(at::stack(parts, c.integer(1)));
}

int unbind(Call& c) { return c.push_all(at::unbind(c.tensor(0), c.integer(1))); }

int diagonal(Call& c) {
  return c.push(at::diagonal(c.tensor(0), c.integer(1), c.integer(2), c.integer(3)));
}

int roll(Call& c) { return c.push(at::roll(c.tensor(0), c.integers(1), c.integers(2))); }

int pad(Call& c) {
  const std::vector<int64_t> widths = c.integers(1);
  const at::Tensor& x = c.tensor(0);
  if (widths.size() % 2 || static_cast<int64_t>(widths.size()) > 2 * x.dim()) {
    c.fail("pad is a list {before, after} for the last dimension, then the one before it, …");
  }
  std::vector<int64_t> shape = x.sizes().vec();
  for (size_t i = 0; i < widths.size(); ++i) {
    if (std::abs(widths[i]) > (int64_t{1} << 40)) c.fail("pad is too large");
    shape[shape.size() - 1 - i / 2] += widths[i];
  }
  c.reserve(shape);
  return c.push(at::constant_pad_nd(c.numeric(0), widths, c.scalar(2)));
}

int unfold(Call& c) { return c.push(c.tensor(0).unfold(c.integer(1), c.integer(2), c.integer(3))); }

int diag(Call& c) {
  const at::Tensor& x = c.tensor(0);
  const int64_t diagonal = c.integer(1);
  if (std::abs(diagonal) > (int64_t{1} << 31)) c.fail("diagonal is too large");
  if (x.dim() == 1) c.reserve({x.size(0) + std::abs(diagonal), x.size(0) + std::abs(diagonal)});
  return c.push(at::diag(x, diagonal));
}

constexpr Operation kShape[] = {
    {"size(x, dim: integer=nil) -> size: list",
     "the size of dimension dim; without dim the list of all (a Lua list: its first place is 1)",
     size},
    {"shape(x) -> sizes: integers", "the list of all sizes: local n, k = table.unpack(x:shape())",
     [](Call& c) { return push_sizes(c, c.tensor(0).sizes()); }},
    {"dim(x) -> count: integer", "the number of dimensions",
     [](Call& c) {
       lua_pushinteger(c.lua(), c.tensor(0).dim());
       return 1;
     }},
    {"numel(x) -> count: integer", "the number of elements",
     [](Call& c) {
       lua_pushinteger(c.lua(), c.tensor(0).numel());
       return 1;
     }},
    {"view(x, size...)", "the same elements in another shape; one size may be -1",
     [](Call& c) { return c.push(c.tensor(0).view(c.integers(1))); }},
    {"reshape(x, size...)", "like view, copies where it must",
     [](Call& c) { return c.push(at::reshape(c.tensor(0), c.integers(1))); }},
    {"view_as(x, other)", "x in other's shape",
     [](Call& c) { return c.push(at::reshape(c.tensor(0), c.tensor(1).sizes())); }},
    {"flatten(x, start_dim: integer=0, end_dim: integer=-1)",
     "dimensions start_dim … end_dim as one", flatten},
    {"unflatten(x, dim: integer, sizes: Dims)", "one dimension as several",
     [](Call& c) { return c.push(at::unflatten(c.tensor(0), c.integer(1), c.integers(2))); }},
    {"permute(x, dims...)", "dimensions in another order",
     [](Call& c) { return c.push(at::permute(c.tensor(0), c.integers(1))); }},
    {"transpose(x, dim0: integer, dim1: integer)", "two dimensions swapped",
     [](Call& c) { return c.push(at::transpose(c.tensor(0), c.integer(1), c.integer(2))); }},
    {"t(x)", "a matrix transposed", [](Call& c) { return c.push(at::t(c.tensor(0))); }},
    {"movedim(x, source: Dims, destination: Dims)", "dimensions moved, the others in their order",
     [](Call& c) { return c.push(at::movedim(c.tensor(0), c.integers(1), c.integers(2))); }},
    {"unsqueeze(x, dim: integer)", "a dimension of size 1 put in at dim",
     [](Call& c) { return c.push(at::unsqueeze(c.tensor(0), c.integer(1))); }},
    {"squeeze(x, dim: Dims=nil)", "dimensions of size 1 taken out", squeeze},
    {"expand(x, size...)", "dimensions of size 1 repeated without a copy; -1 keeps a size",
     [](Call& c) { return c.push(c.tensor(0).expand(c.integers(1))); }},
    {"expand_as(x, other)", "x expanded to other's shape",
     [](Call& c) { return c.push(c.tensor(0).expand_as(c.tensor(1))); }},
    {"broadcast_to(x, size...)", "the same as expand",
     [](Call& c) { return c.push(at::broadcast_to(c.tensor(0), c.integers(1))); }},
    {"contiguous(x)", "a copy in order, if x is not",
     [](Call& c) { return c.push(c.tensor(0).contiguous()); }},
    {"tile(x, dims...)", "repeated along each dimension (PyTorch's repeat, a Lua keyword)", tile},
    {"repeat_interleave(x, repeats: integer, dim: integer=nil)", "each element repeated",
     repeat_interleave},
    {"cat(tensors: Tensors, dim: integer=0)", "a list of tensors joined along dim", cat, kTorch},
    {"stack(tensors: Tensors, dim: integer=0)", "a list of tensors joined along a new dimension",
     stack, kTorch},
    {"chunk(x, chunks: integer, dim: integer=0) -> parts: Tensor...",
     "about equal parts, as several results", chunk},
    {"split(x, split_size: Dims, dim: integer=0) -> parts: Tensor...",
     "parts of a size (or of the sizes in a list), as several results", split},
    {"unbind(x, dim: integer=0) -> slices: Tensor...", "the slices along dim, as several results",
     unbind},
    {"flip(x, dims...)", "reversed along dims",
     [](Call& c) { return c.push(at::flip(c.tensor(0), c.integers(1))); }},
    {"roll(x, shifts: Dims, dims: Dims=nil)",
     "shifted along dims, what leaves one end enters the other", roll},
    {"pad(x, pad: integers, value: number=0)",
     "widened by pad = {before, after} of the last dimension, then of the one before it", pad},
    {"unfold(x, dimension: integer, size: integer, step: integer)",
     "windows along a dimension, as a new last dimension", unfold},
    {"tril(x, diagonal: integer=0)", "the lower triangle, 0 elsewhere",
     [](Call& c) { return c.push(at::tril(c.tensor(0), c.integer(1))); }},
    {"triu(x, diagonal: integer=0)", "the upper triangle, 0 elsewhere",
     [](Call& c) { return c.push(at::triu(c.tensor(0), c.integer(1))); }},
    {"diag(x, diagonal: integer=0)", "the diagonal of a matrix, or a matrix with this diagonal",
     diag},
    {"diagonal(x, offset: integer=0, dim1: integer=0, dim2: integer=1)",
     "the diagonals of matrices, as a new last dimension", diagonal},
};

}  // namespace

std::span<const Operation> shape_operations() { return kShape; }

}  // namespace bitloop::lua
