// The ternary quantizer's two functions, each in four forms on the same numbers: the Lua function
// operation by operation, captured, written in C++ with LibTorch's operations, and as a loop fused
// by hand. All end in int8 codes and scales. Prints one JSON object: milliseconds, the best of
// many.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "harness/base/fd.h"
#include "trainer/kernels/simd.h"
#include "trainer/kernels/team.h"
#include "trainer/model/activation.h"
#include "trainer/model/candidate.h"

namespace bitloop::trainer {
namespace {

constexpr int64_t kRows = 2048, kColumns = 512;  // the widest activation of `tiny`
constexpr int kRepetitions = 200;

struct Codes {
  at::Tensor codes, scale;
};

template <typename Body>
double best_ms(const Body& body) {
  double best = 1e9;
  for (int i = 0; i < kRepetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double, std::milli> taken =
        std::chrono::steady_clock::now() - start;
    best = std::min(best, taken.count());
  }
  return best;
}

template <typename T>
T value_of(Result<T> result) {
  if (result) return std::move(*result);
  fmt::print(stderr, "bench: {}\n", result.error().message);
  std::exit(1);
}

void value_of(const Status& status) {
  if (status) return;
  fmt::print(stderr, "bench: {}\n", status.error().message);
  std::exit(1);
}

// round(x / s) as int8 in [low, high].
BITLOOP_SIMD void quantise_run(const float* x, int64_t n, float scale, float low, float high,
                               int8_t* codes) {
  for (int64_t i = 0; i < n; ++i) {
    const float code = __builtin_rintf(x[i] / scale);
    codes[i] = static_cast<int8_t>(static_cast<int32_t>(code < low    ? low
                                                        : code > high ? high
                                                                      : code));
  }
}

BITLOOP_SIMD float largest_size(const float* x, int64_t n) {
  float largest = 0.0f;
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < n; ++i) {
    const float size = __builtin_fabsf(x[i]);
    largest = size > largest ? size : largest;
  }
  return largest;
}

BITLOOP_SIMD double sum_of_sizes(const float* x, int64_t n) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += __builtin_fabsf(x[i]);
  return sum;
}

Codes activation_by_hand(const at::Tensor& x) {
  Codes made{at::empty(x.sizes(), at::kChar), at::empty({x.size(0)}, at::kFloat)};
  const float* from = x.const_data_ptr<float>();
  auto* codes = made.codes.data_ptr<int8_t>();
  auto* scale = made.scale.data_ptr<float>();
  kernels::run_parts(x.size(0), 32, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = from + r * kColumns;
      scale[r] = std::max(largest_size(row, kColumns), 1e-5f) / 127;
      quantise_run(row, kColumns, scale[r], -128, 127, codes + r * kColumns);
    }
  });
  return made;
}

Codes weight_by_hand(const at::Tensor& w) {
  Codes made{at::empty(w.sizes(), at::kChar), at::empty({1}, at::kFloat)};
  const float* from = w.const_data_ptr<float>();
  auto* codes = made.codes.data_ptr<int8_t>();
  std::vector<double> sums(static_cast<size_t>(w.size(0)));
  kernels::run_parts(w.size(0), 32, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      sums[static_cast<size_t>(r)] = sum_of_sizes(from + r * kColumns, kColumns);
  });
  double sum = 0;
  for (const double part : sums) sum += part;
  const auto scale = static_cast<float>(std::max(sum / static_cast<double>(w.numel()), 1e-5));
  *made.scale.data_ptr<float>() = scale;
  kernels::run_parts(w.size(0), 32, [&](int64_t begin, int64_t end) {
    quantise_run(from + begin * kColumns, (end - begin) * kColumns, scale, -1, 1,
                 codes + begin * kColumns);
  });
  return made;
}

Codes activation_by_operations(const at::Tensor& x) {
  const at::Tensor scale = x.abs().amax({-1}, true).clamp_min(1e-5) / 127;
  return {(x / scale).round().clamp(-128, 127).to(at::kChar), scale};
}

