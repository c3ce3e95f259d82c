// What a training step on an accelerator is made of: products of matrices, attention, and passes
// over rows. Two implementations: CUDA's (trainer/cuda, a library of its own that is opened where a
// driver is) and the plain loops of reference_kernels.cpp, which say what each call means: tests
// run the whole step with them where there is no GPU, and compare each kernel with them where there
// is one.
//
// All matrices are row-major and contiguous. Pointers are the device's, but where "host" is said.
// Calls queue their work and return; what fails is remembered (error()).
//
// Legend: R rows (tokens), K and N columns, B sequences, T tokens, H heads, S head size, V
// vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trainer/kernels/packed_weight.h"
#include "trainer/kernels/row_program.h"

namespace bitloop::kernels {

using Bf16 = uint16_t;  // the bits of a bfloat16

// out (M, N) = alpha · a · b (+ addend) (+ bias), sums in float32.
struct DeviceProduct {
  int64_t M = 0, N = 0, K = 0;
  const Bf16* a = nullptr;  // (M, K), or with a_by_column (K, M)
  const Bf16* b = nullptr;  // (K, N), or with b_by_column (N, K)
  bool a_by_column = false, b_by_column = false;
  const float* alpha = nullptr;    // one number; null: 1
  const Bf16* bias = nullptr;      // (N)
  const Bf16* addend = nullptr;    // (M, N)
  const Bf16* slope_at = nullptr;  // (M, N): the product times gelu'(slope_at)
  Bf16* out = nullptr;             // (M, N), or
  float* sum = nullptr;            // (M, N): set to the product, or added to where `adds`
  bool adds = false;
};

// out (M, N) = (a · bᵀ) · a_scale · b_scale (+ bias) (+ addend): a (M, K) and b (N, K) are int8,
// the sum is exact, all else is float32.
struct DeviceIntegerProduct {
  int64_t M = 0, N = 0, K = 0;
  const int8_t *a = nullptr, *b = nullptr;
  const float* a_scale = nullptr;  // (M)
  const float* b_scale = nullptr;  // one number
  const Bf16 *bias = nullptr, *addend = nullptr;
  Bf16* out = nullptr;
};

// How the rows come about that a layer takes.
struct RowsIn {
  enum Kind : uint8_t {
    kPlain,      // x
    kLayerNorm,  // (x - mean) · rstd · weight + bias
    kGelu,       // tanh-GELU of x
  } kind = kPlain;
  const Bf16* x = nullptr;                         // (R, K)
  const float *weight = nullptr, *bias = nullptr;  // (K) of the LayerNorm
  float epsilon = 1e-5f;
  float *mean = nullptr, *rstd = nullptr;  // (R), written by a LayerNorm
};

// What becomes of them. Without a program: `value` alone, rounded to bfloat16.
struct RowsOut {
  Bf16* value = nullptr;       // (R, K) codes · scale, rounded; or null
  int8_t* codes = nullptr;     // (R, K), or null
  float* scale = nullptr;      // (R), of the codes; or null
  int32_t* refused = nullptr;  // one number, not 0 afterwards: a code or a scale is not allowed
};

// A captured activation_quant, ready to run on rows (see CapturedFunction::streams). What its codes
// and scales must be comes with it.
struct RowQuantizer {
  RowProgram program;
  int64_t K = 0;
  float low = -128, high = 127;  // codes are whole numbers in between
  bool half_scale = true;        // scales are rounded to float16, else they are float32
};
// Its parameters; pointers are the device's. At most so many of each kind:
inline constexpr int kMostInputs = 8;
struct RowArguments {
  std::span<const float*const> row, column;  // host arrays
  std::span<const float> scalars;            // host numbers
};

// A captured weight_quant of a whole matrix, with one scale for it or one a row: what
// CapturedFunction::pass_codes runs. Codes become the levels' integers.
struct WeightQuantizer {
  RowProgram program;
  int64_t rows = 0, columns = 0;
  std::vector<float> levels;
  std::vector<int8_t> integers;  // of each level
  bool half_scale = true;
};

// What a back end has compiled.
class CompiledRows {
 public:
  virtual ~CompiledRows() = default;
};
class CompiledWeights {
 public:
  virtual ~CompiledWeights() = default;
};

struct DeviceAttention {
  int64_t B = 0, T = 0, H = 0, S = 0;
};

// Of this interface, which a library of another build may have: to be raised with each change.
inline constexpr int kDeviceKernelsVersion = 2;

class DeviceKernels {
 public:
  virtual ~DeviceKernels() = default;

