#include "trainer/model/functions.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <optional>

#include "trainer/kernels/attention.h"
#include "trainer/kernels/gelu.h"
#include "trainer/kernels/rms_norm.h"
#include "trainer/kernels/spans.h"
#include "trainer/kernels/swiglu.h"

namespace bitloop::trainer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Gelu : torch::autograd::Function<Gelu> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x) {
    ctx->save_for_backward({x});
    const at::Tensor y = at::empty_like(x);
    kernels::gelu_forward(x.const_data_ptr<float>(), y.data_ptr<float>(), x.numel());
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor x = ctx->get_saved_variables()[0];
    const at::Tensor dy = grads[0].contiguous();
    const at::Tensor dx = at::empty_like(x);
    kernels::gelu_backward(dy.const_data_ptr<float>(), x.const_data_ptr<float>(),
                           dx.data_ptr<float>(), x.numel());
    return {dx};
  }
};

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            double epsilon) {
    const at::Tensor y = at::empty_like(x), rstd = at::empty({x.size(0)}, x.options());
    kernels::rms_norm_forward(x.const_data_ptr<float>(), weight.const_data_ptr<float>(), x.size(0),
                              x.size(1), epsilon, y.data_ptr<float>(), rstd.data_ptr<float>());
    ctx->save_for_backward({x, weight, rstd});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor dy = grads[0].contiguous(), dx = at::empty_like(saved[0]),
                     dweight = at::empty_like(saved[1]);
    kernels::rms_norm_backward(dy.const_data_ptr<float>(), saved[0].const_data_ptr<float>(),
                               saved[2].const_data_ptr<float>(), saved[1].const_data_ptr<float>(),
                               dy.size(0), dy.size(1), dx.data_ptr<float>(),
                               dweight.data_ptr<float>());
    return {dx, dweight, at::Tensor()};
  }
};

struct SwiGlu : torch::autograd::Function<SwiGlu> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate, const at::Tensor& up) {
    ctx->save_for_backward({gate, up});
    const at::Tensor y = at::empty_like(gate);
    kernels::swiglu_forward(gate.const_data_ptr<float>(), up.const_data_ptr<float>(),
                            y.data_ptr<float>(), y.numel());
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor dy = grads[0].contiguous(), dgate = at::empty_like(dy),
                     dup = at::empty_like(dy);
    kernels::swiglu_backward(dy.const_data_ptr<float>(), saved[0].const_data_ptr<float>(),
                             saved[1].const_data_ptr<float>(), dgate.data_ptr<float>(),
                             dup.data_ptr<float>(), dy.numel());
    return {dgate, dup};
  }
};

struct Attention : torch::autograd::Function<Attention> {
  static kernels::AttentionShape shape_of(const at::Tensor& qkv, int64_t heads) {
    return {qkv.size(0), qkv.size(1), heads, qkv.size(2) / 3 / heads};
  }
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& qkv, int64_t heads) {
    const kernels::AttentionShape shape = shape_of(qkv, heads);
    const at::Tensor out = at::empty({shape.B, shape.T, shape.H * shape.S}, qkv.options());
    const at::Tensor lse = at::empty({shape.B, shape.H, shape.T}, qkv.options());
    kernels::attention_forward(qkv.const_data_ptr<float>(), shape, out.data_ptr<float>(),
                               lse.data_ptr<float>());
    ctx->saved_data["heads"] = heads;
    ctx->save_for_backward({qkv, out, lse});
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor dout = grads[0].contiguous();
    const at::Tensor dqkv = at::empty_like(saved[0]);
    kernels::attention_backward(saved[0].const_data_ptr<float>(), saved[1].const_data_ptr<float>(),
                                saved[2].const_data_ptr<float>(), dout.const_data_ptr<float>(),
                                shape_of(saved[0], ctx->saved_data["heads"].toInt()),
                                dqkv.data_ptr<float>());
    return {dqkv, at::Tensor()};
  }
};

}  // namespace

at::Tensor gelu_tanh(const at::Tensor& x) {
  return x.is_cpu() ? Gelu::apply(x.contiguous()) : at::gelu(x, "tanh");
}

at::Tensor rms_norm(const at::Tensor& x_RD, const at::Tensor& weight_D, double epsilon) {
  if (x_RD.is_cpu()) return RmsNorm::apply(x_RD.contiguous(), weight_D, epsilon);
  return x_RD * at::rsqrt(x_RD.square().mean(-1, /*keepdim=*/true) + epsilon) * weight_D;
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  return gate.is_cpu() ? SwiGlu::apply(gate.contiguous(), up.contiguous()) : at::silu(gate) * up;
}

