// DeviceKernels that hands every call on to another one and, while timing is on, waits for it and
// notes how long it took: where a step's time goes, at the price of the gaps between calls. While a
// SpanRecorder is in place each call is a span, too.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "trainer/kernels/device_kernels.h"
#include "trainer/kernels/spans.h"

namespace bitloop::kernels {

class TimedKernels : public DeviceKernels {
 public:
  explicit TimedKernels(DeviceKernels& device) : device_(&device) {}
  explicit TimedKernels(std::unique_ptr<DeviceKernels> device)
      : device_(device.get()), owned_(std::move(device)) {}

  void set_timing(bool on) {
    timing_ = on;
    spent_.clear();
  }
  // Milliseconds since timing was switched on, by what was done.
  const std::map<std::string, double>& table() const { return spent_; }

  std::string error() override { return device_->error(); }
  void wait() override { device_->wait(); }
  void tune(bool on) override { device_->tune(on); }
  void set_deterministic(bool on) override { device_->set_deterministic(on); }
  std::unique_ptr<CompiledRows> compile(const RowQuantizer& quantizer, std::string& why) override {
    return device_->compile(quantizer, why);
  }
  std::unique_ptr<CompiledWeights> compile(const WeightQuantizer& quantizer,
                                           std::string& why) override {
    return device_->compile(quantizer, why);
  }
  void quantize_weights(const CompiledWeights& quantizer, const float* w,
                        const RowArguments& arguments, int8_t* codes, float* scale,
                        int32_t* refused) override {
    timed("quantise weights",
          [&] { device_->quantize_weights(quantizer, w, arguments, codes, scale, refused); });
  }
  bool multiplies_integers(int64_t M, int64_t N, int64_t K) override {
    return device_->multiplies_integers(M, N, K);
  }

  void multiply(const DeviceProduct& p) override {
    timed(p.sum != nullptr ? "product for weights"
          : p.b_by_column  ? "product forward"
                           : "product for activations",
          [&] { device_->multiply(p); });
  }
  void multiply(const DeviceIntegerProduct& p) override {
    timed("int8 product forward", [&] { device_->multiply(p); });
  }
  void multiply(const PackedProduct& p) override {
    timed("packed product", [&] { device_->multiply(p); });
  }
  void quantize_rows(const RowsIn& in, int64_t R, int64_t K, const CompiledRows* quantizer,
                     const RowArguments& arguments, const RowsOut& out) override {
    const char* names[] = {"quantise", "layer norm and quantise", "gelu and quantise"};
    timed(names[in.kind], [&] { device_->quantize_rows(in, R, K, quantizer, arguments, out); });
  }
  void embed(const int64_t* ids, const float* wte, const float* wpe, int64_t R, int64_t T,
             int64_t D, Bf16* x) override {
    timed("embedding", [&] { device_->embed(ids, wte, wpe, R, T, D, x); });
  }
  void embed_backward(const Bf16* dx, const int64_t* ids, const int32_t* order,
                      const int32_t* starts, int64_t count, int64_t R, int64_t T, int64_t D,
                      float* dwte, float* dwpe) override {
    timed("embedding backward",
          [&] { device_->embed_backward(dx, ids, order, starts, count, R, T, D, dwte, dwpe); });
  }
  void attention(const DeviceAttention& shape, const Bf16* qkv, Bf16* out, float* lse) override {
    timed("attention", [&] { device_->attention(shape, qkv, out, lse); });
  }
  void attention_backward(const DeviceAttention& shape, const Bf16* qkv, const Bf16* out,
                          const float* lse, const Bf16* dout, Bf16* dqkv) override {
    timed("attention backward",
          [&] { device_->attention_backward(shape, qkv, out, lse, dout, dqkv); });
  }
  void layer_norm_backward(const Bf16* dy, const Bf16* x, const float* mean, const float* rstd,
                           const float* weight, int64_t R, int64_t D, Bf16* dx, float* dweight,
                           float* dbias, float* columns) override {
    timed("layer norm backward", [&] {
      device_->layer_norm_backward(dy, x, mean, rstd, weight, R, D, dx, dweight, dbias, columns);
    });
  }
  void cross_entropy(Bf16* logits, const int64_t* targets, int64_t R, int64_t V, float scale,
                     float* losses) override {
    timed("cross-entropy", [&] { device_->cross_entropy(logits, targets, R, V, scale, losses); });
  }
  void add_columns(const Bf16* x, int64_t R, int64_t N, float* sum) override {
    timed("biases' gradients", [&] { device_->add_columns(x, R, N, sum); });
  }
  void round(const float* from, int64_t n, Bf16* to) override {
    timed("weights to bfloat16", [&] { device_->round(from, n, to); });
  }
  void widen(const int8_t* from, int64_t n, Bf16* to) override {
    timed("weights to bfloat16", [&] { device_->widen(from, n, to); });
  }

 private:
  template <typename Work>
  void timed(const char* what, const Work& work) {
    const bool recorded = span_recorder.load(std::memory_order_relaxed) != nullptr;
    if (!timing_ && !recorded) return work();
    device_->wait();
    const Span span("GPU", what);
    const auto start = std::chrono::steady_clock::now();
    work();
    device_->wait();
    const std::chrono::duration<double, std::milli> taken =
        std::chrono::steady_clock::now() - start;
    if (timing_) spent_[what] += taken.count();
  }

  DeviceKernels* device_;
  std::unique_ptr<DeviceKernels> owned_;
  bool timing_ = false;
  std::map<std::string, double> spent_;
};

}  // namespace bitloop::kernels