  // The first failure of any call, or empty. Waits for nothing.
  virtual std::string error() = 0;
  // Until everything that was queued is done.
  virtual void wait() {}

  // Gets a program ready. Null where it can't be, and `why` says what is in the way.
  virtual std::unique_ptr<CompiledRows> compile(const RowQuantizer& quantizer,
                                                std::string& why) = 0;

  // While this is on, the first product of each shape is done by several algorithms and the fastest
  // is kept; sums that are added to are worth nothing then.
  virtual void tune(bool) {}
  // Whether two runs give the same bits (the default), also where that costs time.
  virtual void set_deterministic(bool) {}

  virtual std::unique_ptr<CompiledWeights> compile(const WeightQuantizer& quantizer,
                                                   std::string& why) = 0;
  // codes (rows, columns), and scale: one number or one a row. refused is not 0 afterwards where a
  // code is near no level, or a scale is not finite as it is stored.
  virtual void quantize_weights(const CompiledWeights& quantizer, const float* w,
                                const RowArguments& arguments, int8_t* codes, float* scale,
                                int32_t* refused) = 0;

  virtual void multiply(const DeviceProduct& product) = 0;
  virtual void multiply(const DeviceIntegerProduct& product) = 0;
  // Whether the second one is there for this shape.
  virtual bool multiplies_integers(int64_t M, int64_t N, int64_t K) = 0;

  // Of few rows with a weight that stays packed: generation's.
  virtual void multiply(const PackedProduct& product) = 0;

  // Rows as they come, rounded; `quantizer` may be null.
  virtual void quantize_rows(const RowsIn& in, int64_t R, int64_t K, const CompiledRows* quantizer,
                             const RowArguments& arguments, const RowsOut& out) = 0;

  // x (R, D) = wte[ids] + wpe[place], the place being r % T.
  virtual void embed(const int64_t* ids, const float* wte, const float* wpe, int64_t R, int64_t T,
                     int64_t D, Bf16* x) = 0;
  // dwte[ids[r]] += dx[r], dwpe[r % T] += dx[r], in an order that is always the same. `order` (R)
  // are the rows sorted by id, rows of the same id in their order; `starts` (count + 1) is where
  // each id's begin.
  virtual void embed_backward(const Bf16* dx, const int64_t* ids, const int32_t* order,
                              const int32_t* starts, int64_t count, int64_t R, int64_t T, int64_t D,
                              float* dwte, float* dwpe) = 0;

  // Causal self-attention. qkv (B, T, 3, H, S) -> out (B, T, H, S); lse (B, H, T): the logarithm of
  // each row's sum of exponentials.
  virtual void attention(const DeviceAttention& shape, const Bf16* qkv, Bf16* out, float* lse) = 0;
  virtual void attention_backward(const DeviceAttention& shape, const Bf16* qkv, const Bf16* out,
                                  const float* lse, const Bf16* dout, Bf16* dqkv) = 0;

  // dx (R, D) += dL/dx of a LayerNorm; dweight and dbias (D) += theirs. columns (D), unless null,
  // += the columns of the new dx.
  virtual void layer_norm_backward(const Bf16* dy, const Bf16* x, const float* mean,
                                   const float* rstd, const float* weight, int64_t R, int64_t D,
                                   Bf16* dx, float* dweight, float* dbias, float* columns) = 0;

  // logits (R, V) -> dL/dlogits · scale in their place; losses (R) in nats.
  virtual void cross_entropy(Bf16* logits, const int64_t* targets, int64_t R, int64_t V,
                             float scale, float* losses) = 0;
  // sum (N) += the columns of x (R, N).
  virtual void add_columns(const Bf16* x, int64_t R, int64_t N, float* sum) = 0;

  // to = from rounded to bfloat16 (n numbers).
  virtual void round(const float* from, int64_t n, Bf16* to) = 0;
  virtual void widen(const int8_t* from, int64_t n, Bf16* to) = 0;
};

// Plain loops on this processor's memory.
std::unique_ptr<DeviceKernels> reference_kernels();

}  // namespace bitloop::kernels
