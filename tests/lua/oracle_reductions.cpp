// Reductions, running sums and sorting. Along dimensions that are absent or empty both refuse.
#include "tests/lua/oracle.h"

namespace bitloop::lua::oracle {

namespace {

using at::kFloat;
using Dims = at::OptionalIntArrayRef;

std::vector<Case> plain_cases() {
  return {
      ORACLE("sum", "x:sum()", at::sum(x)),
      ORACLE("sum", "x:sum(-1)", at::sum(x, -1)),
      ORACLE("sum", "x:sum{dim = {0, -1}, keepdim = true}",
             at::sum(x, at::IntArrayRef{0, -1}, true)),
      ORACLE("sum", "x:sum(0, {keepdim = true})", at::sum(x, 0, true)),
      ORACLE("sum", "k:sum()", at::sum(k)),
      ORACLE("sum", "x:gt(0):sum()", at::sum(x.gt(0).to(kFloat))),
      ORACLE("mean", "x:mean()", at::mean(x)),
      ORACLE("mean", "x:mean{dim = 1, keepdim = true}", at::mean(x, 1, true)),
      ORACLE("mean", "k:mean()", at::mean(k.to(kFloat))),
      ORACLE("amax", "x:amax()", at::amax(x)),
      ORACLE("amax", "x:amax{dim = -1, keepdim = true}", at::amax(x, -1, true)),
      ORACLE("amax", "x:amax{dim = {0, 1}}", at::amax(x, {0, 1})),
      ORACLE("amin", "x:amin()", at::amin(x)),
      ORACLE("amin", "x:amin(0)", at::amin(x, 0)),
      ORACLE("max", "x:max()", at::max(x)),
      ORACLE("max", "x:max(-1)", at::max(x, -1)),
      ORACLE("max", "x:max{dim = 0, keepdim = true}", at::max(x, 0, true)),
      ORACLE("max", "x:max(y)", at::maximum(x, y)),
      ORACLE("min", "x:min()", at::min(x)),
      ORACLE("min", "x:min(-1, true)", at::min(x, -1, true)),
      ORACLE("min", "torch.min(x, y)", at::minimum(x, y)),
      ORACLE("aminmax", "x:aminmax()", at::aminmax(x)),
      ORACLE("aminmax", "x:aminmax{dim = -1, keepdim = true}", at::aminmax(x, -1, true)),
      ORACLE("argmax", "x:argmax()", at::argmax(x)),
      ORACLE("argmax", "x:argmax(-1, true)", at::argmax(x, -1, true)),
      ORACLE("argmin", "x:argmin()", at::argmin(x)),
      ORACLE("argmin", "x:argmin{dim = 0}", at::argmin(x, 0)),
      ORACLE("std", "x:std()", at::std(x, Dims(), at::Scalar(1))),
      ORACLE("std", "x:std{dim = -1, correction = 0, keepdim = true}",
             at::std(x, Dims(-1), at::Scalar(0), true)),
      ORACLE("var", "x:var()", at::var(x, Dims(), at::Scalar(1))),
      ORACLE("var", "x:var(-1)", at::var(x, Dims(-1), at::Scalar(1))),
      ORACLE("std_mean", "x:std_mean(-1)", at::std_mean(x, Dims(-1), at::Scalar(1))),
      ORACLE("var_mean", "x:var_mean{correction = 0}", at::var_mean(x, Dims(), at::Scalar(0))),
      ORACLE("norm", "x:norm()", at::norm(x)),
      ORACLE("norm", "x:norm(1, -1)", at::norm(x, 1, {-1}, false)),
      ORACLE("norm", "x:norm{p = 3, dim = -1, keepdim = true}", at::norm(x, 3, {-1}, true)),
      ORACLE("norm", "x:norm(math.huge)", at::norm(x, INFINITY)),
      ORACLE("norm", "x:norm(0)", at::norm(x, 0)),
      ORACLE("prod", "x:prod()", at::prod(x)),
      ORACLE("prod", "x:prod(-1, true)", at::prod(x, -1, true)),
      ORACLE("all", "x:all()", at::all(x)),
      ORACLE("all", "x:lt(1):all{dim = {0, -1}}", at::all(x.lt(1), {0, -1})),
      ORACLE("any", "x:any()", at::any(x)),
      ORACLE("any", "x:gt(1):any(-1, true)", at::any(x.gt(1), -1, true)),
      ORACLE("count_nonzero", "x:count_nonzero()", at::count_nonzero(x)),
      ORACLE("count_nonzero", "k:count_nonzero(-1)", at::count_nonzero(k, at::IntArrayRef{-1})),
      ORACLE("nansum", "x:nansum()", at::nansum(x)),
      ORACLE("nansum", "x:nansum(-1, true)", at::nansum(x, -1, true)),
      ORACLE("nanmean", "x:nanmean{dim = -1}", at::nanmean(x, -1)),
      ORACLE("logsumexp", "x:logsumexp(-1)", at::logsumexp(x, -1)),
      ORACLE("logsumexp", "x:logsumexp{dim = {0, 1}, keepdim = true}",
             at::logsumexp(x, at::IntArrayRef{0, 1}, true)),
  };
}

std::vector<Case> order_cases() {
  return {
      ORACLE("median", "x:median()", at::median(x)),
      ORACLE("median", "x:median(-1)", at::median(x, -1)),
      ORACLE("nanmedian", "x:nanmedian()", at::nanmedian(x)),
      ORACLE("nanmedian", "x:nanmedian{dim = -1, keepdim = true}", at::nanmedian(x, -1, true)),
      ORACLE("quantile", "x:quantile(0.85)", at::quantile(x, 0.85)),
      ORACLE("quantile", "x:quantile(0.3, -1, true)", at::quantile(x, 0.3, -1, true)),
      ORACLE("quantile", "x:quantile(torch.tensor({0, 0.25, 1}), 0)",
             at::quantile(x, at::tensor({0.0, 0.25, 1.0}).to(x.dtype()), 0)),
      ORACLE("quantile", "x:quantile{q = 0.4, interpolation = 'nearest'}",
             at::quantile(x, 0.4, std::nullopt, false, "nearest")),
      ORACLE("nanquantile", "x:nanquantile(0.5, -1)", at::nanquantile(x, 0.5, -1)),
      ORACLE("cumsum", "x:cumsum(-1)", at::cumsum(x, -1)),
      ORACLE("cumsum", "k:cumsum(0)", at::cumsum(k, 0)),
      ORACLE("cumprod", "x:cumprod(-1)", at::cumprod(x, -1)),
      ORACLE("cummax", "x:cummax(-1)", at::cummax(x, -1)),
      ORACLE("cummin", "x:cummin{dim = 0}", at::cummin(x, 0)),
      ORACLE("logcumsumexp", "x:logcumsumexp(-1)", at::logcumsumexp(x, -1)),
      ORACLE("diff", "x:diff()", at::diff(x)),
      ORACLE("diff", "x:diff{n = 2, dim = 0}", at::diff(x, 2, 0)),
      ORACLE("diff", "x:diff(1000)", at::diff(x, 1000)),
      ORACLE("histc", "x:histc(7, -2, 2)", at::histc(x, 7, -2, 2)).no_gradient("LibTorch has none"),
      ORACLE("histc", "y:histc{bins = 4}", at::histc(y, 4)).no_gradient("LibTorch has none"),
      ORACLE("bincount", "k:bincount()", at::bincount(k)),
      ORACLE("bincount", "k:flatten():bincount(nil, 6)", at::bincount(k.flatten(), {}, 6)),
      ORACLE("bincount", "k:flatten():bincount{weights = x:flatten()}",
             at::bincount(k.flatten(), x.flatten()))
          .no_gradient("LibTorch has none"),
      ORACLE("softmax", "x:softmax(-1)", at::softmax(x, -1)).floats_only(),
      ORACLE("softmax", "x:softmax{dim = 0}", at::softmax(x, 0)).floats_only(),
      ORACLE("log_softmax", "x:log_softmax(-1)", at::log_softmax(x, -1)).floats_only(),
      ORACLE("sort", "x:sort()", at::sort(x, true, -1, false)),
      ORACLE("sort", "x:sort{dim = 0, descending = true}", at::sort(x, true, 0, true)),
      ORACLE("sort", "k:sort()", at::sort(k, true, -1, false)),
      ORACLE("argsort", "x:argsort()", at::argsort(x, true, -1)),
      ORACLE("argsort", "k:argsort(-1, true)", at::argsort(k, true, -1, true)),
      ORACLE("topk", "x:topk(2)", at::topk(x, 2)),
      ORACLE("topk", "x:topk{k = 1, dim = 0, largest = false}", at::topk(x, 1, 0, false)),
      ORACLE("topk", "(x:topk{k = 1, sorted = false})",
             std::get<0>(at::topk(x, 1, -1, true, false))),
      ORACLE("kthvalue", "x:kthvalue(1)", at::kthvalue(x, 1)),
      ORACLE("kthvalue", "x:kthvalue{k = 3, dim = -1, keepdim = true}",
             at::kthvalue(x, 3, -1, true)),
      ORACLE("mode", "k:mode()", at::mode(k)),
      ORACLE("mode", "x:round():mode{dim = -1, keepdim = true}", at::mode(x.round(), -1, true)),
  };
}

}  // namespace

std::vector<Case> reduction_cases() {
  std::vector<Case> all = plain_cases();
  const std::vector<Case> more = order_cases();
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace bitloop::lua::oracle
