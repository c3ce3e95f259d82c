// New tensors, shapes, picking elements, types and Lua values.
#include "tests/lua/oracle.h"

namespace bitloop::lua::oracle {

namespace {

using at::kFloat;

// A list can't say which sizes come after one that is 0.
at::Tensor as_list(const at::Tensor& x) {
  return x.dim() && x.size(0) == 0 ? at::zeros({0}) : x.detach();
}

std::vector<Case> new_tensor_cases() {
  return {
      ORACLE("zeros", "torch.zeros(2, 3)", at::zeros({2, 3})),
      ORACLE("zeros", "torch.zeros(x:shape())", at::zeros(x.sizes())),
      ORACLE("ones", "torch.ones({2, 0})", at::ones({2, 0})),
      ORACLE("full", "torch.full({2}, 0.5)", at::full({2}, 0.5)),
      ORACLE("full", "torch.full{size = x:size(), fill_value = -1}", at::full(x.sizes(), -1.0)),
      ORACLE("zeros_like", "torch.zeros_like(k)", at::zeros(x.sizes())),
      ORACLE("ones_like", "torch.ones_like(x)", at::ones(x.sizes())),
      ORACLE("full_like", "torch.full_like(x, 7)", at::full(x.sizes(), 7.0)),
      ORACLE("tensor", "torch.tensor({{1, 2}, {3, 4.5}})",
             at::tensor({1.0, 2.0, 3.0, 4.5}).view({2, 2}).to(kFloat)),
      ORACLE("tensor", "torch.tensor(x:tolist())", as_list(x)).floats_only().no_gradient("cuts it"),
      ORACLE("tensor", "torch.tensor({})", at::zeros({0})),
      ORACLE("arange", "torch.arange(5)", at::arange(5, kFloat)),
      ORACLE("arange", "torch.arange(2, -1, -0.5)", at::arange(2, -1, -0.5, kFloat)),
      ORACLE("linspace", "torch.linspace(-1, 2, 7)", at::linspace(-1, 2, 7, kFloat)),
      ORACLE("linspace", "torch.linspace{start = 0, stop = 1, steps = 0}", at::zeros({0})),
      ORACLE("eye", "torch.eye(3)", at::eye(3)),
      ORACLE("eye", "torch.eye(2, 3)", at::eye(2, 3)),
  };
}

std::vector<Case> view_cases() {
  return {
      ORACLE("size", "x:size()", list(x.sizes())),
      ORACLE("size", "x:size(-1)", x.size(-1)),
      ORACLE("shape", "x:shape()", list(x.sizes())),
      ORACLE("dim", "x:dim()", x.dim()),
      ORACLE("numel", "x:numel()", x.numel()),
      ORACLE("view", "x:view(-1)", x.view(-1)),
      ORACLE("view", "x:view({1, -1, 1})", x.view({1, -1, 1})),
      ORACLE("view", "x:transpose(0, 1):view(-1)", x.transpose(0, 1).view(-1)),
      ORACLE("reshape", "x:transpose(0, -1):reshape(-1)", x.transpose(0, -1).reshape(-1)),
      ORACLE("reshape", "x:reshape(5, -1)", x.reshape({5, -1})),
      ORACLE("view_as", "x:flatten():view_as(y)", x.flatten().view_as(y)),
      ORACLE("flatten", "x:flatten()", at::flatten(x)),
      ORACLE("flatten", "x:flatten{start_dim = 1}", at::flatten(x, 1)),
      ORACLE("unflatten", "x:flatten():unflatten(0, {-1, 1})",
             at::unflatten(x.flatten(), 0, {-1, 1})),
      ORACLE("permute", "x:permute(1, 0)", x.permute({1, 0})),
      ORACLE("permute", "x:permute({2, 0, 1})", x.permute({2, 0, 1})),
      ORACLE("transpose", "x:transpose(0, -1)", x.transpose(0, -1)),
      ORACLE("t", "x:t()", at::t(x)),
      ORACLE("movedim", "x:movedim(0, -1)", at::movedim(x, 0, -1)),
      ORACLE("movedim", "x:movedim({0, 1}, {-1, 0})", at::movedim(x, {0, 1}, {-1, 0})),
      ORACLE("unsqueeze", "x:unsqueeze(-1)", x.unsqueeze(-1)),
      ORACLE("squeeze", "x:squeeze()", x.squeeze()),
      ORACLE("squeeze", "x:squeeze(-1)", x.squeeze(-1)),
      ORACLE("squeeze", "x:unsqueeze(0):unsqueeze(0):squeeze({0, 1})", x),
      ORACLE("expand", "x:unsqueeze(0):expand(3, -1)", x.unsqueeze(0).expand({3, -1})),
      ORACLE("expand_as", "x:select(-1, 0):unsqueeze(-1):expand_as(y)",
             x.select(-1, 0).unsqueeze(-1).expand_as(y)),
      ORACLE("broadcast_to", "x:unsqueeze(-1):broadcast_to({7, 1})",
             at::broadcast_to(x.unsqueeze(-1), {7, 1})),
      ORACLE("contiguous", "x:transpose(0, -1):contiguous():view(-1)",
             x.transpose(0, -1).contiguous().view(-1)),
  };
}

std::vector<Case> joining_cases() {
  return {
      ORACLE("tile", "x:tile(2)", at::tile(x, {2})),
      ORACLE("tile", "x:tile({2, 1, 3})", at::tile(x, {2, 1, 3})),
      ORACLE("repeat_interleave", "x:repeat_interleave(3)", at::repeat_interleave(x, 3)),
      ORACLE("repeat_interleave", "x:repeat_interleave{repeats = 2, dim = -1}",
             at::repeat_interleave(x, 2, -1)),
      ORACLE("cat", "torch.cat({x, y})", at::cat({x, y})),
      ORACLE("cat", "torch.cat({x, y, x}, -1)", at::cat({x, y, x}, -1)),
      ORACLE("cat", "torch.cat({x:gt(0), y:gt(1)})", at::cat({x.gt(0), y.gt(1)})),
      ORACLE("cat", "torch.cat({x:gt(0), y})", at::cat({x.gt(0), y})),
      ORACLE("stack", "torch.stack({x, y})", at::stack({x, y})),
      ORACLE("stack", "torch.stack{tensors = {x, y}, dim = -1}", at::stack({x, y}, -1)),
      ORACLE("stack", "torch.stack({x:gt(0), y:gt(1)})", at::stack({x.gt(0), y.gt(1)})),
      ORACLE("chunk", "x:chunk(2)", at::chunk(x, 2)),
      ORACLE("chunk", "x:chunk{chunks = 3, dim = -1}", at::chunk(x, 3, -1)),
      ORACLE("split", "x:split(2)", at::split(x, 2)),
      ORACLE("split", "x:split({1, 2}, 0)", at::split_with_sizes(x, {1, 2}, 0)),
      ORACLE("unbind", "x:unbind()", at::unbind(x)),
      ORACLE("unbind", "x:unbind(-1)", at::unbind(x, -1)),
      ORACLE("flip", "x:flip(-1)", at::flip(x, -1)),
      ORACLE("flip", "x:flip({0, 1})", at::flip(x, {0, 1})),
      ORACLE("roll", "x:roll(2)", at::roll(x, 2)),
      ORACLE("roll", "x:roll({1, -1}, {0, 1})", at::roll(x, {1, -1}, {0, 1})),
      ORACLE("pad", "x:pad({1, 2})", at::constant_pad_nd(x, {1, 2})),
      ORACLE("pad", "x:pad{pad = {0, 0, 1, 0}, value = 9}",
             at::constant_pad_nd(x, {0, 0, 1, 0}, 9)),
      ORACLE("pad", "x:pad({-1, 0})", at::constant_pad_nd(x, {-1, 0})),
      ORACLE("unfold", "x:unfold(-1, 2, 1)", x.unfold(-1, 2, 1)),
      ORACLE("tril", "x:tril()", at::tril(x)),
      ORACLE("tril", "x:gt(0):tril(-1)", at::tril(x.gt(0), -1)),
      ORACLE("triu", "x:triu(1)", at::triu(x, 1)),
      ORACLE("diag", "x:diag()", at::diag(x)),
      ORACLE("diag", "x:flatten():narrow(0, 0, 1):diag(-2)",
             at::diag(x.flatten().narrow(0, 0, 1), -2)),
      ORACLE("diagonal", "x:diagonal()", at::diagonal(x)),
      ORACLE("diagonal", "x:diagonal{offset = 1, dim1 = -2, dim2 = -1}",
             at::diagonal(x, 1, -2, -1)),
  };
}

std::vector<Case> picking_cases() {
  return {
      ORACLE("select", "x:select(-1, 0)", x.select(-1, 0)),
      ORACLE("select", "x[0]", x.select(0, 0)),
      ORACLE("select", "x[-1]", x.select(0, -1)),
      ORACLE("select", "x[2]", x.select(0, 2)),
      ORACLE("narrow", "x:narrow(-1, 1, 2)", x.narrow(-1, 1, 2)),
      ORACLE("narrow", "x:narrow{dim = 0, start = 0, length = 0}", x.narrow(0, 0, 0)),
      ORACLE("index_select", "x:index_select(-1, k:flatten())",
             at::index_select(x, -1, k.flatten())),
      ORACLE("index_select", "x:index_select(0, torch.tensor({2, 0, 2}))",
             at::index_select(x, 0, at::tensor({2, 0, 2}))),
      ORACLE("gather", "x:gather(-1, k)", at::gather(x, -1, k)),
      ORACLE("gather", "x:gt(0):gather(-1, k)", at::gather(x.gt(0), -1, k)),
      ORACLE("take_along_dim", "x:take_along_dim(x:argmax{dim = -1, keepdim = true}, -1)",
             at::take_along_dim(x, at::argmax(x, -1, true), -1)),
      ORACLE("take_along_dim", "x:take_along_dim(k)", at::take_along_dim(x, k)),
      ORACLE("take", "x:take(k)", at::take(x, k)),
      ORACLE("masked_fill", "x:masked_fill(x:gt(0), -1)", at::masked_fill(x, x.gt(0), -1)),
      ORACLE("masked_fill", "x:masked_fill(k, x:sum())",
             at::masked_fill(x, k.to(at::kBool), x.sum())),
      ORACLE("scatter", "x:scatter(-1, k:flip(-1), 5)", at::scatter(x, -1, k.flip(-1), 5)),
      ORACLE("scatter", "x:scatter(-1, y:argsort(), y)", at::scatter(x, -1, y.argsort(true), y)),
      ORACLE("scatter_add", "x:scatter_add(-1, k, y)", at::scatter_add(x, -1, k, y)),
      ORACLE("index_add", "x:index_add(-1, torch.arange(y:size(-1)), y, 0.5)",
             at::index_add(x, -1, at::arange(y.size(-1), at::kLong), y, 0.5)),
      ORACLE("searchsorted", "y:flatten():cumsum(0):searchsorted(x)",
             at::searchsorted(y.flatten().cumsum(0), x)),
      ORACLE("searchsorted", "y:cumsum(-1):searchsorted(x)", at::searchsorted(y.cumsum(-1), x)),
      ORACLE("searchsorted", "x:sort():searchsorted(y)",
             at::searchsorted(std::get<0>(x.sort()).to(kFloat), y)),
      ORACLE("searchsorted", "torch.searchsorted(torch.arange(3), 1)", at::full({}, 1, at::kLong)),
      ORACLE("searchsorted", "torch.searchsorted(torch.arange(3), x:round(), {right = true})",
             at::searchsorted(at::arange(3, x.options()), x.round(), false, true)),
      ORACLE("bucketize", "x:bucketize(torch.tensor({-1, 0, 1}))",
             at::bucketize(x, at::tensor({-1.0, 0.0, 1.0}).to(x.dtype()))),
      ORACLE("bucketize", "torch.bucketize(1, torch.arange(3), true)", at::full({}, 2, at::kLong)),
      ORACLE("one_hot", "k:one_hot(130)", at::one_hot(k, 130).to(kFloat)),
  };
}

std::vector<Case> conversion_cases() {
  return {
      ORACLE("item", "x:sum():item()", x.sum().item<double>()).no_gradient("cuts it"),
      ORACLE("item", "x:item()", x.item<double>()).no_gradient("cuts it"),
      ORACLE("tolist", "x:tolist()", as_list(x)).floats_only().no_gradient("cuts it"),
      ORACLE("dtype", "x:dtype() == 'float32'", true).floats_only(),
      ORACLE("dtype", "k:dtype() == 'int64' and x:gt(0):dtype() == 'bool'", true),
      ORACLE("float", "x:float()", x).floats_only(),
      ORACLE("float", "k:float()", k.to(kFloat)),
      ORACLE("int", "x:clamp(-9, 9):nan_to_num():int()",
             at::nan_to_num(x.clamp(-9, 9)).to(at::kLong)),
      ORACLE("bool", "x:bool()", x.to(at::kBool)),
      ORACLE("type_as", "k:type_as(x)", k.to(kFloat)).floats_only(),
      ORACLE("type_as", "k:type_as(x:gt(0))", k.to(at::kBool)),
      ORACLE("detach", "x:detach()", x.detach()).no_gradient("cuts it"),
      ORACLE("clone", "x:clone()", x.clone()),
      ORACLE("requires_grad", "x:detach():requires_grad()", false),
  };
}

}  // namespace

std::vector<Case> shape_cases() {
  std::vector<Case> all = new_tensor_cases();
  for (const auto& more : {view_cases(), joining_cases(), picking_cases(), conversion_cases()})
    all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace bitloop::lua::oracle
