#include "trainer/model/fused_step.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "trainer/kernels/gelu.h"
#include "trainer/kernels/team.h"

namespace bitloop::trainer {
namespace {

constexpr int64_t kMostLogits = int64_t{1}
                                << 28;  // kept whole: beyond that autograd's path is used

}  // namespace

// A LayerNorm with the statistics of its last forward pass and each thread's part of its gradients.
struct FusedTraining::Norm {
  const LayerNorm* norm;
  int64_t D, threads;
  Buffer<float> mean, rstd;                  // (R)
  Buffer<float> dweight_parts, dbias_parts;  // (threads, D)
  Gradient dweight, dbias;

  Norm(const LayerNorm& layer_norm, int64_t R, int64_t threads_)
      : norm(&layer_norm),
        D(layer_norm.weight.numel()),
        threads(threads_),
        mean(R),
        rstd(R),
        dweight_parts(threads_ * D),
        dbias_parts(threads_ * D) {}

  void forward_row(const float* x, int64_t r, float* out) const {
    kernels::layer_norm_row(x + r * D, norm->weight.const_data_ptr<float>(),
                            norm->bias.const_data_ptr<float>(), D, kNormEpsilon, out, mean + r,
                            rstd + r);
  }
  void begin_backward() const {
    std::fill_n(dweight_parts.get(), threads * D, 0.0f);
    std::fill_n(dbias_parts.get(), threads * D, 0.0f);
  }
  // dx (R, D) += dL/dx in rows [begin, end), in thread t.
  void backward_rows(const float* dy, const float* x, int64_t begin, int64_t end, int64_t t,
                     float* dx) const {
    kernels::layer_norm_backward(dy + begin * D, x + begin * D, mean + begin, rstd + begin,
                                 norm->weight.const_data_ptr<float>(), end - begin, D,
                                 dx + begin * D, dweight_parts + t * D, dbias_parts + t * D);
  }
  void finish_backward() {
    kernels::add_rows(dweight_parts.get(), threads, D, dweight.attach(norm->weight));
    kernels::add_rows(dbias_parts.get(), threads, D, dbias.attach(norm->bias));
  }
};

struct FusedTraining::Layer {
  Norm ln_1, ln_2;
  FusedLinear qkv, proj, fc, mlp;
  Buffer<float> x, x_mid;  // (R, D) residual before the attention and before the MLP
  Buffer<float> heads;     // (R, 3D) queries, keys, values
  Buffer<float> attended;  // (R, D)
  Buffer<float> lse;       // (B, H, T)
  Buffer<int32_t> hidden;  // (R, 4D) accumulators of fc

