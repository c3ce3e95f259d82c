// The vocabulary of the tests in this folder: load a source, call its functions, look at the
// outcome.
#pragma once

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "lua/quantizer/quantizer.h"

namespace bitloop::lua {

// Small limits, so that a test which needs one to fire is quick. No test asserts a time.
inline Limits small_limits() {
  Limits limits;
  limits.lua_bytes = 16u << 20;
  limits.tensor_bytes = 64u << 20;
  limits.load_seconds = 1.0;
  limits.call_seconds = 1.0;
  limits.instructions = 5'000'000;
  return limits;
}

inline Result<std::unique_ptr<Quantizer>> load(std::string_view source,
                                               const Limits& limits = small_limits()) {
  return Quantizer::load(source, "candidate.lua", limits);
}

// A ternary file whose weight_quant has this body.
inline std::string with_body(std::string_view body) {
  return "local Q = {levels = {-1, 0, 1}}\nfunction Q.weight_quant(w, ctx)\n" + std::string(body) +
         "\nend\nreturn Q\n";
}

// Loads a file and calls weight_quant once on w (a 2 x 3 tensor unless given). What failed, if
// anything.
inline Result<Quantized> quantize(std::string_view source, at::Tensor w = {},
                                  const Limits& limits = small_limits()) {
  BITLOOP_ASSIGN(quantizer, load(source, limits));
  if (!w.defined()) w = at::arange(6, at::kFloat).view({2, 3}) - 2.5;
  return quantizer->weight_quant(w, Context{});
}

// The error of a body, or "" when it ran.
inline Error body_error(std::string_view body, const Limits& limits = small_limits()) {
  const Result<Quantized> result = quantize(with_body(body), {}, limits);
  return result ? Error{} : result.error();
}

// The tensor that an expression of w gives ("w:abs()"); the expression's error fails the test.
inline at::Tensor evaluate(const std::string& expression, at::Tensor w = {}) {
  const Result<Quantized> result = quantize(with_body("return " + expression + ", 1"), w);
  EXPECT_TRUE(result) << expression << ": " << (result ? "" : result.error().message);
  return result ? result->codes : at::Tensor();
}

}  // namespace bitloop::lua