namespace {

// Operations that have a form which is the same in every run take it, and those that have none are
// refused, while this lives.
class StrictlyDeterministic {
 public:
  StrictlyDeterministic() { context_.setDeterministicAlgorithms(true, /*warn_only=*/false); }
  ~StrictlyDeterministic() { context_.setDeterministicAlgorithms(before_, warned_); }
  StrictlyDeterministic(const StrictlyDeterministic&) = delete;
  StrictlyDeterministic& operator=(const StrictlyDeterministic&) = delete;

 private:
  at::Context& context_ = at::globalContext();
  const bool before_ = context_.deterministicAlgorithms(),
             warned_ = context_.deterministicAlgorithmsWarnOnly();
};

// (B, T, 3 D) as queries, keys and values (3, B, H, T, S).
at::Tensor split_heads(const at::Tensor& qkv_BTC, int64_t heads) {
  const int64_t B = qkv_BTC.size(0), T = qkv_BTC.size(1), D = qkv_BTC.size(2) / 3;
  return qkv_BTC.view({B, T, 3, heads, D / heads}).permute({2, 0, 3, 1, 4});
}

constexpr int64_t kAlignment = 4;  // of a head's size, in LibTorch's kernels of float32

// LibTorch's attention on CUDA that keeps no (T, T) matrix. Its products are of float32, each as
// three of TF32, which lose little more than float32 does. Of itself its backward adds in whatever
// order the GPU comes to; only where that is refused does it add in one.
struct CudaAttention : torch::autograd::Function<CudaAttention> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& qkv_BTC, int64_t heads) {
    const at::Tensor qkv = split_heads(qkv_BTC, heads);
    const auto [y, lse, seed, offset] = at::_scaled_dot_product_efficient_attention(
        qkv[0], qkv[1], qkv[2], std::nullopt, /*compute_log_sumexp=*/true, 0.0, /*is_causal=*/true);
    ctx->saved_data["heads"] = heads;
    ctx->save_for_backward({qkv_BTC, y, lse, seed, offset});
    return y.transpose(1, 2).reshape({qkv_BTC.size(0), qkv_BTC.size(1), -1});
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const int64_t heads = ctx->saved_data["heads"].toInt();
    const int64_t B = saved[0].size(0), T = saved[0].size(1), C = saved[0].size(2);
    const at::Tensor qkv = split_heads(saved[0], heads);
    const at::Tensor dy = grads[0].reshape({B, T, heads, C / 3 / heads}).transpose(1, 2);
    const StrictlyDeterministic strict;
    const auto [dq, dk, dv, dbias] = at::_scaled_dot_product_efficient_attention_backward(
        dy, qkv[0], qkv[1], qkv[2], at::Tensor(), saved[1], saved[2], saved[3], saved[4], 0.0,
        {true, true, true, false}, /*is_causal=*/true);
    const at::Tensor dqkv = at::stack({dq, dk, dv});  // (3, B, H, T, S)
    return {dqkv.permute({1, 3, 0, 2, 4}).reshape({B, T, C}), at::Tensor()};
  }
};

// By LibTorch: with a mask, or causal without one.
at::Tensor attention(const at::Tensor& qkv_BTC, int64_t heads,
                     const std::optional<at::Tensor>& mask) {
  const int64_t B = qkv_BTC.size(0), T = qkv_BTC.size(1), D = qkv_BTC.size(2) / 3;
  const at::Tensor qkv = split_heads(qkv_BTC, heads);
  const at::Tensor y = at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], mask, 0.0,
                                                        /*is_causal=*/!mask.has_value());
  return y.transpose(1, 2).reshape({B, T, D});
}

}  // namespace

at::Tensor masked_attention(const at::Tensor& qkv_BTC, int64_t heads, const at::Tensor& mask_B1TT) {
  return attention(qkv_BTC, heads, mask_B1TT);
}

at::Tensor causal_attention(const at::Tensor& qkv_BTC, int64_t heads) {
  const kernels::Span span("forward", "attention");
  const int64_t B = qkv_BTC.size(0), T = qkv_BTC.size(1), D = qkv_BTC.size(2) / 3;
  if (kernels::attention_supported({B, T, heads, D / heads}) && qkv_BTC.device().is_cpu())
    return Attention::apply(qkv_BTC.contiguous(), heads);
  if (qkv_BTC.is_cuda() && D / heads % kAlignment == 0)
    return CudaAttention::apply(qkv_BTC.contiguous(), heads);
  return attention(qkv_BTC, heads, std::nullopt);
}

at::Tensor attention_of_one(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values,
                            int64_t heads, int64_t key_heads) {
  const int64_t T = keys.size(0), G = key_heads, S = q.numel() / heads;
  const auto by_head = [&](const at::Tensor& rows) { return rows.view({T, G, S}).transpose(0, 1); };
  const at::Tensor scores = at::bmm(q.reshape({G, heads / G, S}), by_head(keys).transpose(1, 2)) /
                            std::sqrt(static_cast<double>(S));
  return at::bmm(at::softmax(scores, -1), by_head(values)).reshape({heads * S});
}

}  // namespace bitloop::trainer
