// Picking elements, and matrix products.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include "lua/tensor/operation.h"
#include "trainer/kernels/places.h"

namespace bitloop::lua {

namespace {

at::Tensor places(Call& c, int i) {
  const at::Tensor& value = c.tensor(i);
  return value.scalar_type() == at::kLong ? value : value.to(at::kLong);
}
// Parameter i as places from `lowest` to `count` - 1. On the CPU LibTorch refuses others; a GPU
// that meets one computes nothing more in this process.
at::Tensor indices(Call& c, int i, int64_t count, int64_t lowest = 0) {
  const at::Tensor index = places(c, i);
  if (index.is_cpu() || index.numel() == 0) return index;
  const at::Tensor ends = at::stack({index.min(), index.max()}).cpu();
  for (const int64_t end : {ends[0].item<int64_t>(), ends[1].item<int64_t>()})
    if (end < lowest || end >= count)
      c.fail(fmt::format("index {} is out of bounds: there are {} places", end, count));
  return index;
}
// The same along a dimension of x.
at::Tensor indices_along(Call& c, int i, const at::Tensor& x, int64_t dim) {
  return indices(c, i, x.dim() > 0 ? x.size(dim) : 1);
}

int gather(Call& c) {
  c.reserve(c.tensor(2).sizes());
  const at::Tensor& x = c.tensor(0);
  return c.push(at::gather(x, c.integer(1), indices_along(c, 2, x, c.integer(1))));
}
// Along a dimension LibTorch begins anew with places beyond it.
int take_along_dim(Call& c) {
  const at::Tensor& x = c.tensor(0);
  const std::optional<int64_t> dim = c.optional_integer(2);
  return c.push(at::take_along_dim(x, dim ? places(c, 1) : indices(c, 1, x.numel()), dim));
}
int take(Call& c) {
  const at::Tensor& x = c.tensor(0);
  return c.push(at::take(x, indices(c, 1, x.numel(), -x.numel())));
}
int index_select(Call& c) {
  const at::Tensor& x = c.tensor(0);
  const int64_t dim = c.integer(1);
  const double rows = x.dim() ? static_cast<double>(std::max<int64_t>(1, x.size(dim))) : 1;
  c.reserve(x.sizes(), static_cast<double>(c.tensor(2).numel()) / rows);
  return c.push(at::index_select(x, dim, indices_along(c, 2, x, dim)));
}

bool plain(const at::Tensor& x, at::ScalarType type) {
  return x.is_cpu() && x.scalar_type() == type && x.is_contiguous() && x.dim() > 0 && x.numel() > 0;
}
bool same_runs(const at::Tensor& a, const at::Tensor& b) {
  return a.dim() == b.dim() && a.sizes().slice(0, a.dim() - 1) == b.sizes().slice(0, b.dim() - 1);
}

// at::searchsorted. In a few numbers, for each run of values its own, all of them are looked at
// side by side, which gives the same places.
constexpr int64_t kFewNumbers = 64;
at::Tensor search_sorted(const at::Tensor& among, const at::Tensor& wanted, bool right) {
  if (!right && plain(among, at::kFloat) && plain(wanted, at::kFloat) && same_runs(among, wanted) &&
      among.size(-1) <= kFewNumbers) {
    const at::Tensor found = at::empty(wanted.sizes(), wanted.options().dtype(at::kLong));
    if (kernels::count_below(among.const_data_ptr<float>(), among.numel() / among.size(-1),
                             among.size(-1), wanted.const_data_ptr<float>(), wanted.size(-1),
                             found.data_ptr<int64_t>()))
      return found;
  }
  return at::searchsorted(among, wanted, false, right);
}

// Where values (a tensor or a number) go among sorted numbers.
int search(Call& c, int values, int sorted) {
  const at::Tensor among = c.floats(sorted).contiguous();
  const at::Tensor wanted = c.is_number(values)
                                ? at::scalar_tensor(c.number(values), among.options())
                                : c.floats(values).contiguous();
  return c.push(search_sorted(among, wanted, c.boolean(2)));
}
int searchsorted(Call& c) { return search(c, 1, 0); }
int bucketize(Call& c) {
  if (c.tensor(1).dim() != 1) c.fail("boundaries must have one dimension");
  return search(c, 0, 1);
}

int masked_fill(Call& c) {
  const at::Tensor mask = c.tensor(1).to(at::kBool);
  if (!c.is_tensor(2)) return c.push(at::masked_fill(c.numeric(0), mask, c.scalar(2)));
  if (c.tensor(2).dim() != 0) c.fail("value must be one number; torch.where takes a tensor");
  return c.push(at::masked_fill(c.numeric(0), mask, c.numeric(2)));
}

int scatter(Call& c) {
  const at::Tensor x = c.numeric(0);
  const int64_t dim = c.integer(1);
  const at::Tensor index = indices_along(c, 2, x, dim);
  if (!c.is_tensor(3)) return c.push(at::scatter(x, dim, index, c.scalar(3)));
  return c.push(at::scatter(x, dim, index, c.numeric(3).to(x.scalar_type())));
}
// LibTorch adds in one thread: along the last dimension each run of x is a thread's own, and the
// order of its sums is LibTorch's.
int scatter_add(Call& c) {
  const at::Tensor x = c.numeric(0);
  const int64_t dim = c.integer(1);
  const at::Tensor index = indices_along(c, 2, x, dim), source = c.numeric(3).to(x.scalar_type());
  const bool wants_graph =
      at::GradMode::is_enabled() && (x.requires_grad() || source.requires_grad());
  if (!wants_graph && plain(x, at::kFloat) && plain(index, at::kLong) &&
      plain(source, at::kFloat) && index.sizes() == source.sizes() && same_runs(x, index) &&
      (dim == -1 || dim == x.dim() - 1)) {
    const at::Tensor sums = x.detach().clone();
    if (kernels::add_at_places(index.const_data_ptr<int64_t>(), source.const_data_ptr<float>(),
                               x.numel() / x.size(-1), index.size(-1), x.size(-1),
                               sums.data_ptr<float>()))
      return c.push(sums);
  }
  return c.push(at::scatter_add(x, dim, index, source));
}
int index_add(Call& c) {
  const at::Tensor x = c.numeric(0);
  const at::Tensor source = c.numeric(3).to(x.scalar_type());
  const int64_t dim = c.integer(1);
  return c.push(at::index_add(x, dim, indices_along(c, 2, x, dim), source, c.scalar(4)));
}
int one_hot(Call& c) {
  const int64_t classes = c.integer(1);
  if (classes < 1) c.fail("num_classes must be at least 1");
  c.reserve(c.tensor(0).sizes(), 3 * static_cast<double>(classes));
  return c.push(at::one_hot(indices(c, 0, classes), classes).to(at::kFloat));
}

// How many matrices a tensor holds. Batch dimensions broadcast, so a product of two has at most as
// many as both numbers multiplied.
double batches(const at::Tensor& x) {
  return std::max(1.0, static_cast<double>(x.numel()) /
                           std::max<double>(1, static_cast<double>(x.size(-1) * x.size(-2))));
}

int matmul(Call& c) {
  const at::Tensor a = c.floats(0), b = c.floats(1);
  if (a.dim() > 1 && b.dim() > 1) {
    c.reserve({a.size(-2), b.size(-1)}, batches(a) * batches(b));
  }
  return c.push(at::matmul(a, b));
}
int mm(Call& c) {
  const at::Tensor a = c.floats(0), b = c.floats(1);
  if (a.dim() == 2 && b.dim() == 2) c.reserve({a.size(0), b.size(1)});
  return c.push(at::mm(a, b));
}
int bmm(Call& c) {
  const at::Tensor a = c.floats(0), b = c.floats(1);
  if (a.dim() == 3 && b.dim() == 3) c.reserve({a.size(0), a.size(1), b.size(2)});
  return c.push(at::bmm(a, b));
}
int addmm(Call& c) {
  const at::Tensor a = c.floats(1), b = c.floats(2);
  if (a.dim() == 2 && b.dim() == 2) c.reserve({a.size(0), b.size(1)});
  return c.push(at::addmm(c.floats(0), a, b, c.scalar(3), c.scalar(4)));
}
int cdist(Call& c) {
  const at::Tensor a = c.floats(0), b = c.floats(1);
  if (a.dim() < 2 || b.dim() < 2) c.fail("needs two lists of points, (…, P, M) and (…, R, M)");
  if (!(c.number(2) >= 0)) c.fail(fmt::format("p can't be negative, got {}", c.number(2)));
  c.reserve({a.size(-2), b.size(-2)}, batches(a) * batches(b));
  return c.push(at::cdist(a, b, c.number(2)));
}
// LibTorch's own has a wrong gradient for a matrix with more rows than columns.
int trace(Call& c) {
  const at::Tensor x = c.numeric(0);
  if (x.dim() != 2) c.fail(fmt::format("expected a matrix, got {} dimensions", x.dim()));
  return c.push(at::sum(at::diagonal(x)));
}
int outer(Call& c) {
  const at::Tensor a = c.floats(0), b = c.floats(1);
  c.reserve({a.numel(), b.numel()});
  return c.push(at::outer(a, b));
}

constexpr Operation kIndexing[] = {
    {"select(x, dim: integer, index: integer)",
     "one slice, its dimension dropped; x[i] is x:select(0, i)",
     [](Call& c) { return c.push(at::select(c.tensor(0), c.integer(1), c.integer(2))); }},
    {"narrow(x, dim: integer, start: integer, length: integer)",
     "the slices start … start + length - 1",
     [](Call& c) {
       return c.push(at::narrow(c.tensor(0), c.integer(1), c.integer(2), c.integer(3)));
     }},
    {"index_select(x, dim: integer, index)", "slices by a 1-d tensor of places", index_select},
    {"gather(x, dim: integer, index)", "elements by a tensor of places along dim", gather},
    {"take_along_dim(x, indices, dim: integer=nil)", "like gather, broadcasting", take_along_dim},
    {"take(x, index)", "elements by their place in x flattened", take},
    {"masked_fill(x, mask, value: Operand)", "value where the mask holds (is not 0), else x",
     masked_fill},
    {"scatter(x, dim: integer, index, src: Operand)",
     "x with src put at a tensor of places along dim: the inverse of gather", scatter},
    {"scatter_add(x, dim: integer, index, src)", "x with src added at a tensor of places along dim",
     scatter_add},
    {"index_add(x, dim: integer, index, source, alpha: number=1)",
     "x with slices of alpha * source added at a 1-d tensor of places along dim", index_add},
    {"searchsorted(sorted_sequence, values: Operand, right=false) -> places",
     "where values would go in a sorted tensor", searchsorted},
    {"bucketize(x: Operand, boundaries, right=false) -> places",
     "which of the intervals between sorted boundaries holds x", bucketize},
    {"one_hot(x, num_classes: integer)",
     "a new last dimension, 1 at place x and 0 elsewhere, float32", one_hot},
};

constexpr Operation kMatrix[] = {
    {"matmul(x, other)", "matrix product, batches broadcast", matmul},
    {"mm(x, other)", "product of two matrices", mm},
    {"bmm(x, other)", "products of two batches of matrices", bmm},
    {"mv(x, vec)", "matrix times vector",
     [](Call& c) { return c.push(at::mv(c.floats(0), c.floats(1))); }},
    {"dot(x, other)", "inner product of two vectors",
     [](Call& c) { return c.push(at::dot(c.floats(0), c.floats(1))); }},
    {"addmm(x, mat1, mat2, beta: number=1, alpha: number=1)",
     "beta * x + alpha * (mat1 times mat2)", addmm},
    {"cdist(x, other, p: number=2)",
     "the p-norm distance of each row (a point) of x from each row of other", cdist},
    {"trace(x)", "the sum of a matrix's diagonal", trace},
    {"outer(x, other)", "all products of two vectors", outer},
};

}  // namespace

std::span<const Operation> indexing_operations() { return kIndexing; }
std::span<const Operation> matrix_operations() { return kMatrix; }

}  // namespace bitloop::lua
