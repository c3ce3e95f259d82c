// libbitloop_cuda: DeviceKernels on CUDA, behind one C function (see open_cuda_kernels in
// trainer/device).
#include <cuda_runtime_api.h>

#include <map>
#include <memory>

#include "trainer/cuda/attention.h"
#include "trainer/cuda/device_memory.h"
#include "trainer/cuda/failure.h"
#include "trainer/cuda/integer_products.h"
#include "trainer/cuda/launches.h"
#include "trainer/cuda/products.h"
#include "trainer/cuda/row_kernels.h"
#include "trainer/cuda/weight_kernels.h"

namespace bitloop::cuda {
namespace {

using namespace kernels;

constexpr int64_t kColumnParts = 264;

class CudaKernels : public DeviceKernels {
 public:
  explicit CudaKernels(KernelCache* cache) : compiler_(cache) {}
  std::string error() override {
    failure_.check(cudaPeekAtLastError(), "a kernel failed");
    return failure_.text();
  }
  void wait() override { failure_.check(cudaDeviceSynchronize(), "the GPU"); }

  // What can't be compiled is no failure of the device: the caller has another way.
  std::unique_ptr<CompiledRows> compile(const RowQuantizer& quantizer, std::string& why) override {
    Failure refused;
    auto made = compile_rows(compiler_, &quantizer, quantizer.K, refused);
    why = refused.text();
    return made;
  }

  void set_deterministic(bool on) override { attention_.set_deterministic(on); }
  void tune(bool on) override {
    products_.set_tuning(on);
    integer_products_.set_tuning(on);
  }
  void multiply(const DeviceProduct& product) override { products_.multiply(product); }
  void multiply(const DeviceIntegerProduct& product) override {
    integer_products_.multiply(product);
  }
  void multiply(const PackedProduct& product) override { launch_packed_product(product); }
  bool multiplies_integers(int64_t M, int64_t N, int64_t K) override {
    return integer_product_supported(M, N, K);
  }

  std::unique_ptr<CompiledWeights> compile(const WeightQuantizer& quantizer,
                                           std::string& why) override {
    Failure refused;
    auto made = compile_weights(compiler_, quantizer, refused);
    why = refused.text();
    return made;
  }
  void quantize_weights(const CompiledWeights& compiled, const float* w,
                        const RowArguments& arguments, int8_t* codes, float* scale,
                        int32_t* refused) override {
    const auto& weights = static_cast<const WeightKernels&>(compiled);
    auto* globals = globals_.get<float>(kMostGlobals, failure_);
    auto* parts = parts_.get<double>(weight_parts(weights), failure_);
    if (globals != nullptr && parts != nullptr)
      launch_weights(weights, w, arguments, {codes, scale, refused, globals, parts}, failure_);
  }

  void quantize_rows(const RowsIn& in, int64_t R, int64_t K, const CompiledRows* quantizer,
                     const RowArguments& arguments, const RowsOut& out) override {
    const auto* compiled = static_cast<const RowKernels*>(quantizer);
    if (compiled == nullptr) {
      std::unique_ptr<RowKernels>& plain = plain_[K];
      if (plain == nullptr) plain = compile_rows(compiler_, nullptr, K, failure_);
      compiled = plain.get();
    }
    if (compiled != nullptr) launch_rows(*compiled, in, R, arguments, out, failure_);
  }

  void embed(const int64_t* ids, const float* wte, const float* wpe, int64_t R, int64_t T,
             int64_t D, Bf16* x) override {
    launch_embed(ids, wte, wpe, R, T, D, x);
  }
  void embed_backward(const Bf16* dx, const int64_t* ids, const int32_t* order,
                      const int32_t* starts, int64_t count, int64_t R, int64_t T, int64_t D,
                      float* dwte, float* dwpe) override {
    launch_embed_backward(dx, ids, order, starts, count, R, T, D, dwte, dwpe);
  }

  void attention(const DeviceAttention& shape, const Bf16* qkv, Bf16* out, float* lse) override {
    attention_.forward(shape, qkv, out, lse);
  }
  void attention_backward(const DeviceAttention& shape, const Bf16* qkv, const Bf16* out,
                          const float* lse, const Bf16* dout, Bf16* dqkv) override {
    attention_.backward(shape, qkv, out, lse, dout, dqkv);
  }

  void layer_norm_backward(const Bf16* dy, const Bf16* x, const float* mean, const float* rstd,
                           const float* weight, int64_t R, int64_t D, Bf16* dx, float* dweight,
                           float* dbias, float* columns) override {
    const int64_t count = layer_norm_parts(R);
    auto* parts = parts_.get<float>(static_cast<size_t>(count * 3 * D), failure_);
    if (parts == nullptr) return;
    launch_layer_norm_backward(dy, x, mean, rstd, weight, R, D, dx, parts);
    launch_add_parts(parts, count, D, {dweight, dbias, columns});
  }
  void cross_entropy(Bf16* logits, const int64_t* targets, int64_t R, int64_t V, float scale,
                     float* losses) override {
    launch_cross_entropy(logits, targets, R, V, scale, losses);
  }
  void add_columns(const Bf16* x, int64_t R, int64_t N, float* sum) override {
    auto* parts = parts_.get<float>(static_cast<size_t>(kColumnParts * N), failure_);
    if (parts == nullptr) return;
    launch_column_parts(x, R, N, kColumnParts, parts);
    launch_add_parts(parts, kColumnParts, N, {sum});
  }

  void round(const float* from, int64_t n, Bf16* to) override { launch_round(from, n, to); }
  void widen(const int8_t* from, int64_t n, Bf16* to) override { launch_widen(from, n, to); }

 private:
  Failure failure_;
  Products products_{failure_};
  IntegerProducts integer_products_{failure_};
  Attention attention_{failure_};
  Compiler compiler_;
  std::map<int64_t, std::unique_ptr<RowKernels>> plain_;  // rows that are only rounded, by K
  DeviceMemory parts_, globals_;
};

}  // namespace
}  // namespace bitloop::cuda

extern "C" [[gnu::visibility("default")]] int bitloop_cuda_version() {
  return bitloop::kernels::kDeviceKernelsVersion;
}

// Null where there is no device that this library can work on. `cache` may be null.
extern "C" [[gnu::visibility("default")]] bitloop::kernels::DeviceKernels* bitloop_cuda_kernels(
    bitloop::kernels::KernelCache* cache) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) return nullptr;
  return new bitloop::cuda::CudaKernels(cache);
}
