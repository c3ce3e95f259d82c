// The training step of Transformer on an accelerator, without autograd: the model's forward and
// backward pass written out over DeviceKernels. It computes what Transformer::forward,
// cross-entropy and backward compute with Products::kBfloat16, within the rounding of bfloat16;
// that path stays the oracle; but for int8_gradients.
//
// Everything between two products is bfloat16, the residual stream too; sums of products, norms'
// statistics, losses and the gradients of parameters are float32. A quantised activation is made by
// the kernel that makes the activation: normalised, activated or read once, quantised and stored.
// What products read: activations as codes times scale, rounded to bfloat16; weights with one scale
// as their codes, which bfloat16 holds exactly, other weights as values, rounded. With `integer`,
// int8 codes of both are multiplied as such, which is exact, and both scales follow in float32.
//
// Memory: for each layer 17 rows of D bfloat16 numbers a token.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trainer/kernels/device_kernels.h"
#include "trainer/model/device_batch.h"
#include "trainer/model/training_pass.h"
#include "trainer/model/transformer.h"

namespace bitloop::trainer {

class DeviceTraining : public TrainingPass {
 public:
  // What is in the way of this shape, or empty.
  static std::string refuses(const ModelConfig& config, int64_t B);
  // What is in the way of this candidate, or empty: functions between the kernels.
  static std::string refuses(const lua::Quantizer& quantizer);

  // For micro-batches of B sequences of config.context tokens. All memory is allocated here, on the
  // device where the model's parameters are. `model` and `device` must outlive it.
  // With `int8_gradients` the gradients of the inputs of queries, keys and values, of the
  // attention's projection and of the MLP's first layer are products of int8 where the forward
  // products are.
  DeviceTraining(Transformer& model, int64_t B, kernels::DeviceKernels& device, bool integer,
                 bool int8_gradients = false);
  ~DeviceTraining() override;

  // Captures activation_quant of every layer on rows of this processor; `on_cpu` is the candidate
  // in a state whose tensors are there. Error "not_captured" with the reason.
  Status capture(lua::Quantizer& on_cpu, const ForwardContext& context);

  Status begin_step(const ForwardContext& context) override;
  // Queues its work and waits for nothing; what the device makes of it end_step says.
  Result<at::Tensor> accumulate(const at::Tensor& ids_BT, const at::Tensor& targets_BT,
                                const ForwardContext& context, double share,
                                const Announce& announce = nullptr) override;
  Status end_step(const ForwardContext& context) override;
  // The last norm's (and an untied head's), then each layer's, the last one's first.
  std::vector<std::vector<at::Tensor>> early_gradients() override;
  // A step on zeros, so that every library has started; with `tunes`, the fastest algorithm of each
  // product is looked for and kept. Leaves no gradients. Requires: quantize_weights.
  Status warm(const ForwardContext& context, bool tunes = false);

 private:
  struct Norm;
  struct Linear;
  struct Layer;

  // What end_step looks at.
  struct MicroBatch {
    at::Tensor ids, loss;
  };

  Status judge(const at::Tensor& ids_BT, const ForwardContext& context, bool finite);
  void forward();
  void forward_layer(Layer& layer, const at::Tensor& x_next);
  void head_pass();
  // `below` is the bias's gradient of the linear layer whose output this layer reads.
  void backward_layer(Layer& layer, const at::Tensor& below);
  // Rows of `in` to what the linear layer's product reads.
  void take(Linear& linear, const kernels::RowsIn& in);
  // out (R, N) = the layer's product (+ addend).
  void multiply(Linear& linear, const at::Tensor* addend, const at::Tensor& out);
  // out = codes_ · bᵀ, with the scales of both; `b` are the layer's codes, either way round.
  void multiply_codes(const Linear& linear, const at::Tensor& b, const kernels::Bf16* bias,
                      const kernels::Bf16* addend, const at::Tensor& out);
  // dx (R, K) = dL/dx̂ of dy (R, N) in int8, which no slope follows.
  void multiply_back_in_int8(Linear& linear, const at::Tensor& dy, const at::Tensor& dx);
  // From dy (R, N): dL/dŵ is added to and with `sums_bias` the bias's gradient, dx (R, K) = dL/dx̂,
  // times the slope of GELU at `slope_at` where that is given.
  void backward(Linear& linear, const at::Tensor& dy, const at::Tensor& dx,
                const at::Tensor* slope_at, bool sums_bias);
  void embed_backward();
  std::vector<Linear*> linears();
  // The gradients where the optimiser and finish_weight_gradients look for them.
  void attach_gradients();
  Status check(const char* what);
  at::Tensor empty(at::IntArrayRef shape, at::ScalarType type) const;

  Transformer* model_;
  kernels::DeviceKernels* device_;
  at::Device place_;
  bool integer_, int8_gradients_;
  int64_t B_, T_, R_, D_, V_;
  int64_t head_rows_;  // of a piece of the logits
  std::vector<Layer> layers_;
  std::unique_ptr<Norm> norm_f_;
  std::unique_ptr<Linear> head_;
  DeviceBatch batch_;
  bool first_ = true;             // the next micro-batch is the first of its step
  std::vector<MicroBatch> done_;  // of this step
  float gradient_scale_ = 1.0f;

  at::Tensor x_f_;      // (R, D) the last residual
  at::Tensor logits_;   // (head_rows, V)
  at::Tensor losses_;   // (R) float32
  at::Tensor refused_;  // (kRefusals) int32, not 0 where a program refused rows of a micro-batch
  at::Tensor dresidual_, dnarrow_, dwide_, dqkv_;  // (R, D), (R, D), (R, 4D), (R, 3D)
  std::map<int64_t, std::unique_ptr<kernels::CompiledRows>>
      gradient_rows_;         // by their length, with int8_gradients: to codes and scales
  at::Tensor not_refused_;    // (1) int32: rows that those refuse have no scale, and are noticed so
  at::Tensor codes_, scale_;  // (R, 4D) int8 and (R), with `integer`: of the layer at hand
  at::Tensor dwte_, dwpe_;    // float32
};

}  // namespace bitloop::trainer
