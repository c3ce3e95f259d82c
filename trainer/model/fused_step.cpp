#include "trainer/model/fused_step.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <atomic>

#include "trainer/kernels/spans.h"
#include "trainer/model/fused_parts.h"

namespace bitloop::trainer {
namespace {

constexpr int64_t kMostLogits = int64_t{1}
                                << 28;  // kept whole: beyond that autograd's path is used

}  // namespace

bool FusedTraining::supports(const ModelConfig& config, int64_t B, int64_t tokens) {
  const int64_t T = tokens > 0 ? tokens : config.context;
  return !config.is_llama() && config.width % 16 == 0 && config.padded_vocab_size % 16 == 0 &&
         B * T * config.padded_vocab_size <= kMostLogits &&
         FusedAttention::supports({B, T, config.heads, config.width / config.heads}) &&
         block_products_supported();
}

FusedTraining::FusedTraining(Transformer& model, int64_t B, int64_t tokens, bool int8_gradients)
    : model_(&model),
      B_(B),
      T_(tokens > 0 ? tokens : model.config().context),
      R_(B_ * T_),
      D_(model.config().width),
      V_(model.config().padded_vocab_size),
      threads_(kernels::team_size()),
      grain_(B_ >= threads_ ? T_ : kProduceRows),
      by_sequence_(grain_ == T_ && T_ % kProduceRows == 0),
      x_f_(R_ * D_),
      logits_(R_ * V_),
      losses_(static_cast<size_t>(R_)),
      dresidual_(R_ * D_),
      dwide_(at::empty({R_, 4 * D_}, at::kFloat)),
      dnarrow_(at::empty({R_, D_}, at::kFloat)),
      dattended_(R_ * D_),
      delta_(R_ * model.config().heads),
      dqkv_((by_sequence_ ? threads_ * T_ : R_) * 3 * D_) {
  const int64_t heads = model.config().heads;
  for (int64_t t = 0; t < threads_; ++t) {
    scratch_.emplace_back(std::max(V_, 4 * D_), 4 * D_);
    attention_.emplace_back(kernels::AttentionShape{B_, T_, heads, D_ / heads});
  }
  layers_.reserve(model.blocks_.size());
  for (Block& block : model.blocks_)
    layers_.emplace_back(block, R_, D_, heads, grain_, threads_, int8_gradients);
  norm_f_ = std::make_unique<Norm>(model.ln_f_, R_, threads_);
  head_ = std::make_unique<FusedLinear>(model.head_, R_, grain_, threads_);
}

FusedTraining::~FusedTraining() = default;

std::vector<FusedLinear*> FusedTraining::linears() {
  std::vector<FusedLinear*> all;
  for (Layer& layer : layers_)
    for (FusedLinear* linear : {&layer.qkv, &layer.proj, &layer.fc, &layer.mlp})
      all.push_back(linear);
  all.push_back(head_.get());
  return all;
}

Status FusedTraining::begin_step(const ForwardContext&) {
  for (FusedLinear* linear : linears()) linear->begin_step();
  return {};
}

std::vector<FusedTraining::Norm*> FusedTraining::norms() {
  std::vector<Norm*> all;
  for (Layer& layer : layers_)
    for (Norm* norm : {&layer.ln_1, &layer.ln_2}) all.push_back(norm);
  all.push_back(norm_f_.get());
  return all;
}

Status FusedTraining::take(FusedLinear& linear, const RowProducer& produce,
                           const ForwardContext& context) {
  const kernels::Span span("forward input", linear.kind());
  if (apart_) {
    Status taken;
    each_part([&](int64_t begin, int64_t end) {
      if (!linear.take_rows(produce, begin, end, context))
        taken = fail("rejected", "the usual way says what is not allowed");
    });
    return taken;
  }
  if (warm_ == Warm::kNo) return linear.take_input(produce, context);
  // Any thread may be asked for any row: each makes one of a whole block and of the last, in turn.
  std::vector<float> row(static_cast<size_t>(linear.K()));
  for (int64_t turn = 0; turn < threads_; ++turn)
    kernels::run_team(threads_, [&](int64_t t) {
      if (t != turn) return;
      for (const int64_t r : {int64_t{0}, R_ - 1}) produce(r, 1, row.data());
    });
  linear.take_zeros(warm_ == Warm::kInteger);
  return {};
}

bool FusedTraining::begin_apart(const ForwardContext& context) {
  if (!by_sequence_ || warm_ != Warm::kNo) return false;
  const std::vector<FusedLinear*> all = linears();
  for (FusedLinear* linear : all)
    if (!linear->begin_rows(context)) return false;
  const kernels::Span span("weights", "pack for products");
  // The head, which may be the largest, first.
  kernels::run_items(std::ssize(all), [&](int64_t i) {
    all[all.size() - 1 - static_cast<size_t>(i)]->pack_weights(context);
  });
  return true;
}

bool FusedTraining::passes_gradients_apart() {
  const std::vector<FusedLinear*> all = linears();
  return by_sequence_ && std::all_of(all.begin(), all.end(), [](const FusedLinear* linear) {
           return linear->passes_gradient();
         });
}

Status FusedTraining::forward(const ForwardContext& context) {
  const kernels::Span span("forward", "rest");
  embed();
  for (size_t i = 0; i < layers_.size(); ++i)
    BITLOOP_TRY(forward_layer(layers_[i], context,
                              i + 1 < layers_.size() ? layers_[i + 1].x.get() : x_f_.get()));
  const auto ln_f = [&](int64_t first, int64_t count, float* out) {
    norm_f_->forward_rows(x_f_.get(), first, count, out);
  };
  BITLOOP_TRY(take(*head_, ln_f, context));
  multiply(*head_, logits_.get());
  return {};
}

void FusedTraining::backward() {
  const kernels::Span span("backward", "rest");
  backward_head();
  for (size_t i = layers_.size(); i-- > 0;) {
    const bool last = i + 1 == layers_.size();
    backward_layer(layers_[i], last ? *norm_f_ : layers_[i + 1].ln_1,
                   last ? x_f_.get() : layers_[i + 1].x.get());
  }
  backward_first_norm();
}

Status FusedTraining::run(const ForwardContext& context) {
  std::atomic<bool> done = begin_apart(context);
  if (done)
    run_apart([&] {
      if (!forward(context)) done = false;
    });
  went_apart_ = done;
  if (!done) BITLOOP_TRY(forward(context));

  const std::vector<FusedLinear*> all = linears();
  for (FusedLinear* linear : all) linear->begin_backward();
  for (Norm* norm : norms()) norm->begin_backward();
  if (passes_gradients_apart())
    run_apart([&] { backward(); });
  else
    backward();
  kernels::run_team(threads_, [&](int64_t t) {
    const kernels::Span span("backward", "sum of the threads' gradients");
    for (FusedLinear* linear : all) linear->add_parts(t);
  });
  for (Norm* norm : norms()) norm->finish_backward();
  add_embedding_gradients();
  return {};
}

Result<at::Tensor> FusedTraining::accumulate(const at::Tensor& ids_BT, const at::Tensor& targets_BT,
                                             const ForwardContext& context, double share,
                                             const Announce&) {
  const at::Tensor ids = ids_BT.contiguous(), targets = targets_BT.contiguous();
  ids_ = ids.const_data_ptr<int64_t>();
  targets_ = targets.const_data_ptr<int64_t>();
  gradient_scale_ = static_cast<float>(share / static_cast<double>(R_));
  BITLOOP_TRY(run(context));
  double sum = 0.0;
  for (const double loss : losses_) sum += loss;
  return at::scalar_tensor(sum / static_cast<double>(R_), at::kDouble);
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