Codes weight_by_operations(const at::Tensor& w) {
  const at::Tensor scale = w.abs().mean().clamp_min(1e-5);
  return {(w / scale).round().clamp(-1, 1).to(at::kChar), scale};
}

// Both functions of the file, for a layer with a weight of kRows x kColumns.
class Modes {
 public:
  Modes() {
    const auto text =
        value_of(read_file(std::string(BITLOOP_SOURCE_DIR) + "/quantizers/ternary.lua"));
    quantizer_ = value_of(lua::Quantizer::load(text, "ternary.lua", lua::Limits{}));
    layer_.quantized = true;
    layer_.layer.name = "layer";
    layer_.layer.out_features = kRows;
    layer_.layer.in_features = kColumns;
    layer_.weight = at::randn({kRows, kColumns}) * 0.02;
    x_ = at::randn({kRows, kColumns});
    value_of(quantize_weight(layer_, context(false)));
  }

  const at::Tensor& x() const { return x_; }
  const at::Tensor& w() const { return layer_.weight; }

  Codes activation(bool captured) {
    const float* from = x_.const_data_ptr<float>();
    const auto rows = [=](int64_t first, int64_t count, float* out) {
      std::copy_n(from + first * kColumns, count * kColumns, out);
    };
    ActivationGradient gradient;
    value_of(quantize_activation_rows(layer_, rows, kRows, context(captured), packed_, gradient));
    return {packed_.int8, packed_.scale};
  }

  Codes weight(bool captured) {
    value_of(quantize_weight(layer_, context(captured)));
    return {layer_.weight_operand.codes_int8, layer_.weight_operand.int8_scale};
  }

 private:
  ForwardContext context(bool captured) {
    return {.quantizer = quantizer_.get(),
            .training = true,
            .products = Products::kBfloat16,
            .captured = captured};
  }

  std::unique_ptr<lua::Quantizer> quantizer_;
  BitLinear layer_;
  PackedActivation packed_;
  at::Tensor x_;
};

// The forms must agree before their times mean anything: codes but for roundings on a boundary.
void compare(const char* what, const Codes& a, const Codes& b) {
  const double off = a.codes.ne(b.codes).to(at::kFloat).mean().item<double>();
  if (off <= 1e-4) return;
  fmt::print(stderr, "bench: {} gives other codes in {} of all places\n", what, off);
  std::exit(1);
}

void run() {
  at::NoGradGuard no_grad;
  at::set_num_threads(2);
  at::manual_seed(1);
  Modes modes;
  const Codes x = activation_by_hand(modes.x()), w = weight_by_hand(modes.w());
  for (const bool captured : {false, true, true}) {  // the first captured call records
    compare("activation_quant", modes.activation(captured), x);
    compare("weight_quant", modes.weight(captured), w);
  }
  compare("the activation's operations", activation_by_operations(modes.x()), x);
  compare("the weight's operations", weight_by_operations(modes.w()), w);
  fmt::print(
      "{{\"activation\": {{\"lua\": {:.4f}, \"captured\": {:.4f}, \"libtorch\": {:.4f}, "
      "\"by_hand\": "
      "{:.4f}}}, ",
      best_ms([&] { modes.activation(false); }), best_ms([&] { modes.activation(true); }),
      best_ms([&] { activation_by_operations(modes.x()); }),
      best_ms([&] { activation_by_hand(modes.x()); }));
  fmt::print(
      "\"weight\": {{\"lua\": {:.4f}, \"captured\": {:.4f}, \"libtorch\": {:.4f}, \"by_hand\": "
      "{:.4f}}}}}\n",
      best_ms([&] { modes.weight(false); }), best_ms([&] { modes.weight(true); }),
      best_ms([&] { weight_by_operations(modes.w()); }),
      best_ms([&] { weight_by_hand(modes.w()); }));
}

}  // namespace
}  // namespace bitloop::trainer

int main() { bitloop::trainer::run(); }
