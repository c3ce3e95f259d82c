// BitLinear: a linear layer whose weights and activations are quantised by the candidate's
// functions.
//
//   y (R, N) = x̂ (R, K) · ŵ (N, K)ᵀ + b (N),   x̂ = activation value, ŵ = weight value
//
// Weights are quantised once per optimiser step (quantize_weight), activations at every call.
// Backward is straight-through or by the surrogate: dL/dx̂ = dy · ŵ goes to the activations'
// surrogate (or x), dL/dŵ = dyᵀ · x̂ gathers in `used_weight.grad()` over micro-batches and is
// passed on once by finish_weight_gradient. Legend: R rows, N output features, K input features.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "lua/quantizer/quantizer.h"
#include "trainer/model/capture.h"
#include "trainer/model/float_product.h"
#include "trainer/model/quantize.h"
#include "trainer/model/weight_product.h"

namespace bitloop::trainer {

// How products are computed.
enum class Products {
  kExact,     // float32 on values: the oracle of the others
  kFloat32,   // integer forward where codes allow it (exact sums, scales applied in float32: what
              // scores are made with), else float32; float32 backward
  kBfloat16,  // integer forward where codes allow it, else bfloat16; bfloat16 backward, accumulated
              // in float32
};

// Set for the passes that a score is made of, so that it does not rest on probes alone.
// Rows reach activation_quant in an order of their own, drawn anew in every process, and in two
// calls. For a function of single rows that changes no bit; a function that mixes rows gives
// another score in each process, which the repetition then refuses, or, where the order does not
// matter to it (the largest of all), another scale in each call. After every call of the candidate
// its variables are compared with how they were when it was loaded, so nothing can be carried from
// the weights, or from one batch, to another.
struct ScoreGuard {
  at::Tensor order;    // (R) int64, a permutation of the pass's rows; undefined where a task allows
                       // scales across rows
  at::Tensor inverse;  // (R) int64
  int64_t cut = 0;     // rows of the first call; 0: all in one
  std::string digest;  // of the freshly loaded candidate
};

struct BitLinear;
struct ForwardContext;

// weight_quant as programs that a device runs on many layers at once.
class WeightPrograms {
 public:
  virtual ~WeightPrograms() = default;
  // For each layer (null: none is wanted) its operand of integers and scales alone, or nothing
  // where there is no program, or it met what is not allowed. Requires: latent weights are set.
  virtual std::vector<Result<std::optional<Operand>>> pack(std::span<BitLinear* const> layers,
                                                           const ForwardContext& context) = 0;
};

// What a forward pass needs to know beside its tensors.
struct ForwardContext {
  lua::Quantizer* quantizer = nullptr;  // null: all layers are float
  int64_t step = 0;
  int64_t total_steps = 1;
  bool training = false;
  double lambda = 1.0;  // share of quantisation
  Products products = Products::kExact;
  bool packed =
      false;  // float products without gradients by FloatWeight, where its kernel is there
  bool as_stored = false;  // products without gradients by WeightProduct: weights stay packed
  bool captured = false;   // run captured programs in place of the functions where there are any
  WeightPrograms* weight_programs = nullptr;  // likewise, for weights on a device; may be null
  const ScoreGuard* guard = nullptr;
};

struct BitLinear {
  lua::Layer layer;
  at::Tensor weight;      // latent (N, K) float32, learnable
  at::Tensor bias;        // (N) or undefined, learnable
  bool quantized = true;  // false: a float layer (the head, where the task leaves it float)
  std::map<std::string, at::Tensor> params;  // learnable, from Q.init
  std::map<std::string, at::Tensor> state;   // from Q.init and Q.after_step

  // Whether a function of this layer ever returned a surrogate: only then is a graph recorded (see
  // call_recording).
  bool weight_surrogate = false, activation_surrogate = false;

  // The functions as programs, where ForwardContext::captured asks for them.
  Capture weight_capture, activation_capture;

  // Of a packed model: what it stores, which is used in place of weight_quant's and row_bias's
  // results. Such a layer's `weight` holds no numbers, and it can't be trained.
  std::optional<Operand> stored;
  at::Tensor stored_row_bias;  // (N) or undefined
  // In place of `stored` where its codes stay packed (ForwardContext::as_stored is demanded then).
  std::shared_ptr<const WeightProduct> stored_product;

  // Set by quantize_weight for one optimiser step.
  bool weight_program = false;  // made by weight_capture, whose backward takes the gradient
  at::Tensor latent;  // what weight_quant sees: the weight, or its transform (Q.transform)
  Operand kept;       // of Q.requantize_every: the last operand that was made in training
  Operand weight_operand;
  std::shared_ptr<const FloatWeight> packed;  // of the value, for ForwardContext::packed; or null
  std::shared_ptr<const WeightProduct> product;  // for ForwardContext::as_stored; or null
  at::Tensor used_weight;  // leaf (N, K) that products read and dL/dŵ gathers in; the latent weight
                           // for float layers
  at::Tensor row_bias;        // leaf (N) from Q.row_bias; undefined without
  at::Tensor row_bias_graph;  // the same numbers with the graph that leads to the weight and the
                              // parameters
};

// Runs weight_quant for this step and fills weight_operand and used_weight. Errors as
// lua::Quantizer and make_weight_operand.
Status quantize_weight(BitLinear& layer, const ForwardContext& context);
// The same of all these, those with programs in parallel. The error is that of one of the layers.
Status quantize_weights(std::span<BitLinear* const> layers, const ForwardContext& context);

// Runs the integer forward product (and the backward ones) of this layer once on `rows` rows of
// zeros: oneDNN generates code at the first use of a shape, which the narrowed system calls forbid
// later.
void warm_integer_forward(const BitLinear& layer, int64_t rows);
void warm_integer_products(const BitLinear& layer, int64_t rows, Products products);

// Activations (or nothing to quantise): the operand, and the tensor that receives its gradient (x
// itself where gradients pass straight through).
struct Activation {
  Operand operand;
  at::Tensor gate;
};
// Runs activation_quant on x (R, K), which may carry a graph. Without `want_integer`, or where
// there is no integer form, operand.value is there. Errors as above.
Result<Activation> quantize_activation(BitLinear& layer, const at::Tensor& x_RK,
                                       const ForwardContext& context, bool want_integer);

// x (R, K), which may carry a graph -> y (R, N). Errors as above.
Result<at::Tensor> bitlinear_forward(BitLinear& layer, const at::Tensor& x_RK,
                                     const ForwardContext& context);

// Q.regularizer of the weight as it is used in this step: one number, with its graph. Requires:
// has("regularizer"), a quantised weight.
Result<at::Tensor> regularizer(BitLinear& layer, const ForwardContext& context);
// Q.after_step with the codes of this step and the weight after it: replaces the layer's state.
// Requires: has("after_step").
Status after_step(BitLinear& layer, const ForwardContext& context);

// After the last micro-batch: passes dL/dŵ through lambda and the surrogate into weight.grad and
// the parameters' grads.
void finish_weight_gradient(BitLinear& layer, const ForwardContext& context);

}  // namespace bitloop::trainer
