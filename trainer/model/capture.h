// A quantising function of one layer as a captured program (design section 4): recorded on its
// first call, compared with the eager function there and then, run instead of it afterwards.
// What can't be captured, or did not agree, stays eager, with the reason. Training only: scores and
// audits are eager always.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "lua/capture/lower.h"
#include "lua/quantizer/quantizer.h"
#include "trainer/model/program_inputs.h"

namespace bitloop::trainer {

// Gradients of what a surrogate was computed from.
struct SurrogateGradient {
  at::Tensor argument;    // the argument's shape; undefined where none arrives
  NamedTensorMap params;  // the parameters' shapes; those that autograd would give one
};

class CapturedFunction {
 public:
  // Lowers the graph, its surrogate's gradient too. Error "not_captured" with the reason.
  static Result<CapturedFunction> make(std::shared_ptr<const lua::Graph> graph);
  // The same without a surrogate, only of steps that LibTorch rounds as they do: the function's
  // very bits. Nothing where there are others, or where it doesn't stream.
  static std::optional<CapturedFunction> make_exact(std::shared_ptr<const lua::Graph> graph);

  // Codes, scale and offset of x (R, K) as the function would return them, without a surrogate.
  lua::Quantized operator()(const at::Tensor& x_RK, const NamedTensorMap& params,
                            const NamedTensorMap& state) const;

  // The same without a matrix in memory: `source` fills rows [first, first + count) of x; codes of
  // these rows go to `sink`, several threads at a time, with their scales where there is one for
  // each (else null); the scales come back as one tensor. Requires: streams().
  using Source = std::function<void(int64_t first, int64_t count, float* rows)>;
  using RowSink =
      std::function<void(int64_t first, int64_t count, const float* codes, const float* scales)>;
  at::Tensor stream(int64_t rows, int64_t columns, const Source& source, const RowSink& sink,
                    const NamedTensorMap& params, const NamedTensorMap& state) const;
  // As operator(), with the codes to `sink`, several threads at a time; returns all but them.
  using CodeSink = std::function<void(int64_t first, int64_t count, const float* codes)>;
  lua::Quantized pass_codes(const at::Tensor& x_RK, const CodeSink& sink,
                            const NamedTensorMap& params, const NamedTensorMap& state) const;
  // Whether one pass over whole rows does it: no sum over all rows, no groups, no offset, one scale
  // a row or one for all.
  bool streams() const;
  // Then: whether there is a scale for each row, or one for all.
  bool scales_rows() const {
    return forward_.program.outputs[1].shape == kernels::Output::kRowShape;
  }

  // Whether all codes are whole numbers in [low, high] by their last step, or NaN.
  bool makes_whole_codes(float low, float high) const;

  bool has_surrogate() const { return gradient_.has_value(); }
  // dL/dargument and dL/dparams from dL/dvalue. dL/dargument is written over gradient_RK, which is
  // contiguous, where `in_place` and one walk make that possible. Requires: has_surrogate().
  SurrogateGradient backward(const at::Tensor& x_RK, const at::Tensor& gradient_RK,
                             const NamedTensorMap& params, const NamedTensorMap& state,
                             bool in_place = false) const;

  const lua::Graph& graph() const { return *graph_; }
  const lua::LoweredProgram& forward() const { return forward_; }

 private:
  struct Gradient {
    lua::Graph graph;
    lua::LoweredProgram program;
    std::vector<std::string> params;   // by output, after the argument's; "" is the argument
    std::vector<std::string> columns;  // by column output
    std::vector<std::string> zeros;    // 0 everywhere; "" is the argument
  };
  std::shared_ptr<const lua::Graph> graph_;
  lua::LoweredProgram forward_;
  std::optional<Gradient> gradient_;
};

// What is known of one function of one layer.
struct Capture {
  enum State : uint8_t { kUntried, kCaptured, kEager } state = kUntried;
  std::string reason;  // why eager
  std::vector<int64_t> shape;
  std::optional<CapturedFunction> function;
};

// A quantising function as Capture needs it: lua::Quantizer::weight_quant or activation_quant of
// one layer.
using QuantizingFunction =
    std::function<Result<lua::Quantized>(const at::Tensor&, lua::Recording*)>;

// As try_capture, where that was not tried yet for x's shape.
Status capture_once(Capture& capture, const QuantizingFunction& function, const at::Tensor& x_RK,
                    const NamedTensorMap& params, const NamedTensorMap& state);

// Records `function` on x, and compares the program with it on x and on other numbers, the
// surrogate's gradient too. Sets `capture` to captured or eager; an Error is the function's own.
Status try_capture(Capture& capture, const QuantizingFunction& function, const at::Tensor& x_RK,
                   const NamedTensorMap& params, const NamedTensorMap& state);

// The function as a program that gives its bits for a row by itself, recorded on several rows;
// nothing where there is none. An Error is the function's own.
Result<std::optional<CapturedFunction>> capture_exactly(const QuantizingFunction& function,
                                                        const at::Tensor& x_RK,
                                                        const NamedTensorMap& params,
                                                        const NamedTensorMap& state);

}  // namespace bitloop::trainer
