// Matrix products, and what PyTorch has not: the table bitloop, beside its definition in LibTorch.
#include "tests/lua/oracle.h"

namespace bitloop::lua::oracle {

namespace {

// H / sqrt(n) by Sylvester's rule.
at::Tensor hadamard_matrix(int64_t n, const at::Tensor& like) {
  at::Tensor h = at::ones({1, 1}, like.options().requires_grad(false));
  while (h.size(0) < n) h = at::cat({at::cat({h, h}, 1), at::cat({h, -h}, 1)}, 0);
  return h / std::sqrt(static_cast<double>(n));
}
// Each run of `block` along the last dimension times the matrix.
at::Tensor hadamard(const at::Tensor& x, int64_t block) {
  TORCH_CHECK(x.dim() > 0 && x.size(-1) % block == 0, "block");
  const at::Tensor runs = x.reshape({x.numel() / block, block});
  return at::matmul(runs, hadamard_matrix(block, x)).reshape(x.sizes());
}
// (…, K) as (…, ceil(K / group), group).
at::Tensor blocks(const at::Tensor& x, int64_t group) {
  TORCH_CHECK(x.dim() > 0, "no dimension");
  const int64_t count = (x.size(-1) + group - 1) / group;
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = count;
  shape.push_back(group);
  return at::constant_pad_nd(x, {0, count * group - x.size(-1)}).reshape(shape);
}

}  // namespace

std::vector<Case> matrix_cases() {
  return {
      ORACLE("matmul", "x:matmul(y:transpose(-1, -2))", at::matmul(x, y.transpose(-1, -2))),
      ORACLE("matmul", "x:matmul(y)", at::matmul(x, y)),
      ORACLE("matmul", "x:transpose(0, -1):matmul(y)", at::matmul(x.transpose(0, -1), y)),
      ORACLE("mm", "x:mm(y:t())", at::mm(x, y.t())),
      ORACLE("bmm", "x:bmm(y:transpose(-1, -2))", at::bmm(x, y.transpose(-1, -2))),
      ORACLE("mv", "x:mv(y[0])", at::mv(x, y[0])),
      ORACLE("dot", "x:flatten():dot(y:flatten())", at::dot(x.flatten(), y.flatten())),
      ORACLE("dot", "x:dot(y)", at::dot(x, y)),
      ORACLE("outer", "x:flatten():narrow(0, 0, 1):outer(y:flatten())",
             at::outer(x.flatten().narrow(0, 0, 1), y.flatten())),
      ORACLE("addmm", "torch.addmm(torch.ones(1), x, y:t())",
             at::addmm(at::ones(1, x.options().requires_grad(false)), x, y.t())),
      ORACLE("addmm", "x[0][0]:addmm(x, y:t(), {beta = 0.5, alpha = 2})",
             at::addmm(x[0][0], x, y.t(), 0.5, 2)),
      ORACLE("cdist", "x:cdist(y)", at::cdist(x, y)),
      ORACLE("cdist", "x:cdist(y, 1)", at::cdist(x, y, 1)),
      ORACLE("trace", "x:trace()", at::trace(x)).within(1e-6),
      ORACLE("ste_round", "bitloop.ste_round(x)", at::round(x))
          .floats_only()
          .no_gradient("passes unchanged"),
      ORACLE("autograd", "bitloop.autograd(torch.square, function(g, v) return 2 * g * v end)(x)",
             at::square(x))
          .floats_only(),
      ORACLE("autograd",
             "bitloop.autograd{forward = function(a, b) return a * b end,"
             "  backward = function(g, a, b) return g * b, g * a end}(x, y)",
             x * y),
      ORACLE("hadamard", "bitloop.hadamard(x, 1)", hadamard(x, 1)),
      ORACLE("hadamard", "bitloop.hadamard(bitloop.blocks(x, 4), 4)", hadamard(blocks(x, 4), 4))
          .within(1e-6),
      ORACLE("hadamard", "bitloop.hadamard(x, 2)", hadamard(x, 2)).within(1e-6),
      ORACLE("blocks", "bitloop.blocks(x, 3)", blocks(x, 3)),
      ORACLE("blocks", "bitloop.blocks(k, 128)", blocks(k, 128)),
      ORACLE("unblocks", "bitloop.unblocks(bitloop.blocks(x, 2), x:size(-1))",
             x + at::zeros(x.size(-1), x.options().requires_grad(false))),
  };
}

}  // namespace bitloop::lua::oracle
