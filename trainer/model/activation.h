// Activations of the fused training step, from the rows that a kernel produces to what products
// read. Legend: R rows, K input features.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <type_traits>

#include "trainer/model/bitlinear.h"

namespace bitloop::trainer {

// Writes rows [first, first + count) of an activation to `out` (count, K). Called from several
// threads on different rows, and perhaps twice for a row. Refers to the callable it was made of,
// which must outlive it.
class RowProducer {
 public:
  template <typename Call>
  requires(!std::is_same_v<std::remove_cvref_t<Call>, RowProducer>)
      RowProducer(const Call& call)  // NOLINT: implicit, so that a lambda can be passed
      : object_(std::addressof(call)),
        call_([](const void* object, int64_t first, int64_t count, float* out) {
          (*static_cast<const Call*>(object))(first, count, out);
        }) {}

  void operator()(int64_t first, int64_t count, float* out) const {
    call_(object_, first, count, out);
  }

 private:
  const void* object_;
  void (*call_)(const void*, int64_t, int64_t, float*);
};

// What the products of a layer read. Buffers are the caller's and reused; either form is complete
// in itself.
struct PackedActivation {
  bool integer = false;
  at::Tensor int8;      // integer: codes (R, K), contiguous
  at::Tensor scale;     // integer: (R) or (1) float32; x̂ = int8 * scale
  at::Tensor bfloat16;  // else: values (R, K), contiguous
};

// The way of a gradient from x̂ back to x: the identity, the graph that a surrogate left, or the
// program of a captured one.
struct ActivationGradient {
  at::Tensor input;            // x (R, K), a leaf; undefined for the identity
  at::Tensor gate;             // what stands for x̂ in backward
  BitLinear* layer = nullptr;  // whose activation_capture takes the gradient

  bool identity() const { return !gate.defined() && layer == nullptr; }
  // Makes dL/dx (R, K) of dL/dx̂, float32 and contiguous, in its place. Gradients of parameters on
  // the way gather in theirs. The candidate's own backward functions report errors by
  // lua::BackwardError.
  void pass(const at::Tensor& gradient_RK) const;
};

// The same in parts, by threads that don't wait for each other: whether this layer's rows are
// quantised each for itself, by a captured program that goes over them once, or are only rounded.
// If so, makes room for all `rows` in `packed` and sets `gradient`.
bool begin_activation_rows(BitLinear& layer, int64_t rows, const ForwardContext& context,
                           PackedActivation& packed, ActivationGradient& gradient);
// Rows [begin, end) of them; several threads at a time, each with its own. False where a code or a
// scale is not allowed: quantize_activation_rows says which. Requires: begin_activation_rows.
bool take_activation_rows(BitLinear& layer, const RowProducer& produce, int64_t begin, int64_t end,
                          const ForwardContext& context, PackedActivation& packed,
                          const ActivationGradient& gradient);

// Runs the candidate's activation_quant for this layer on the rows of `produce`, checks what it
// returned as make_activation_operand does, and fills `packed`; a layer whose activations stay
// float gets its rows rounded to bfloat16. The integer form is made only where the layer's weights
// have one too. Honours context.lambda. Errors as bitlinear_forward's.
Status quantize_activation_rows(BitLinear& layer, const RowProducer& produce, int64_t rows,
                                const ForwardContext& context, PackedActivation& packed,
                                ActivationGradient& gradient);

}  // namespace bitloop::trainer
