// DeviceKernels in plain loops: the meaning of each call, rounding to bfloat16 where CUDA's kernels
// round. Slow, for tests alone.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "trainer/kernels/bfloat16.h"
#include "trainer/kernels/codes.h"
#include "trainer/kernels/device_kernels.h"
#include "trainer/kernels/reference_packed.h"

namespace bitloop::kernels {
namespace {

constexpr double kGeluScale = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;  // sqrt(2 / pi)
constexpr double kGeluCubic = 0.044715;

double gelu(double x) {
  return 0.5 * x * (1 + std::tanh(kGeluScale * (x + kGeluCubic * x * x * x)));
}
double gelu_slope(double x) {
  const double t = std::tanh(kGeluScale * (x + kGeluCubic * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * kGeluScale * (1 + 3 * kGeluCubic * x * x);
}

struct ReferenceWeights : CompiledWeights {
  explicit ReferenceWeights(WeightQuantizer given) : quantizer(std::move(given)) {}
  WeightQuantizer quantizer;
};
struct ReferenceRows : CompiledRows {
  explicit ReferenceRows(RowQuantizer given) : quantizer(std::move(given)) {}
  RowQuantizer quantizer;
};

// Rows as they come, in float32.
std::vector<float> make_rows(const RowsIn& in, int64_t R, int64_t K) {
  std::vector<float> rows(static_cast<size_t>(R * K));
  for (int64_t r = 0; r < R; ++r) {
    const Bf16* x = in.x + r * K;
    float* out = rows.data() + r * K;
    if (in.kind == RowsIn::kLayerNorm) {
      double sum = 0, squares = 0;
      for (int64_t k = 0; k < K; ++k) sum += from_bfloat16(x[k]);
      const double mean = sum / static_cast<double>(K);
      for (int64_t k = 0; k < K; ++k) squares += std::pow(from_bfloat16(x[k]) - mean, 2);
      const double rstd = 1 / std::sqrt(squares / static_cast<double>(K) + in.epsilon);
      in.mean[r] = static_cast<float>(mean), in.rstd[r] = static_cast<float>(rstd);
      for (int64_t k = 0; k < K; ++k)
        out[k] =
            static_cast<float>((from_bfloat16(x[k]) - mean) * rstd * in.weight[k] + in.bias[k]);
    } else {
      for (int64_t k = 0; k < K; ++k) {
        const float v = from_bfloat16(x[k]);
        out[k] = in.kind == RowsIn::kGelu ? static_cast<float>(gelu(v)) : v;
      }
    }
  }
  return rows;
}

void store_codes(const RowQuantizer& quantizer, const std::vector<float>& codes,
                 const std::vector<float>& scales, int64_t R, int64_t K, const RowsOut& out) {
  for (int64_t r = 0; r < R; ++r) {
    float scale = scales[static_cast<size_t>(r)];
    if (!round_stored(&scale, 1, quantizer.half_scale, &scale)) *out.refused = 1;
    if (out.scale != nullptr) out.scale[r] = scale;
    for (int64_t k = 0; k < K; ++k) {
      const float made = codes[static_cast<size_t>(r * K + k)], code = std::rint(made);
      const bool good =
          std::abs(made - code) <= kSnap && code >= quantizer.low && code <= quantizer.high;
      if (!good) *out.refused = 1;
      if (out.value != nullptr) out.value[r * K + k] = to_bfloat16(code * scale);
      if (out.codes != nullptr) out.codes[r * K + k] = good ? static_cast<int8_t>(code) : int8_t{0};
    }
  }
}

class Reference : public DeviceKernels {
 public:
  std::string error() override { return {}; }

  std::unique_ptr<CompiledRows> compile(const RowQuantizer& quantizer, std::string&) override {
    return std::make_unique<ReferenceRows>(quantizer);
  }

  std::unique_ptr<CompiledWeights> compile(const WeightQuantizer& quantizer,
                                           std::string&) override {
    return std::make_unique<ReferenceWeights>(quantizer);
  }

  void quantize_weights(const CompiledWeights& compiled, const float* w,
                        const RowArguments& arguments, int8_t* codes, float* scale,
                        int32_t* refused) override {
    const WeightQuantizer& q = static_cast<const ReferenceWeights&>(compiled).quantizer;
    const float* full[] = {w};
    int64_t scales = 1;
    run(q.program,
        {.rows = q.rows,
         .columns = q.columns,
         .full = full,
         .row = arguments.row,
         .column = arguments.column,
         .scalars = arguments.scalars,
         .source = {}},
        [&](int64_t first, int64_t count, std::span<const float* const> outputs) {
          if (outputs[0] != nullptr && !pack_levels_run(outputs[0], count * q.columns, q.levels,
                                                        q.integers, codes + first * q.columns))
            *refused = 1;
          if (outputs[1] == nullptr) return;
          std::copy_n(outputs[1], std::max<int64_t>(count, 1), scale + first);
          if (count > 0) scales = q.rows;
        });
    if (!round_stored(scale, scales, q.half_scale, scale)) *refused = 1;
  }

  void multiply(const DeviceProduct& p) override {
    const double alpha = p.alpha != nullptr ? *p.alpha : 1.0;
    for (int64_t m = 0; m < p.M; ++m)
      for (int64_t n = 0; n < p.N; ++n) {
        double sum = 0;
        for (int64_t k = 0; k < p.K; ++k)
          sum +=
              static_cast<double>(from_bfloat16(p.a[p.a_by_column ? k * p.M + m : m * p.K + k])) *
              from_bfloat16(p.b[p.b_by_column ? n * p.K + k : k * p.N + n]);
        const int64_t at = m * p.N + n;
        double y = alpha * sum;
        if (p.addend != nullptr) y += from_bfloat16(p.addend[at]);
        if (p.bias != nullptr) y += from_bfloat16(p.bias[n]);
        if (p.slope_at != nullptr) y *= gelu_slope(from_bfloat16(p.slope_at[at]));
        if (p.out != nullptr)
          p.out[at] = to_bfloat16(static_cast<float>(y));
        else
          p.sum[at] = static_cast<float>(p.adds ? p.sum[at] + y : y);
      }
  }

  void multiply(const DeviceIntegerProduct& p) override {
    for (int64_t m = 0; m < p.M; ++m)
      for (int64_t n = 0; n < p.N; ++n) {
        int32_t sum = 0;
        for (int64_t k = 0; k < p.K; ++k) sum += p.a[m * p.K + k] * p.b[n * p.K + k];
        double y = static_cast<double>(sum) * p.a_scale[m] * *p.b_scale;
        if (p.bias != nullptr) y += from_bfloat16(p.bias[n]);
        if (p.addend != nullptr) y += from_bfloat16(p.addend[m * p.N + n]);
        p.out[m * p.N + n] = to_bfloat16(static_cast<float>(y));
      }
  }
  bool multiplies_integers(int64_t, int64_t, int64_t) override { return true; }

  void multiply(const PackedProduct& product) override { reference_packed_product(product); }
  void quantize_rows(const RowsIn& in, int64_t R, int64_t K, const CompiledRows* compiled,
                     const RowArguments& arguments, const RowsOut& out) override {
    const std::vector<float> rows = make_rows(in, R, K);
    if (compiled == nullptr) {
      for (int64_t i = 0; i < R * K; ++i) out.value[i] = to_bfloat16(rows[static_cast<size_t>(i)]);
      return;
    }
    const RowQuantizer& quantizer = static_cast<const ReferenceRows*>(compiled)->quantizer;
    std::vector<float> codes(static_cast<size_t>(R * K)), scales(static_cast<size_t>(R));
    const float* full[] = {rows.data()};
    run(quantizer.program,
        {.rows = R,
         .columns = K,
         .full = full,
         .row = arguments.row,
         .column = arguments.column,
         .scalars = arguments.scalars,
         .source = {}},
        [&](int64_t first, int64_t count, std::span<const float* const> outputs) {
          if (outputs[0] != nullptr) std::copy_n(outputs[0], count * K, codes.data() + first * K);
          if (outputs[1] != nullptr && count > 0)
            std::copy_n(outputs[1], count, scales.data() + first);
          if (outputs[1] != nullptr && count == 0) std::ranges::fill(scales, *outputs[1]);
        });
    store_codes(quantizer, codes, scales, R, K, out);
  }

  void embed(const int64_t* ids, const float* wte, const float* wpe, int64_t R, int64_t T,
             int64_t D, Bf16* x) override {
    for (int64_t i = 0; i < R * D; ++i)
      x[i] = to_bfloat16(wte[ids[i / D] * D + i % D] + wpe[i / D % T * D + i % D]);
  }

  void embed_backward(const Bf16* dx, const int64_t* ids, const int32_t*, const int32_t*, int64_t,
                      int64_t R, int64_t T, int64_t D, float* dwte, float* dwpe) override {
    for (int64_t i = 0; i < R * D; ++i) {
      dwte[ids[i / D] * D + i % D] += from_bfloat16(dx[i]);
      dwpe[i / D % T * D + i % D] += from_bfloat16(dx[i]);
    }
  }

  void attention(const DeviceAttention& s, const Bf16* qkv, Bf16* out, float* lse) override {
    each_head(s, [&](int64_t b, int64_t h) {
      for (int64_t t = 0; t < s.T; ++t) {
        const std::vector<double> scores = scores_of(s, qkv, b, h, t);
        const double top = *std::ranges::max_element(scores);
        double sum = 0;
        for (const double score : scores) sum += std::exp(score - top);
        lse[(b * s.H + h) * s.T + t] = static_cast<float>(top + std::log(sum));
        for (int64_t c = 0; c < s.S; ++c) {
          double mixed = 0;
          for (int64_t u = 0; u <= t; ++u)
            mixed += std::exp(scores[static_cast<size_t>(u)] - top) / sum *
                     from_bfloat16(qkv[place(s, b, u, 2, h) + c]);
          out[((b * s.T + t) * s.H + h) * s.S + c] = to_bfloat16(static_cast<float>(mixed));
        }
      }
    });
  }

  void attention_backward(const DeviceAttention& s, const Bf16* qkv, const Bf16* out,
                          const float* lse, const Bf16* dout, Bf16* dqkv) override {
    const double factor = 1 / std::sqrt(static_cast<double>(s.S));
    std::vector<double> sums(static_cast<size_t>(s.B * s.T * 3 * s.H * s.S));
    each_head(s, [&](int64_t b, int64_t h) {
      for (int64_t t = 0; t < s.T; ++t) {
        const std::vector<double> scores = scores_of(s, qkv, b, h, t);
        const int64_t row = ((b * s.T + t) * s.H + h) * s.S;
        double delta = 0;
        for (int64_t c = 0; c < s.S; ++c)
          delta += static_cast<double>(from_bfloat16(dout[row + c])) * from_bfloat16(out[row + c]);
        for (int64_t u = 0; u <= t; ++u) {
          const double p = std::exp(scores[static_cast<size_t>(u)] - lse[(b * s.H + h) * s.T + t]);
          double dp = 0;
          for (int64_t c = 0; c < s.S; ++c)
            dp += static_cast<double>(from_bfloat16(dout[row + c])) *
                  from_bfloat16(qkv[place(s, b, u, 2, h) + c]);
          const double ds = p * (dp - delta) * factor;
          for (int64_t c = 0; c < s.S; ++c) {
            const int64_t q = place(s, b, t, 0, h) + c, k = place(s, b, u, 1, h) + c,
                          v = place(s, b, u, 2, h) + c;
            sums[static_cast<size_t>(q)] += ds * from_bfloat16(qkv[k]);
            sums[static_cast<size_t>(k)] += ds * from_bfloat16(qkv[q]);
            sums[static_cast<size_t>(v)] += p * from_bfloat16(dout[row + c]);
          }
        }
      }
    });
    for (size_t i = 0; i < sums.size(); ++i) dqkv[i] = to_bfloat16(static_cast<float>(sums[i]));
  }

  void layer_norm_backward(const Bf16* dy, const Bf16* x, const float* mean, const float* rstd,
                           const float* weight, int64_t R, int64_t D, Bf16* dx, float* dweight,
                           float* dbias, float* columns) override {
    for (int64_t r = 0; r < R; ++r) {
      const auto normal = [&](int64_t d) {
        return (static_cast<double>(from_bfloat16(x[r * D + d])) - mean[r]) * rstd[r];
      };
      double sum = 0, dot = 0;
      for (int64_t d = 0; d < D; ++d) {
        const double g = static_cast<double>(from_bfloat16(dy[r * D + d])) * weight[d];
        sum += g / static_cast<double>(D), dot += g * normal(d) / static_cast<double>(D);
      }
      for (int64_t d = 0; d < D; ++d) {
        const double gradient = from_bfloat16(dy[r * D + d]);
        Bf16& to = dx[r * D + d];
        to = to_bfloat16(static_cast<float>(
            from_bfloat16(to) + rstd[r] * (gradient * weight[d] - sum - normal(d) * dot)));
        dweight[d] += static_cast<float>(gradient * normal(d));
        dbias[d] += static_cast<float>(gradient);
        if (columns != nullptr) columns[d] += from_bfloat16(to);
      }
    }
  }

  void cross_entropy(Bf16* logits, const int64_t* targets, int64_t R, int64_t V, float scale,
                     float* losses) override {
    for (int64_t r = 0; r < R; ++r) {
      Bf16* row = logits + r * V;
      double top = -HUGE_VAL, sum = 0;
      for (int64_t v = 0; v < V; ++v) top = std::max<double>(top, from_bfloat16(row[v]));
      for (int64_t v = 0; v < V; ++v) sum += std::exp(from_bfloat16(row[v]) - top);
      losses[r] = static_cast<float>(top + std::log(sum) - from_bfloat16(row[targets[r]]));
      for (int64_t v = 0; v < V; ++v) {
        const double p = std::exp(from_bfloat16(row[v]) - top) / sum;
        row[v] = to_bfloat16(static_cast<float>((p - (v == targets[r] ? 1 : 0)) * scale));
      }
    }
  }

  void add_columns(const Bf16* x, int64_t R, int64_t N, float* sum) override {
    for (int64_t i = 0; i < R * N; ++i) sum[i % N] += from_bfloat16(x[i]);
  }
  void round(const float* from, int64_t n, Bf16* to) override {
    for (int64_t i = 0; i < n; ++i) to[i] = to_bfloat16(from[i]);
  }
  void widen(const int8_t* from, int64_t n, Bf16* to) override {
    for (int64_t i = 0; i < n; ++i) to[i] = to_bfloat16(from[i]);
  }

 private:
  // Where the S numbers of query (0), key (1) or value (2) of a token's head begin.
  static int64_t place(const DeviceAttention& s, int64_t b, int64_t t, int64_t which, int64_t h) {
    return (((b * s.T + t) * 3 + which) * s.H + h) * s.S;
  }
  template <typename Body>
  static void each_head(const DeviceAttention& s, const Body& body) {
    for (int64_t b = 0; b < s.B; ++b)
      for (int64_t h = 0; h < s.H; ++h) body(b, h);
  }
  static std::vector<double> scores_of(const DeviceAttention& s, const Bf16* qkv, int64_t b,
                                       int64_t h, int64_t t) {
    std::vector<double> scores(static_cast<size_t>(t + 1));
    for (int64_t u = 0; u <= t; ++u) {
      double dot = 0;
      for (int64_t c = 0; c < s.S; ++c)
        dot += static_cast<double>(from_bfloat16(qkv[place(s, b, t, 0, h) + c])) *
               from_bfloat16(qkv[place(s, b, u, 1, h) + c]);
      scores[static_cast<size_t>(u)] = dot / std::sqrt(static_cast<double>(s.S));
    }
    return scores;
  }
};

}  // namespace

std::unique_ptr<DeviceKernels> reference_kernels() { return std::make_unique<Reference>(); }

}  // namespace bitloop::kernels
