// Every operation beside LibTorch: tables of {operation, Lua expression, LibTorch expression}. A
// case is called with tensors of many shapes and contents: the two agree in shape, type and every
// number, or both refuse. Gradients are compared with central differences of the LibTorch
// expression in float64. oracle_test.cpp does it.
//
// In both expressions: x is the tensor under test; y has x's shape and numbers from 0.4 to 1.9; k
// has x's shape and holds places along its last dimension (int64).
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

namespace bitloop::lua::oracle {

// What an expression gives: tensors, or one Lua number, boolean (0 or 1) or list.
struct Results {
  std::vector<at::Tensor> tensors;
  Results(at::Tensor one) : tensors{std::move(one)} {}
  Results(std::tuple<at::Tensor, at::Tensor> two) : tensors{std::get<0>(two), std::get<1>(two)} {}
  Results(std::vector<at::Tensor> all) : tensors(std::move(all)) {}
  template <typename Number>
  requires std::is_arithmetic_v<Number> Results(Number value)
      : tensors{at::scalar_tensor(static_cast<double>(value), at::kFloat)} {}
};

using Function = Results (*)(const at::Tensor& x, const at::Tensor& y, const at::Tensor& k);

struct Case {
  std::string operation, expression;
  Function expected;
  double low = -2.03, high = 1.97;    // where x is when gradients are compared
  double tolerance = 0;               // of numbers, relative to the largest; 0: bit by bit
  bool whole = true;                  // x may be int64
  std::string without_gradient = {};  // why the gradient is not that of the numbers

  Case in(double from, double to) const {
    Case changed = *this;
    changed.low = from;
    changed.high = to;
    return changed;
  }
  Case within(double relative) const {
    Case changed = *this;
    changed.tolerance = relative;
    return changed;
  }
  Case floats_only() const {
    Case changed = *this;
    changed.whole = false;
    return changed;
  }
  Case no_gradient(std::string reason) const {
    Case changed = *this;
    changed.without_gradient = std::move(reason);
    return changed;
  }
};

// A list as a tensor: the sizes of x.
inline at::Tensor list(at::IntArrayRef values) {
  return at::tensor(std::vector<double>(values.begin(), values.end())).to(at::kFloat);
}
// The number as a tensor of x's type, which does not widen it.
inline at::Tensor number(double value, const at::Tensor& x) {
  return at::scalar_tensor(value, x.options());
}

#define ORACLE(operation, expression, ...)                                             \
  Case {                                                                               \
    operation, expression,                                                             \
        [](const at::Tensor& x, const at::Tensor& y, const at::Tensor& k) -> Results { \
          (void)x, (void)y, (void)k;                                                   \
          return __VA_ARGS__;                                                          \
        }                                                                              \
  }

std::vector<Case> elementwise_cases();  // oracle_elementwise.cpp
std::vector<Case> reduction_cases();    // oracle_reductions.cpp: and sorting
std::vector<Case> shape_cases();        // oracle_shapes.cpp: and new tensors, picking, conversions
std::vector<Case> matrix_cases();       // oracle_matrices.cpp: and the table bitloop

}  // namespace bitloop::lua::oracle
