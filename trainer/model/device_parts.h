// The parts of DeviceTraining: norms and linear layers with their memory on the device.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <vector>

#include "trainer/model/captured_inputs.h"
#include "trainer/model/device_step.h"

namespace bitloop::trainer {

inline kernels::Bf16* bits(const at::Tensor& bfloat16) {
  return reinterpret_cast<kernels::Bf16*>(bfloat16.data_ptr<at::BFloat16>());
}

// A LayerNorm with the statistics of its last forward pass.
struct DeviceTraining::Norm {
  const NormLayer* norm;
  at::Tensor mean, rstd;      // (R)
  at::Tensor dweight, dbias;  // (D) float32

  Norm(const DeviceTraining& all, const NormLayer& layer_norm)
      : norm(&layer_norm),
        mean(all.empty({all.R_}, at::kFloat)),
        rstd(all.empty({all.R_}, at::kFloat)),
        dweight(all.empty({all.D_}, at::kFloat)),
        dbias(all.empty({all.D_}, at::kFloat)) {}

  kernels::RowsIn rows(const at::Tensor& x) const {
    return {.kind = kernels::RowsIn::kLayerNorm,
            .x = bits(x),
            .weight = norm->weight.const_data_ptr<float>(),
            .bias = norm->bias.const_data_ptr<float>(),
            .epsilon = static_cast<float>(kNormEpsilon),
            .mean = mean.data_ptr<float>(),
            .rstd = rstd.data_ptr<float>()};
  }
  void begin_step() const {
    dweight.zero_();
    dbias.zero_();
  }
  // dx (R, D) += dL/dx; the columns of the result += to `columns`, which may be undefined.
  void backward(kernels::DeviceKernels& device, const at::Tensor& dy, const at::Tensor& x,
                const at::Tensor& dx, const at::Tensor& columns) const {
    device.layer_norm_backward(bits(dy), bits(x), mean.const_data_ptr<float>(),
                               rstd.const_data_ptr<float>(), norm->weight.const_data_ptr<float>(),
                               x.size(0), x.size(1), bits(dx), dweight.data_ptr<float>(),
                               dbias.data_ptr<float>(),
                               columns.defined() ? columns.data_ptr<float>() : nullptr);
  }
  void attach_gradients() const {
    at::Tensor(norm->weight).mutable_grad() = dweight;
    at::Tensor(norm->bias).mutable_grad() = dbias;
  }
};

// A BitLinear: its weights as the products read them, the activations of the last forward pass, the
// gradients.
struct DeviceTraining::Linear {
  BitLinear* layer;
  int64_t N, K;
  bool integer = false;     // this step's forward product
  at::Tensor weight;        // (N, K) bfloat16: codes, to be multiplied by alpha, or values
  at::Tensor weight_codes;  // (N, K) int8, with `integer`
  at::Tensor codes_back;    // (K, N) int8: the same transposed, for dL/dx of int8, or undefined
  at::Tensor alpha;         // one number, or undefined for 1
  at::Tensor bias;          // (N) bfloat16, or undefined
  at::Tensor value;         // (R, K) bfloat16
  at::Tensor gradient;      // (N, K) float32 of the value: this step's
  at::Tensor dbias;         // (N) float32, or undefined
  std::unique_ptr<kernels::CompiledRows> rows;    // null: rows are only rounded
  std::vector<int> column_inputs, scalar_inputs;  // of the captured graph
  std::shared_ptr<const lua::Graph> graph;
  BoundInputs inputs;  // as they are in this step

  Linear(const DeviceTraining& all, BitLinear& layer);

  // Whether activation_quant of this layer is there and, if so, gets it ready.
  Status capture(lua::Quantizer& on_cpu, const ForwardContext& context,
                 kernels::DeviceKernels& device);
  // After quantize_weights: what the products read.
  Status take_weights(const ForwardContext& context, kernels::DeviceKernels& device,
                      bool wants_integer);
  const float* alpha_data() const {
    return alpha.defined() ? alpha.const_data_ptr<float>() : nullptr;
  }
  void attach_gradients() const;

 private:
  const DeviceTraining* all_;
  at::Tensor own_gradient_;  // undefined for a head that is always the embedding
  at::Tensor value_used_;    // that the weight is rounded from
};

struct DeviceTraining::Layer {
  Norm ln_1, ln_2;
  Linear qkv, proj, fc, mlp;
  at::Tensor x, x_mid;  // (R, D) residual before the attention and before the MLP
  at::Tensor heads;     // (R, 3D) queries, keys, values
  at::Tensor attended;  // (R, D)
  at::Tensor lse;       // (B, H, T) of the rows of attention
  at::Tensor hidden;    // (R, 4D) what GELU reads

  Layer(const DeviceTraining& all, Block& block)
      : ln_1(all, block.ln_1),
        ln_2(all, block.ln_2),
        qkv(all, block.qkv.front()),
        proj(all, block.attn_proj),
        fc(all, block.fc.front()),
        mlp(all, block.mlp_proj),
        x(all.empty({all.R_, all.D_}, at::kBFloat16)),
        x_mid(all.empty({all.R_, all.D_}, at::kBFloat16)),
        heads(all.empty({all.R_, 3 * all.D_}, at::kBFloat16)),
        attended(all.empty({all.R_, all.D_}, at::kBFloat16)),
        lse(all.empty({all.R_ * all.model_->config().heads}, at::kFloat)),
        hidden(all.empty({all.R_, 4 * all.D_}, at::kBFloat16)) {}
};

}  // namespace bitloop::trainer
