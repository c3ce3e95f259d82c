#include <algorithm>

#include "trainer/kernels/spans.h"
#include "trainer/model/fused_parts.h"

namespace bitloop::trainer {

void FusedTraining::take_attended_gradient(const Layer& layer, int64_t begin, int64_t end,
                                           const float* dattended) {
  const kernels::Span span("backward", "attention");
  const int64_t H = model_->config().heads;
  for (int64_t r = begin; r < end;) {
    const int64_t stop = std::min(end, (r / T_ + 1) * T_);  // of this sequence
    kernels::round_and_dot_heads(dattended + (r - begin) * D_, layer.attended + r * D_, stop - r, H,
                                 D_ / H, dattended_ + r * D_, delta_ + r / T_ * H * T_ + r % T_,
                                 T_);
    r = stop;
  }
}

template <typename Produce>
void FusedTraining::backward(FusedLinear& linear, const Produce& produce, float* dx) {
  each_thread([&](int64_t t) {
    const kernels::Span span("backward", linear.kind());
    linear.backward(t, scratch_[static_cast<size_t>(t)], produce, dx);
  });
}

// To dL/dx̂ of qkv in dnarrow_.
void FusedTraining::backward_attention(Layer& layer) {
  const int64_t H = model_->config().heads;
  const auto pass_back = [&](int64_t begin, int64_t end, float* dqkv) {
    const kernels::Span span("backward", "attention");
    attention_[static_cast<size_t>(kernels::team_member())].backward(
        layer.heads.get(), layer.largest.get(), layer.inverse.get(), dattended_.get(), delta_.get(),
        begin, end, dqkv);
  };
  if (!by_sequence_)
    kernels::run_parts(B_ * H, 1,
                       [&](int64_t begin, int64_t end) { pass_back(begin, end, dqkv_.get()); });
  // Rows are asked for in order and a sequence is a whole number of kProduceRows, so that a
  // sequence is made when its first rows are.
  const auto dqkv = [&](int64_t begin, int64_t, int64_t t, float*) -> const float* {
    if (!by_sequence_) return dqkv_ + begin * 3 * D_;
    const int64_t b = begin / T_;
    float* sequence = dqkv_ + t * T_ * 3 * D_;
    if (begin % T_ == 0) pass_back(b * H, (b + 1) * H, sequence - b * T_ * 3 * D_);
    return sequence + begin % T_ * 3 * D_;
  };
  backward(layer.qkv, dqkv, dnarrow_.data_ptr<float>());
}

// `next` is the LayerNorm that reads this layer's output next_x; dnarrow_ holds dL/d(its result).
void FusedTraining::backward_layer(Layer& layer, Norm& next, const float* next_x) {
  float *dwide = dwide_.data_ptr<float>(), *dnarrow = dnarrow_.data_ptr<float>();
  // dL/d(residual): what the LayerNorm passes back is added row by row, just before it is used.
  const auto residual_rows = [&](Norm& norm, const float* x) {
    return [&norm, x, dnarrow, this](int64_t begin, int64_t end, int64_t t, float*) {
      norm.backward_rows(dnarrow, x, begin, end, t, dresidual_.get());
      return static_cast<const float*>(dresidual_ + begin * D_);
    };
  };
  const auto mlp_rows = residual_rows(next, next_x);
  // dL/d(fc's output) from dL/d(mlp's input), of which `from` is row `first`.
  const auto through_gelu = [&layer, this](const float* from, int64_t first) {
    return [&layer, this, from, first](int64_t begin, int64_t, int64_t, float*) {
      return kernels::GradientRows(from + (begin - first) * 4 * D_, layer.slope + begin * 4 * D_);
    };
  };
  if (layer.mlp.passes_gradient()) {
    // Both in one pass, what is between them in the cache.
    each_thread([&](int64_t t) {
      LinearScratch& s = scratch_[static_cast<size_t>(t)];
      layer.mlp.for_chunks(t, [&](int64_t begin, int64_t end) {
        {
          const kernels::Span span("backward", layer.mlp.kind());
          layer.mlp.backward_chunk(begin, end, t, s, mlp_rows, s.dx.get());
        }
        const kernels::Span span("backward", layer.fc.kind());
        layer.fc.backward_chunk(begin, end, t, s, through_gelu(s.dx.get(), begin),
                                dnarrow + begin * D_);
      });
    });
  } else {
    backward(layer.mlp, mlp_rows, dwide);
    layer.mlp.pass_surrogate(dwide_);
    backward(layer.fc, through_gelu(dwide, 0), dnarrow);
  }
  layer.fc.pass_surrogate(dnarrow_);

  const auto proj_rows = residual_rows(layer.ln_2, layer.x_mid.get());
  if (layer.proj.passes_gradient()) {
    each_thread([&](int64_t t) {
      LinearScratch& s = scratch_[static_cast<size_t>(t)];
      layer.proj.for_chunks(t, [&](int64_t begin, int64_t end) {
        {
          const kernels::Span span("backward", layer.proj.kind());
          layer.proj.backward_chunk(begin, end, t, s, proj_rows, s.dx.get());
        }
        take_attended_gradient(layer, begin, end, s.dx.get());
      });
    });
  } else {
    backward(layer.proj, proj_rows, dwide);
    layer.proj.pass_surrogate(dwide_.view({-1}).narrow(0, 0, R_ * D_).view({R_, D_}));
    each_part([&](int64_t begin, int64_t end) {
      take_attended_gradient(layer, begin, end, dwide + begin * D_);
    });
  }
  backward_attention(layer);
  layer.qkv.pass_surrogate(dnarrow_);
}

void FusedTraining::backward_head() {
  const kernels::Product logits = head_->product(logits_.get(), 0);
  const auto cross_entropy = [&](int64_t begin, int64_t end, int64_t, float* memory) {
    std::fill(dresidual_ + begin * D_, dresidual_ + end * D_, 0.0f);
    kernels::finish_product(logits.from_row(begin), end - begin, nullptr, memory);
    for (int64_t r = begin; r < end; ++r) {
      float* row = memory + (r - begin) * V_;
      losses_[static_cast<size_t>(r)] =
          kernels::cross_entropy_row(row, V_, targets_[r], gradient_scale_, row);
    }
    return static_cast<const float*>(memory);
  };
  backward(*head_, cross_entropy, dnarrow_.data_ptr<float>());
  head_->pass_surrogate(dnarrow_);
}

void FusedTraining::backward_first_norm() {
  const kernels::Span span("backward", "layer norm");
  const Layer& first = layers_.front();
  each_part([&](int64_t begin, int64_t end) {
    first.ln_1.backward_rows(dnarrow_.const_data_ptr<float>(), first.x.get(), begin, end,
                             kernels::team_member(), dresidual_.get());
  });
}

// Each thread adds all rows in order to columns of its own, so equal ids need no sorting.
void FusedTraining::add_embedding_gradients() {
  const kernels::Span span("backward", "embedding");
  float *dwte = wte_gradient_.attach(model_->wte_), *dwpe = wpe_gradient_.attach(model_->wpe_);
  kernels::run_parts(D_, 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = 0; r < R_; ++r) {
      const float* from = dresidual_ + r * D_ + begin;
      kernels::add_rows(from, 1, end - begin, dwte + ids_[r] * D_ + begin);
      kernels::add_rows(from, 1, end - begin, dwpe + r % T_ * D_ + begin);
    }
  });
}

}  // namespace bitloop::trainer
