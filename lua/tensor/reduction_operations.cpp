// Reductions and sorting. dim counts from 0, or from the end when negative.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include "lua/tensor/operation.h"

namespace bitloop::lua {

namespace {

using Dims = at::OptionalIntArrayRef;

int sum(Call& c) {
  const std::vector<int64_t> dims = c.integers(1);
  return c.push(at::sum(c.numeric(0), c.has(1) ? Dims(dims) : std::nullopt, c.boolean(2)));
}
int nansum(Call& c) {
  const std::vector<int64_t> dims = c.integers(1);
  return c.push(at::nansum(c.numeric(0), c.has(1) ? Dims(dims) : std::nullopt, c.boolean(2)));
}
int nanmean(Call& c) {
  const std::vector<int64_t> dims = c.integers(1);
  return c.push(at::nanmean(c.floats(0), c.has(1) ? Dims(dims) : std::nullopt, c.boolean(2)));
}
int mean(Call& c) {
  const std::vector<int64_t> dims = c.integers(1);
  return c.push(at::mean(c.floats(0), c.has(1) ? Dims(dims) : std::nullopt, c.boolean(2)));
}
int amax(Call& c) { return c.push(at::amax(c.numeric(0), c.integers(1), c.boolean(2))); }
int amin(Call& c) { return c.push(at::amin(c.numeric(0), c.integers(1), c.boolean(2))); }

// max and min: of all elements; of two tensors; along a dimension, with the places.
template <bool kMax>
int extreme(Call& c) {
  const at::Tensor x = c.numeric(0);
  if (c.is_tensor(1)) {
    const at::Tensor other = c.numeric(1);
    return c.push(kMax ? at::maximum(x, other) : at::minimum(x, other));
  }
  if (!c.has(1)) return c.push(kMax ? at::max(x) : at::min(x));
  const auto [values, places] =
      kMax ? at::max(x, c.integer(1), c.boolean(2)) : at::min(x, c.integer(1), c.boolean(2));
  return c.push_all({values, places});
}

// LibTorch's own has no gradient.
int aminmax(Call& c) {
  const at::Tensor x = c.numeric(0);
  const std::vector<int64_t> dims = c.has(1) ? std::vector{c.integer(1)} : std::vector<int64_t>{};
  return c.push_all({at::amin(x, dims, c.boolean(2)), at::amax(x, dims, c.boolean(2))});
}

int argmax(Call& c) {
  return c.push(at::argmax(c.numeric(0), c.optional_integer(1), c.boolean(2)));
}
int argmin(Call& c) {
  return c.push(at::argmin(c.numeric(0), c.optional_integer(1), c.boolean(2)));
}

template <bool kRoot>
int spread(Call& c) {
  const std::vector<int64_t> dims = c.integers(1);
  const Dims where = c.has(1) ? Dims(dims) : std::nullopt;
  const at::Scalar correction = c.scalar(2);
  const at::Tensor x = c.floats(0);
  return c.push(kRoot ? at::std(x, where, correction, c.boolean(3))
                      : at::var(x, where, correction, c.boolean(3)));
}

template <bool kRoot>
int spread_and_mean(Call& c) {
  const std::vector<int64_t> dims = c.integers(1);
  const Dims where = c.has(1) ? Dims(dims) : std::nullopt;
  const at::Tensor x = c.floats(0);
  const auto [spread, mean] = kRoot ? at::std_mean(x, where, c.scalar(2), c.boolean(3))
                                    : at::var_mean(x, where, c.scalar(2), c.boolean(3));
  return c.push_all({spread, mean});
}

int norm(Call& c) {
  const std::vector<int64_t> dims = c.integers(2);
  return c.push(at::norm(c.floats(0), c.scalar(1), dims, c.boolean(3)));
}

int prod(Call& c) {
  if (!c.has(1)) return c.push(at::prod(c.numeric(0)));
  return c.push(at::prod(c.numeric(0), c.integer(1), c.boolean(2)));
}
template <bool kAll>
int quantified(Call& c) {
  const at::Tensor x = c.numeric(0);
  const std::vector<int64_t> dims = c.integers(1);
  const Dims where = c.has(1) ? Dims(dims) : std::nullopt;
  return c.push(kAll ? at::all(x, where, c.boolean(2)) : at::any(x, where, c.boolean(2)));
}

template <bool kSkipNan>
int median(Call& c) {
  const at::Tensor x = c.numeric(0);
  if (!c.has(1)) return c.push(kSkipNan ? at::nanmedian(x) : at::median(x));
  const auto [values, places] = kSkipNan ? at::nanmedian(x, c.integer(1), c.boolean(2))
                                         : at::median(x, c.integer(1), c.boolean(2));
  return c.push_all({values, places});
}

template <bool kSkipNan>
int quantile(Call& c) {
  const at::Tensor x = c.floats(0);
  const bool several = c.is_tensor(1);
  if (!several && !(c.number(1) >= 0 && c.number(1) <= 1))
    c.fail(fmt::format("q must be from 0 to 1, got {}", c.number(1)));
  const at::Tensor q = several ? c.floats(1) : at::scalar_tensor(c.number(1), x.options());
  return c.push(kSkipNan ? at::nanquantile(x, q, c.optional_integer(2), c.boolean(3), c.string(4))
                         : at::quantile(x, q, c.optional_integer(2), c.boolean(3), c.string(4)));
}

// As many counts as the largest number says, so that is looked at first.
int bincount(Call& c) {
  const at::Tensor x = c.tensor(0).to(at::kLong);
  const int64_t least = c.integer(2);
  if (least < 0) c.fail(fmt::format("minlength can't be negative, got {}", least));
  const int64_t largest = x.numel() ? x.max().item<int64_t>() : 0;
  c.reserve({}, 2 * static_cast<double>(std::max(least, largest)));
  const std::optional<at::Tensor> weights = c.has(1) ? std::optional(c.floats(1)) : std::nullopt;
  return c.push(at::bincount(x, weights, least));
}

int histc(Call& c) {
  const int64_t bins = c.integer(1);
  if (bins < 1) c.fail(fmt::format("bins must be at least 1, got {}", bins));
  c.reserve({bins});
  return c.push(at::histc(c.floats(0), bins, c.scalar(2), c.scalar(3)));
}

int logsumexp(Call& c) { return c.push(at::logsumexp(c.floats(0), c.integers(1), c.boolean(2))); }

int count_nonzero(Call& c) {
  if (!c.has(1)) return c.push(at::count_nonzero(c.tensor(0)));
  return c.push(at::count_nonzero(c.tensor(0), c.integers(1)));
}

int sort(Call& c) {
  const auto [values, places] = at::sort(c.numeric(0), true, c.integer(1), c.boolean(2));
  return c.push_all({values, places});
}
int topk(Call& c) {
  const auto [values, places] =
      at::topk(c.numeric(0), c.integer(1), c.integer(2), c.boolean(3), c.boolean(4));
  return c.push_all({values, places});
}
int kthvalue(Call& c) {
  const auto [values, places] =
      at::kthvalue(c.numeric(0), c.integer(1), c.integer(2), c.boolean(3));
  return c.push_all({values, places});
}

constexpr Operation kReductions[] = {
    {"sum(x, dim: Dims=nil, keepdim=false)",
     "sum of all elements, or along dim (a number or a list)", sum},
    {"mean(x, dim: Dims=nil, keepdim=false)", "mean of all elements, or along dim", mean},
    {"amax(x, dim: Dims=nil, keepdim=false)", "largest element, or along dim", amax},
    {"amin(x, dim: Dims=nil, keepdim=false)", "smallest element, or along dim", amin},
    {"max(x, dim: Operand=nil, keepdim=false) -> values, places",
     "largest element; along dim: values, places; of two tensors: maximum", extreme<true>},
    {"min(x, dim: Operand=nil, keepdim=false) -> values, places",
     "smallest element; along dim: values, places; of two tensors: minimum", extreme<false>},
    {"aminmax(x, dim: integer=nil, keepdim=false) -> min, max", "smallest and largest element",
     aminmax},
    {"argmax(x, dim: integer=nil, keepdim=false)", "place of the largest element", argmax},
    {"argmin(x, dim: integer=nil, keepdim=false)", "place of the smallest element", argmin},
    {"std(x, dim: Dims=nil, correction: number=1, keepdim=false)", "standard deviation",
     spread<true>},
    {"var(x, dim: Dims=nil, correction: number=1, keepdim=false)", "variance", spread<false>},
    {"std_mean(x, dim: Dims=nil, correction: number=1, keepdim=false) -> std, mean",
     "standard deviation and mean", spread_and_mean<true>},
    {"var_mean(x, dim: Dims=nil, correction: number=1, keepdim=false) -> var, mean",
     "variance and mean", spread_and_mean<false>},
    {"norm(x, p: number=2, dim: Dims=nil, keepdim=false)",
     "the p-norm of all elements, or along dim", norm},
    {"prod(x, dim: integer=nil, keepdim=false)", "product", prod},
    {"all(x, dim: Dims=nil, keepdim=false)", "every element holds (is not 0)", quantified<true>},
    {"any(x, dim: Dims=nil, keepdim=false)", "at least one holds", quantified<false>},
    {"median(x, dim: integer=nil, keepdim=false) -> values, places",
     "the lower median; along dim: values, places", median<false>},
    {"quantile(x, q: Operand, dim: integer=nil, keepdim=false, interpolation: string=\"linear\")",
     "the q-quantile; q a number or a 1-d tensor; interpolation linear, lower, higher, midpoint or "
     "nearest",
     quantile<false>},
    {"nanquantile(x, q: Operand, dim: integer=nil, keepdim=false, interpolation: "
     "string=\"linear\")",
     "the q-quantile of what is not NaN", quantile<true>},
    {"nanmedian(x, dim: integer=nil, keepdim=false) -> values, places",
     "the lower median of what is not NaN; along dim: values, places", median<true>},
    {"nansum(x, dim: Dims=nil, keepdim=false)", "sum of what is not NaN", nansum},
    {"nanmean(x, dim: Dims=nil, keepdim=false)", "mean of what is not NaN", nanmean},
    {"logsumexp(x, dim: Dims=nil, keepdim=false)",
     "log of the sum of exponentials along dim (needed)",
     [](Call& c) {
       if (!c.has(1)) c.fail("needs dim");
       return logsumexp(c);
     }},
    {"count_nonzero(x, dim: Dims=nil)", "how many elements are not 0", count_nonzero},
    {"cumsum(x, dim: integer)", "running sum along dim",
     [](Call& c) { return c.push(at::cumsum(c.numeric(0), c.integer(1))); }},
    {"cumprod(x, dim: integer)", "running product along dim",
     [](Call& c) { return c.push(at::cumprod(c.numeric(0), c.integer(1))); }},
    {"cummax(x, dim: integer) -> values, places", "running maximum along dim, and its places",
     [](Call& c) {
       const auto [values, places] = at::cummax(c.numeric(0), c.integer(1));
       return c.push_all({values, places});
     }},
    {"cummin(x, dim: integer) -> values, places", "running minimum along dim, and its places",
     [](Call& c) {
       const auto [values, places] = at::cummin(c.numeric(0), c.integer(1));
       return c.push_all({values, places});
     }},
    {"logcumsumexp(x, dim: integer)", "logarithm of the running sum of exponentials along dim",
     [](Call& c) { return c.push(at::logcumsumexp(c.floats(0), c.integer(1))); }},
    {"diff(x, n: integer=1, dim: integer=-1)", "differences of neighbours along dim, taken n times",
     [](Call& c) { return c.push(at::diff(c.numeric(0), c.integer(1), c.integer(2))); }},
    {"histc(x, bins: integer=100, min: number=0, max: number=0)",
     "how many elements fall into each of equal bins from min to max (both 0: x's own)", histc},
    {"bincount(x, weights=nil, minlength: integer=0)",
     "how often 0, 1, 2, … occur in a 1-d tensor, or the sums of their weights", bincount},
    {"softmax(x, dim: integer)", "exp(x) / sum of exp(x) along dim",
     [](Call& c) { return c.push(at::softmax(c.floats(0), c.integer(1))); }},
    {"log_softmax(x, dim: integer)", "its logarithm",
     [](Call& c) { return c.push(at::log_softmax(c.floats(0), c.integer(1))); }},
};

constexpr Operation kSorting[] = {
    {"sort(x, dim: integer=-1, descending=false) -> values, places",
     "sorted along dim, stable: values, places", sort},
    {"argsort(x, dim: integer=-1, descending=false) -> places", "the places that sort x, stable",
     [](Call& c) {
       return c.push(std::get<1>(at::sort(c.numeric(0), true, c.integer(1), c.boolean(2))));
     }},
    {"topk(x, k: integer, dim: integer=-1, largest=true, sorted=true) -> values, places",
     "the k largest (or smallest) along dim, sorted: values, places", topk},
    {"mode(x, dim: integer=-1, keepdim=false) -> values, places",
     "the most frequent element along dim, the smallest of several: values, places",
     [](Call& c) {
       const auto [values, places] = at::mode(c.numeric(0), c.integer(1), c.boolean(2));
       return c.push_all({values, places});
     }},
    {"kthvalue(x, k: integer, dim: integer=-1, keepdim=false) -> values, places",
     "the k-th smallest along dim, k from 1: values, places", kthvalue},
};

}  // namespace

std::span<const Operation> reduction_operations() { return kReductions; }
std::span<const Operation> sorting_operations() { return kSorting; }

}  // namespace bitloop::lua
