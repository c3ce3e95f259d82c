#include "trainer/model/device_step.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "trainer/kernels/absmax_rows.h"
#include "trainer/model/device_parts.h"

namespace bitloop::trainer {
namespace {

using kernels::RowsIn;

constexpr int64_t kMostColumns = 8192;  // of a row kernel
constexpr int64_t kHeadRows = 16384;    // logits of so many rows at a time: 1.6 GB for GPT-2
constexpr int64_t kRefusals = 64;       // micro-batches that are told apart

// Where a program that refuses something in a step's micro-batch i says so.
int64_t refusal_of(int64_t i) { return i % kRefusals; }

}  // namespace

std::string DeviceTraining::refuses(const ModelConfig& config, int64_t B) {
  if (config.is_llama()) return "the model is a Llama, which has no kernels of its own";
  if (config.width % 64 != 0 || config.padded_vocab_size % 64 != 0 ||
      (config.width / config.heads) % 8 != 0 || config.width / config.heads > 128)
    return "widths are not multiples of 64, or heads are larger than 128";
  if (4 * config.width > kMostColumns)
    return fmt::format("rows of {} numbers are too long for a kernel", 4 * config.width);
  const int64_t R = B * config.context;
  if (R > kHeadRows && R % kHeadRows != 0)
    return fmt::format("a micro-batch of {} tokens is no multiple of {}", R, kHeadRows);
  return {};
}

std::string DeviceTraining::refuses(const lua::Quantizer& quantizer) {
  const lua::Format& format = quantizer.format();
  if (quantizer.has("input")) return "Q.input stands between the kernels";
  if (quantizer.has("lambda")) return "Q.lambda blends activations";
  if (format.blend_output) return "outputs are blended";
  if (format.hadamard_block > 0) return "Q.transform turns activations";
  if (format.quantizes_activations && format.activation_bits > 8)
    return "activations have more than 8 bits";
  return {};
}

at::Tensor DeviceTraining::empty(at::IntArrayRef shape, at::ScalarType type) const {
  return at::empty(shape, at::TensorOptions().dtype(type).device(place_));
}

DeviceTraining::DeviceTraining(Transformer& model, int64_t B, kernels::DeviceKernels& device,
                               bool integer, bool int8_gradients)
    : model_(&model),
      device_(&device),
      place_(model.wte_.device()),
      integer_(integer),
      int8_gradients_(integer && int8_gradients),
      B_(B),
      T_(model.config().context),
      R_(B_ * T_),
      D_(model.config().width),
      V_(model.config().padded_vocab_size),
      head_rows_(std::min(R_, kHeadRows)),
      batch_(R_, V_, place_),
      x_f_(empty({R_, D_}, at::kBFloat16)),
      logits_(empty({head_rows_, V_}, at::kBFloat16)),
      losses_(empty({R_}, at::kFloat)),
      refused_(empty({kRefusals}, at::kInt)),
      dresidual_(empty({R_, D_}, at::kBFloat16)),
      dnarrow_(empty({R_, D_}, at::kBFloat16)),
      dwide_(empty({R_, 4 * D_}, at::kBFloat16)),
      dqkv_(empty({R_, 3 * D_}, at::kBFloat16)),
      dwte_(empty({V_, D_}, at::kFloat)),
      dwpe_(empty({T_, D_}, at::kFloat)) {
  if (integer_) {
    codes_ = empty({R_ * 4 * D_}, at::kChar);
    scale_ = empty({R_}, at::kFloat);
  }
  if (int8_gradients_) {
    not_refused_ = empty({1}, at::kInt);
    for (const int64_t N : {D_, 3 * D_, 4 * D_}) {
      std::string why;
      gradient_rows_[N] = device.compile(kernels::absmax_rows(N), why);
      if (gradient_rows_[N] == nullptr) int8_gradients_ = false;
    }
  }
  layers_.reserve(model.blocks_.size());
  for (Block& block : model.blocks_) layers_.emplace_back(*this, block);
  norm_f_ = std::make_unique<Norm>(*this, model.ln_f_);
  head_ = std::make_unique<Linear>(*this, model.head_);
}

DeviceTraining::~DeviceTraining() = default;

std::vector<DeviceTraining::Linear*> DeviceTraining::linears() {
  std::vector<Linear*> all;
  for (Layer& layer : layers_)
    for (Linear* linear : {&layer.qkv, &layer.proj, &layer.fc, &layer.mlp}) all.push_back(linear);
  all.push_back(head_.get());
  return all;
}

Status DeviceTraining::check(const char* what) {
  const std::string failed = device_->error();
  if (failed.empty()) return {};
  const bool memory = failed.find("out of memory") != std::string::npos ||
                      failed.find("no memory is left") != std::string::npos;
  return fail(memory ? "out_of_memory" : "infrastructure",
              fmt::format("the GPU failed in {}: {}", what, failed));
}

Status DeviceTraining::capture(lua::Quantizer& on_cpu, const ForwardContext& context) {
  for (Linear* linear : linears()) BITLOOP_TRY(linear->capture(on_cpu, context, *device_));
  return {};
}

Status DeviceTraining::begin_step(const ForwardContext& context) {
  first_ = true;
  done_.clear();
  refused_.zero_();
  dwpe_.zero_();
  for (Linear* linear : linears()) {
    BITLOOP_TRY(linear->take_weights(context, *device_, integer_));
    // Not of the MLP's second layer (K = 4 D), whose product GELU's slope follows.
    const bool in_int8 = int8_gradients_ && linear->integer && linear->K == D_ &&
                         gradient_rows_.contains(linear->N) &&
                         device_->multiplies_integers(R_, linear->K, linear->N);
    linear->codes_back = in_int8 ? linear->weight_codes.t().contiguous() : at::Tensor();
  }
  // The head's product sets the gradient of the embedding that it is tied to.
  if (!head_->gradient.is_same(dwte_)) dwte_.zero_();
  for (Layer& layer : layers_)
    for (Norm* norm : {&layer.ln_1, &layer.ln_2}) norm->begin_step();
  norm_f_->begin_step();
  return check("quantising the weights");
}

void DeviceTraining::take(Linear& linear, const RowsIn& in) {
  kernels::RowsOut out{.refused = refused_.data_ptr<int32_t>() + refusal_of(std::ssize(done_))};
  out.value = bits(linear.value);  // for dL/dŵ, too
  if (linear.integer) {
    out.codes = codes_.data_ptr<int8_t>();
    out.scale = scale_.data_ptr<float>();
  }
  device_->quantize_rows(in, R_, linear.K, linear.rows.get(), linear.inputs.arguments(), out);
}

void DeviceTraining::multiply_codes(const Linear& linear, const at::Tensor& b,
                                    const kernels::Bf16* bias, const kernels::Bf16* addend,
                                    const at::Tensor& out) {
  device_->multiply(kernels::DeviceIntegerProduct{.M = R_,
                                                  .N = b.size(0),
                                                  .K = b.size(1),
                                                  .a = codes_.const_data_ptr<int8_t>(),
                                                  .b = b.const_data_ptr<int8_t>(),
                                                  .a_scale = scale_.const_data_ptr<float>(),
                                                  .b_scale = linear.alpha.const_data_ptr<float>(),
                                                  .bias = bias,
                                                  .addend = addend,
                                                  .out = bits(out)});
}

void DeviceTraining::multiply(Linear& linear, const at::Tensor* addend, const at::Tensor& out) {
  const auto* added = addend != nullptr ? bits(*addend) : nullptr;
  const auto* bias = linear.bias.defined() ? bits(linear.bias) : nullptr;
  if (linear.integer) {
    multiply_codes(linear, linear.weight_codes, bias, added, out);
    return;
  }
  device_->multiply(kernels::DeviceProduct{.M = R_,
                                           .N = linear.N,
                                           .K = linear.K,
                                           .a = bits(linear.value),
                                           .b = bits(linear.weight),
                                           .b_by_column = true,
                                           .alpha = linear.alpha_data(),
                                           .bias = bias,
                                           .addend = added,
                                           .out = bits(out)});
}

void DeviceTraining::backward(Linear& linear, const at::Tensor& dy, const at::Tensor& dx,
                              const at::Tensor* slope_at, bool sums_bias) {
  device_->multiply(kernels::DeviceProduct{.M = linear.N,
                                           .N = linear.K,
                                           .K = R_,
                                           .a = bits(dy),
                                           .b = bits(linear.value),
                                           .a_by_column = true,
                                           .sum = linear.gradient.data_ptr<float>(),
                                           .adds = !first_});
  if (sums_bias && linear.dbias.defined())
    device_->add_columns(bits(dy), R_, linear.N, linear.dbias.data_ptr<float>());
  if (linear.codes_back.defined() && slope_at == nullptr) {
    multiply_back_in_int8(linear, dy, dx);
    return;
  }
  device_->multiply(
      kernels::DeviceProduct{.M = R_,
                             .N = linear.K,
                             .K = linear.N,
                             .a = bits(dy),
                             .b = bits(linear.weight),
                             .alpha = linear.alpha_data(),
                             .slope_at = slope_at != nullptr ? bits(*slope_at) : nullptr,
                             .out = bits(dx)});
}

void DeviceTraining::multiply_back_in_int8(Linear& linear, const at::Tensor& dy,
                                           const at::Tensor& dx) {
  device_->quantize_rows({.kind = RowsIn::kPlain, .x = bits(dy)}, R_, linear.N,
                         gradient_rows_.at(linear.N).get(), {},
                         {.codes = codes_.data_ptr<int8_t>(),
                          .scale = scale_.data_ptr<float>(),
                          .refused = not_refused_.data_ptr<int32_t>()});
  multiply_codes(linear, linear.codes_back, nullptr, nullptr, dx);
}

void DeviceTraining::forward_layer(Layer& layer, const at::Tensor& x_next) {
  const kernels::DeviceAttention shape{B_, T_, model_->config().heads, D_ / model_->config().heads};
  take(layer.qkv, layer.ln_1.rows(layer.x));
  multiply(layer.qkv, nullptr, layer.heads);
  device_->attention(shape, bits(layer.heads), bits(layer.attended), layer.lse.data_ptr<float>());
  take(layer.proj, {.kind = RowsIn::kPlain, .x = bits(layer.attended)});
  multiply(layer.proj, &layer.x, layer.x_mid);
  take(layer.fc, layer.ln_2.rows(layer.x_mid));
  multiply(layer.fc, nullptr, layer.hidden);
  take(layer.mlp, {.kind = RowsIn::kGelu, .x = bits(layer.hidden)});
  multiply(layer.mlp, &layer.x_mid, x_next);
}

void DeviceTraining::forward() {
  for (size_t i = 0; i < layers_.size(); ++i)
    forward_layer(layers_[i], i + 1 < layers_.size() ? layers_[i + 1].x : x_f_);
  take(*head_, norm_f_->rows(x_f_));
}

// Logits, their loss and gradient, piece by piece: to dL/d(head's input) in dnarrow_.
void DeviceTraining::head_pass() {
  Linear& head = *head_;
  for (int64_t r = 0; r < R_; r += head_rows_) {
    const kernels::Bf16* value = bits(head.value) + r * D_;
    device_->multiply(kernels::DeviceProduct{.M = head_rows_,
                                             .N = V_,
                                             .K = D_,
                                             .a = value,
                                             .b = bits(head.weight),
                                             .b_by_column = true,
                                             .alpha = head.alpha_data(),
                                             .out = bits(logits_)});
    device_->cross_entropy(bits(logits_), batch_.targets() + r, head_rows_, V_, gradient_scale_,
                           losses_.data_ptr<float>() + r);
    device_->multiply(kernels::DeviceProduct{.M = V_,
                                             .N = D_,
                                             .K = head_rows_,
                                             .a = bits(logits_),
                                             .b = value,
                                             .a_by_column = true,
                                             .sum = head.gradient.data_ptr<float>(),
                                             .adds = !first_ || r > 0});
    device_->multiply(kernels::DeviceProduct{.M = head_rows_,
                                             .N = D_,
                                             .K = V_,
                                             .a = bits(logits_),
                                             .b = bits(head.weight),
                                             .alpha = head.alpha_data(),
                                             .out = bits(dnarrow_) + r * D_});
  }
}

// The residual's gradient is summed by the norm that makes it, for the layers that add to the
// residual.
void DeviceTraining::backward_layer(Layer& layer, const at::Tensor& below) {
  const kernels::DeviceAttention shape{B_, T_, model_->config().heads, D_ / model_->config().heads};
  backward(layer.mlp, dresidual_, dwide_, &layer.hidden, false);
  backward(layer.fc, dwide_, dnarrow_, nullptr, true);
  layer.ln_2.backward(*device_, dnarrow_, layer.x_mid, dresidual_, layer.proj.dbias);
  backward(layer.proj, dresidual_, dnarrow_, nullptr, false);
  device_->attention_backward(shape, bits(layer.heads), bits(layer.attended),
                              layer.lse.const_data_ptr<float>(), bits(dnarrow_), bits(dqkv_));
  backward(layer.qkv, dqkv_, dnarrow_, nullptr, true);
  layer.ln_1.backward(*device_, dnarrow_, layer.x, dresidual_, below);
}

void DeviceTraining::embed_backward() {
  device_->embed_backward(bits(dresidual_), batch_.ids(), batch_.order(), batch_.starts(),
                          batch_.distinct_ids(), R_, T_, D_, dwte_.data_ptr<float>(),
                          dwpe_.data_ptr<float>());
}

std::vector<std::vector<at::Tensor>> DeviceTraining::early_gradients() {
  std::vector<std::vector<at::Tensor>> groups;
  const auto add = [&](std::vector<const Norm*> norms, std::vector<const Linear*> linears) {
    std::vector<at::Tensor>& group = groups.emplace_back();
    for (const Linear* linear : linears) {
      // The head's product adds to the gradient of an embedding that it is tied to, which is whole
      // at the end.
      if (linear->gradient.defined() && !linear->gradient.is_same(dwte_))
        group.push_back(linear->gradient);
      if (linear->dbias.defined()) group.push_back(linear->dbias);
    }
    for (const Norm* norm : norms) group.insert(group.end(), {norm->dweight, norm->dbias});
  };
  add({norm_f_.get()}, {head_.get()});
  for (size_t i = layers_.size(); i-- > 0;) {
    const Layer& layer = layers_[i];
    add({&layer.ln_1, &layer.ln_2}, {&layer.mlp, &layer.fc, &layer.proj, &layer.qkv});
  }
  return groups;
}

Result<at::Tensor> DeviceTraining::accumulate(const at::Tensor& ids_BT,
                                              const at::Tensor& targets_BT, const ForwardContext&,
                                              double share, const Announce& announce) {
  batch_.take(ids_BT, targets_BT);
  gradient_scale_ = static_cast<float>(share / static_cast<double>(R_));
  device_->embed(batch_.ids(), model_->wte_.const_data_ptr<float>(),
                 model_->wpe_.const_data_ptr<float>(), R_, T_, D_, bits(layers_.front().x));
  forward();
  head_pass();
  dresidual_.zero_();
  norm_f_->backward(*device_, dnarrow_, x_f_, dresidual_, layers_.back().mlp.dbias);
  if (announce) announce(0);
  for (size_t i = layers_.size(); i-- > 0;) {
    backward_layer(layers_[i], i > 0 ? layers_[i - 1].mlp.dbias : at::Tensor());
    if (announce) announce(layers_.size() - i);
  }
  embed_backward();
  if (first_) attach_gradients();
  first_ = false;
  BITLOOP_TRY(check("a training step"));
  done_.push_back({ids_BT, losses_.sum(at::kDouble) / static_cast<double>(R_)});
  return done_.back().loss;
}

Status DeviceTraining::end_step(const ForwardContext& context) {
  const at::Tensor refused = refused_.cpu();  // waits for all
  BITLOOP_TRY(check("a training step"));
  for (size_t i = 0; i < done_.size(); ++i) {
    if (refused.data_ptr<int32_t>()[refusal_of(static_cast<int64_t>(i))] == 0) continue;
    // Where several share a place, one that diverged explains it.
    bool finite = true;
    for (size_t k = i % kRefusals; k < done_.size(); k += kRefusals)
      finite = finite && std::isfinite(done_[k].loss.item<double>());
    BITLOOP_TRY(judge(done_[i].ids, context, finite));
  }
  done_.clear();
  return {};
}

// What the functions themselves say of codes that a program refused: with activations that are no
// numbers the codes are none either, and that is not the candidate's doing.
Status DeviceTraining::judge(const at::Tensor& ids, const ForwardContext& context, bool finite) {
  at::NoGradGuard no_grad;
  const at::Tensor ids_BT = ids.to(place_);
  for (int64_t b = 0; b < B_; ++b)
    if (auto features = model_->features(ids_BT.narrow(0, b, 1), context); !features)
      return std::unexpected(features.error());
  if (!finite) return {};
  return fail("rejected",
              "activation_quant: a code is not a whole number in its range, or a scale is not "
              "finite as it is stored");
}

void DeviceTraining::attach_gradients() {
  at::Tensor(model_->wte_).mutable_grad() = dwte_;
  at::Tensor(model_->wpe_).mutable_grad() = dwpe_;
  for (Layer& layer : layers_)
    for (Norm* norm : {&layer.ln_1, &layer.ln_2}) norm->attach_gradients();
  norm_f_->attach_gradients();
  for (Linear* linear : linears()) linear->attach_gradients();
}

Status DeviceTraining::warm(const ForwardContext& context, bool tunes) {
  device_->tune(tunes);
  BITLOOP_TRY(begin_step(context));
  const at::Tensor zeros = at::zeros({B_, T_}, at::kLong);
  for (int pass = 0; pass < 2; ++pass) BITLOOP_TRY(accumulate(zeros, zeros, context, 1.0));
  BITLOOP_TRY(end_step(context));
  device_->tune(false);
  for (const auto& [name, tensor] : model_->named_parameters())
    at::Tensor(tensor).mutable_grad() = at::Tensor();
  return {};
}

}  // namespace bitloop::trainer
