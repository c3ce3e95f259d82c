#include <algorithm>

#include "trainer/kernels/gelu.h"
#include "trainer/kernels/spans.h"
#include "trainer/model/fused_parts.h"

namespace bitloop::trainer {

template <typename Body>
void FusedTraining::multiply_blocks(FusedLinear& linear, int64_t begin, int64_t end,
                                    const Body& body) {
  const kernels::Span span("forward", linear.kind());
  LinearScratch& s = scratch_[static_cast<size_t>(kernels::team_member())];
  for (int64_t r = begin; r < end; r += kForwardRows) {
    const int64_t stop = std::min(end, r + kForwardRows);
    linear.multiply(r, stop, s.acc.get(), s);
    body(linear.product(s.acc.get(), r), r, stop - r);
  }
}

void FusedTraining::finish_heads(Layer& layer, int64_t begin, int64_t end) {
  multiply_blocks(
      layer.qkv, begin, end, [&](const kernels::Product& product, int64_t r, int64_t rows) {
        kernels::finish_product_bfloat16(product, rows, layer.heads + r * layer.qkv.N());
      });
}

void FusedTraining::finish(FusedLinear& linear, const float* residual, float* out) {
  const int64_t N = linear.N();
  each_part([&](int64_t begin, int64_t end) {
    multiply_blocks(
        linear, begin, end, [&](const kernels::Product& product, int64_t r, int64_t rows) {
          kernels::finish_product(product, rows, residual != nullptr ? residual + r * N : nullptr,
                                  out + r * N);
        });
  });
}

// Queries, keys and values, and what attends to them: sequence by sequence, while they are in the
// cache.
void FusedTraining::attention(Layer& layer) {
  const int64_t H = model_->config().heads;
  const auto attend = [&](int64_t begin, int64_t end) {
    const kernels::Span span("forward", "attention");
    attention_[static_cast<size_t>(kernels::team_member())].forward(
        layer.heads.get(), begin, end, layer.attended.get(), layer.largest.get(),
        layer.inverse.get());
  };
  if (!by_sequence_) {
    each_part([&](int64_t begin, int64_t end) { finish_heads(layer, begin, end); });
    kernels::run_parts(B_ * H, 1, attend);
    return;
  }
  each_part([&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r += T_) {
      finish_heads(layer, r, r + T_);
      attend(r / T_ * H, (r / T_ + 1) * H);
    }
  });
}

void FusedTraining::multiply(FusedLinear& linear, int32_t* acc) {
  each_part([&](int64_t begin, int64_t end) {
    const kernels::Span span("forward", linear.kind());
    linear.multiply(begin, end, acc + begin * linear.N(),
                    scratch_[static_cast<size_t>(kernels::team_member())]);
  });
}

void FusedTraining::embed() {
  const float *wte = model_->wte_.const_data_ptr<float>(),
              *wpe = model_->wpe_.const_data_ptr<float>();
  float* x = layers_.front().x.get();
  const kernels::Span span("forward", "embedding");
  each_part([&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float *token = wte + ids_[r] * D_, *position = wpe + r % T_ * D_;
      for (int64_t c = 0; c < D_; ++c) x[r * D_ + c] = token[c] + position[c];
    }
  });
}

Status FusedTraining::forward_layer(Layer& layer, const ForwardContext& context, float* x_next) {
  const auto ln_1 = [&](int64_t first, int64_t count, float* out) {
    layer.ln_1.forward_rows(layer.x.get(), first, count, out);
  };
  BITLOOP_TRY(take(layer.qkv, ln_1, context));
  attention(layer);

  const auto attended = [&](int64_t first, int64_t count, float* out) {
    std::copy_n(layer.attended + first * D_, count * D_, out);
  };
  BITLOOP_TRY(take(layer.proj, attended, context));
  finish(layer.proj, layer.x.get(), layer.x_mid.get());

  const auto ln_2 = [&](int64_t first, int64_t count, float* out) {
    layer.ln_2.forward_rows(layer.x_mid.get(), first, count, out);
  };
  BITLOOP_TRY(take(layer.fc, ln_2, context));
  // fc's product is made as its rows are asked for, and never stands in memory as a whole.
  each_thread([&](int64_t t) {
    scratch_[static_cast<size_t>(t)].begin_rows(apart_ ? kernels::part_of(R_, grain_, t, threads_)
                                                       : kernels::Range{0, R_});
  });
  const auto activated = [&](int64_t first, int64_t count, float* out) {
    LinearScratch& s = scratch_[static_cast<size_t>(kernels::team_member())];
    for (int64_t r = first; r < first + count; ++r, out += 4 * D_) {
      kernels::finish_product(layer.fc.row(r, s), 1, nullptr, out);
      kernels::gelu_with_slope(out, out, layer.slope + r * 4 * D_, 4 * D_);
    }
  };
  BITLOOP_TRY(take(layer.mlp, activated, context));
  finish(layer.mlp, layer.x_mid.get(), x_next);
  return {};
}

}  // namespace bitloop::trainer