  Layer(Block& block, int64_t R, int64_t D, int64_t heads_count, int64_t threads)
      : ln_1(block.ln_1, R, threads),
        ln_2(block.ln_2, R, threads),
        qkv(block.qkv, R, threads),
        proj(block.attn_proj, R, threads),
        fc(block.fc, R, threads),
        mlp(block.mlp_proj, R, threads),
        x(R * D),
        x_mid(R * D),
        heads(R * 3 * D),
        attended(R * D),
        lse(R * heads_count),
        hidden(R * 4 * D) {}
};

bool FusedTraining::supports(const ModelConfig& config, int64_t B) {
  return config.width % 16 == 0 && config.padded_vocab_size % 16 == 0 &&
         B * config.context * config.padded_vocab_size <= kMostLogits &&
         kernels::attention_supported(
             {B, config.context, config.heads, config.width / config.heads}) &&
         block_products_supported();
}

FusedTraining::FusedTraining(Gpt2& model, int64_t B)
    : model_(&model),
      B_(B),
      T_(model.config().context),
      R_(B_ * T_),
      D_(model.config().width),
      V_(model.config().padded_vocab_size),
      threads_(kernels::team_size()),
      attention_{B_, T_, model.config().heads, D_ / model.config().heads},
      x_f_(R_ * D_),
      logits_(R_ * V_),
      losses_(static_cast<size_t>(R_)),
      dresidual_(R_ * D_),
      dwide_(at::empty({R_, 4 * D_}, at::kFloat)),
      dnarrow_(at::empty({R_, D_}, at::kFloat)),
      dqkv_(R_ * 3 * D_) {
  for (int64_t t = 0; t < threads_; ++t) scratch_.emplace_back(std::max(V_, 4 * D_), 4 * D_);
  layers_.reserve(model.blocks_.size());
  for (Block& block : model.blocks_)
    layers_.emplace_back(block, R_, D_, model.config().heads, threads_);
  norm_f_ = std::make_unique<Norm>(model.ln_f_, R_, threads_);
  head_ = std::make_unique<FusedLinear>(model.head_, R_, threads_);
}

FusedTraining::~FusedTraining() = default;

void FusedTraining::begin_step() {
  for (Layer& layer : layers_)
    for (FusedLinear* linear : {&layer.qkv, &layer.proj, &layer.fc, &layer.mlp})
      linear->begin_step();
  head_->begin_step();
}

Status FusedTraining::take(FusedLinear& linear, const RowProducer& produce,
                           const ForwardContext& context) {
  if (warm_ == Warm::kNo) return linear.take_input(produce, context);
  std::vector<float> row(static_cast<size_t>(linear.K()));
  for (int64_t r = 0; r < R_; ++r) produce(r, row.data());
  linear.take_zeros(warm_ == Warm::kInteger);
  return {};
}

void FusedTraining::finish(FusedLinear& linear, const float* residual, float* out) {
  const int64_t N = linear.N();
  kernels::run_team(threads_, [&](int64_t t) {
    const kernels::Range part = kernels::part_of(R_, kForwardRows, t, threads_);
    LinearScratch& s = scratch_[static_cast<size_t>(t)];
    for (int64_t r = part.begin; r < part.end; r += kForwardRows) {
      const int64_t end = std::min(part.end, r + kForwardRows);
      linear.multiply(r, end, s.acc.get(), s);
      kernels::finish_product(linear.product(s.acc.get(), r), end - r,
                              residual != nullptr ? residual + r * N : nullptr, out + r * N);
    }
  });
}

void FusedTraining::multiply(FusedLinear& linear, int32_t* acc) {
  kernels::run_team(threads_, [&](int64_t t) {
    const kernels::Range part = kernels::part_of(R_, kForwardRows, t, threads_);
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
  finish(layer.qkv, nullptr, layer.heads.get());
  kernels::attention_forward(layer.heads.get(), attention_, layer.attended.get(), layer.lse.get());

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

// `next` is the LayerNorm that reads this layer's output next_x; dnarrow_ holds dL/d(its result).
void FusedTraining::backward_layer(Layer& layer, Norm& next, const float* next_x) {
  float *dwide = dwide_.data_ptr<float>(), *dnarrow = dnarrow_.data_ptr<float>();
  // dL/d(residual): what the LayerNorm passes back is added row by row, just before it is used.
  const auto residual_rows = [&](Norm& norm, const float* x) {
    norm.begin_backward();
    return [&norm, x, dnarrow, this](int64_t begin, int64_t end, int64_t t, float*) {
      norm.backward_rows(dnarrow, x, begin, end, t, dresidual_.get());
      return static_cast<const float*>(dresidual_ + begin * D_);
    };
  };
  layer.mlp.backward(scratch_, residual_rows(next, next_x), dwide);
  next.finish_backward();
  layer.mlp.pass_surrogate(dwide_);

  const kernels::Product hidden = layer.fc.product(layer.hidden.get(), 0);
  const auto before_gelu = [&](int64_t begin, int64_t end, int64_t, float* memory) {
    kernels::finish_product(hidden.from_row(begin), end - begin, nullptr, memory);
    kernels::gelu_backward_rows(dwide + begin * 4 * D_, memory, memory, (end - begin) * 4 * D_);
    return static_cast<const float*>(memory);
  };
  layer.fc.backward(scratch_, before_gelu, dnarrow);
  layer.fc.pass_surrogate(dnarrow_);

  layer.proj.backward(scratch_, residual_rows(layer.ln_2, layer.x_mid.get()), dwide);
  layer.ln_2.finish_backward();
  layer.proj.pass_surrogate(dwide_.view({-1}).narrow(0, 0, R_ * D_).view({R_, D_}));

  kernels::attention_backward(layer.heads.get(), layer.attended.get(), layer.lse.get(), dwide,
                              attention_, dqkv_.get());
  const auto dqkv = [&](int64_t begin, int64_t, int64_t, float*) {
    return static_cast<const float*>(dqkv_ + begin * 3 * D_);
  };
  layer.qkv.backward(scratch_, dqkv, dnarrow);
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
  head_->backward(scratch_, cross_entropy, dnarrow_.data_ptr<float>());
  head_->pass_surrogate(dnarrow_);
}

// Each thread adds all rows in order to columns of its own, so equal ids need no sorting.
void FusedTraining::backward_embedding() {
  Layer& first = layers_.front();
  const float* dnarrow = dnarrow_.const_data_ptr<float>();
  first.ln_1.begin_backward();
  kernels::run_team(threads_, [&](int64_t t) {
    const kernels::Range part = kernels::part_of(R_, kForwardRows, t, threads_);
    if (!part.empty())
      first.ln_1.backward_rows(dnarrow, first.x.get(), part.begin, part.end, t, dresidual_.get());
  });
  first.ln_1.finish_backward();
  float *dwte = wte_gradient_.attach(model_->wte_), *dwpe = wpe_gradient_.attach(model_->wpe_);
  kernels::run_parts(D_, 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = 0; r < R_; ++r) {
      const float* from = dresidual_ + r * D_ + begin;
      kernels::add_rows(from, 1, end - begin, dwte + ids_[r] * D_ + begin);
      kernels::add_rows(from, 1, end - begin, dwpe + r % T_ * D_ + begin);
    }
  });
}

Status FusedTraining::run(const ForwardContext& context) {
  embed();
  for (size_t i = 0; i < layers_.size(); ++i)
    BITLOOP_TRY(forward_layer(layers_[i], context,
                              i + 1 < layers_.size() ? layers_[i + 1].x.get() : x_f_.get()));
  const auto ln_f = [&](int64_t r, float* out) { norm_f_->forward_row(x_f_.get(), r, out); };
  BITLOOP_TRY(take(*head_, ln_f, context));
  multiply(*head_, logits_.get());

  backward_head();
  for (size_t i = layers_.size(); i-- > 0;) {
    const bool last = i + 1 == layers_.size();
    backward_layer(layers_[i], last ? *norm_f_ : layers_[i + 1].ln_1,
                   last ? x_f_.get() : layers_[i + 1].x.get());
  }
  backward_embedding();
  return {};
}

Result<double> FusedTraining::accumulate(const at::Tensor& ids_BT, const at::Tensor& targets_BT,
                                         const ForwardContext& context, double share) {
  const at::Tensor ids = ids_BT.contiguous(), targets = targets_BT.contiguous();
  ids_ = ids.const_data_ptr<int64_t>();
  targets_ = targets.const_data_ptr<int64_t>();
  gradient_scale_ = static_cast<float>(share / static_cast<double>(R_));
  BITLOOP_TRY(run(context));
  double sum = 0.0;
  for (const double loss : losses_) sum += loss;
  return sum / static_cast<double>(R_);
}

void FusedTraining::warm() {
  const at::Tensor zeros = at::zeros({B_, T_}, at::kLong);
  (void)model_->quantize_weights({});
  for (const Warm form : {Warm::kBfloat16, Warm::kInteger}) {
    warm_ = form;
    (void)accumulate(zeros, zeros, {}, 1.0);
  }
  warm_ = Warm::kNo;
  for (const auto& [name, tensor] : model_->named_parameters())
    tensor.mutable_grad() = at::Tensor();
}

}  // namespace bitloop::trainer
