#include <algorithm>

#include "trainer/kernels/gelu.h"
#include "trainer/model/fused_parts.h"

namespace bitloop::trainer {

void FusedTraining::finish_rows(FusedLinear& linear, int64_t begin, int64_t end, int64_t t,
                                const float* residual, float* out) {
  const int64_t N = linear.N();
  LinearScratch& s = scratch_[static_cast<size_t>(t)];
  for (int64_t r = begin; r < end; r += kForwardRows) {
    const int64_t stop = std::min(end, r + kForwardRows);
    linear.multiply(r, stop, s.acc.get(), s);
    kernels::finish_product(linear.product(s.acc.get(), r), stop - r,
                            residual != nullptr ? residual + r * N : nullptr, out + r * N);
  }
}

void FusedTraining::finish(FusedLinear& linear, const float* residual, float* out) {
  kernels::run_team(threads_, [&](int64_t t) {
    const kernels::Range part = kernels::part_of(R_, grain_, t, threads_);
    if (!part.empty()) finish_rows(linear, part.begin, part.end, t, residual, out);
  });
}

// Queries, keys and values, and what attends to them: sequence by sequence, while they are in the
// cache.
void FusedTraining::attention(Layer& layer) {
  float* heads = layer.heads.get();
  if (grain_ != T_) {
    finish(layer.qkv, nullptr, heads);
    kernels::attention_forward(heads, attention_, layer.attended.get(), layer.lse.get());
    return;
  }
  kernels::run_team(threads_, [&](int64_t t) {
    const kernels::Range part = kernels::part_of(R_, grain_, t, threads_);
    for (int64_t r = part.begin; r < part.end; r += T_) {
      finish_rows(layer.qkv, r, r + T_, t, nullptr, heads);
      kernels::attention_forward_sequence(heads, attention_, r / T_, layer.attended.get(),
                                          layer.lse.get());
    }
  });
}

void FusedTraining::multiply(FusedLinear& linear, int32_t* acc) {
  kernels::run_team(threads_, [&](int64_t t) {
    const kernels::Range part = kernels::part_of(R_, grain_, t, threads_);
    if (!part.empty())
      linear.multiply(part.begin, part.end, acc + part.begin * linear.N(),
                      scratch_[static_cast<size_t>(t)]);
  });
}

void FusedTraining::embed() {
  const float *wte = model_->wte_.const_data_ptr<float>(),
              *wpe = model_->wpe_.const_data_ptr<float>();
  float* x = layers_.front().x.get();
  kernels::run_parts(R_, kForwardRows, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float *token = wte + ids_[r] * D_, *position = wpe + r % T_ * D_;
      for (int64_t c = 0; c < D_; ++c) x[r * D_ + c] = token[c] + position[c];
    }
  });
}

Status FusedTraining::forward_layer(Layer& layer, const ForwardContext& context, float* x_next) {
  const auto ln_1 = [&](int64_t r, float* out) { layer.ln_1.forward_row(layer.x.get(), r, out); };
  BITLOOP_TRY(take(layer.qkv, ln_1, context));
  attention(layer);

  const auto attended = [&](int64_t r, float* out) {
    std::copy_n(layer.attended + r * D_, D_, out);
  };
  BITLOOP_TRY(take(layer.proj, attended, context));
  finish(layer.proj, layer.x.get(), layer.x_mid.get());

  const auto ln_2 = [&](int64_t r, float* out) {
    layer.ln_2.forward_row(layer.x_mid.get(), r, out);
  };
  BITLOOP_TRY(take(layer.fc, ln_2, context));
  multiply(layer.fc, layer.hidden.get());

  const kernels::Product hidden = layer.fc.product(layer.hidden.get(), 0);
  const auto activated = [&](int64_t r, float* out) {
    kernels::finish_product(hidden.from_row(r), 1, nullptr, out);
    kernels::gelu_rows(out, out, 4 * D_);
  };
  BITLOOP_TRY(take(layer.mlp, activated, context));
  finish(layer.mlp, layer.x_mid.get(), x_next);
  return {};
}

}  // namespace bitloop::trainer
