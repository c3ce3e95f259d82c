#include "trainer/cuda/products.h"

namespace bitloop::cuda {
namespace {

using kernels::DeviceProduct;

constexpr size_t kWorkspace = size_t{64} << 20;
constexpr int kCandidates = 8;  // algorithms that are tried while tuning
constexpr int kTrials = 3;      // of each, the best counts

}  // namespace

// cuBLASLt thinks in columns: a row-major (M, N) is its column-major (N, M), so it computes outᵀ =
// bᵀ · aᵀ and its first operand is our second.
struct Products::Plan {
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, out = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  bool usable = false;

  ~Plan() {
    if (operation != nullptr) cublasLtMatmulDescDestroy(operation);
    for (cublasLtMatrixLayout_t layout : {a, b, out})
      if (layout != nullptr) cublasLtMatrixLayoutDestroy(layout);
  }
};

Products::Products(Failure& failure) : failure_(failure) {
  failure_.check(cublasLtCreate(&handle_), "cuBLASLt can't start");
  workspace_.get<char>(kWorkspace, failure_);
  one_ = constants_.get<float>(2, failure_);
  const float numbers[] = {1.0f, 0.0f};
  if (one_ == nullptr) return;
  zero_ = one_ + 1;
  failure_.check(cudaMemcpy(one_, numbers, sizeof numbers, cudaMemcpyHostToDevice), "cudaMemcpy");
}

Products::~Products() {
  plans_.clear();
  if (handle_ != nullptr) cublasLtDestroy(handle_);
}

bool Products::describe(const DeviceProduct& p, Plan& made) {
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
    return failure_.check(
        cublasLtMatmulDescSetAttribute(made.operation, attribute, &value, sizeof value),
        "cuBLASLt refuses a product's description");
  };
  const auto layout = [&](cublasLtMatrixLayout_t& out, cudaDataType type, int64_t rows,
                          int64_t columns) {
    return failure_.check(cublasLtMatrixLayoutCreate(&out, type, static_cast<uint64_t>(rows),
                                                     static_cast<uint64_t>(columns), rows),
                          "cuBLASLt refuses a matrix");
  };
  if (!failure_.check(cublasLtMatmulDescCreate(&made.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                      "cuBLASLt refuses a product"))
    return false;
  const cublasOperation_t first = p.b_by_column ? CUBLAS_OP_T : CUBLAS_OP_N,
                          second = p.a_by_column ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasLtPointerMode_t on_device = CUBLASLT_POINTER_MODE_DEVICE;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  if (p.slope_at != nullptr)
    epilogue = CUBLASLT_EPILOGUE_DGELU;
  else if (p.bias != nullptr)
    epilogue = CUBLASLT_EPILOGUE_BIAS;
  bool good = set(CUBLASLT_MATMUL_DESC_TRANSA, first) && set(CUBLASLT_MATMUL_DESC_TRANSB, second) &&
              set(CUBLASLT_MATMUL_DESC_POINTER_MODE, on_device) &&
              set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
  if (good && p.slope_at != nullptr) {
    const int64_t columns = p.N;
    const cudaDataType type = CUDA_R_16BF;
    good = set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, columns) &&
           set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, type) &&
           set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, p.slope_at);
  }
  if (good && p.bias != nullptr) {
    const cudaDataType type = CUDA_R_16BF;
    good = set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type) &&
           set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
  }
  return good &&
         layout(made.a, CUDA_R_16BF, p.b_by_column ? p.K : p.N, p.b_by_column ? p.N : p.K) &&
         layout(made.b, CUDA_R_16BF, p.a_by_column ? p.M : p.K, p.a_by_column ? p.K : p.M) &&
         layout(made.out, p.sum != nullptr ? CUDA_R_32F : CUDA_R_16BF, p.N, p.M);
}

cublasStatus_t Products::run(const DeviceProduct& p, const Plan& plan,
                             const cublasLtMatmulAlgo_t& algorithm) {
  void* out = p.sum != nullptr ? static_cast<void*>(p.sum) : p.out;
  const void* addend = p.addend != nullptr ? p.addend : out;
  return cublasLtMatmul(handle_, plan.operation, p.alpha != nullptr ? p.alpha : one_, p.b, plan.a,
                        p.a, plan.b, p.addend != nullptr || p.adds ? one_ : zero_, addend, plan.out,
                        out, plan.out, &algorithm, workspace_.get<char>(kWorkspace, failure_),
                        kWorkspace, nullptr);
}

void Products::choose(const DeviceProduct& p, Plan& made) {
  cublasLtMatmulPreference_t preference = nullptr;
  if (!failure_.check(cublasLtMatmulPreferenceCreate(&preference), "cuBLASLt")) return;
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                       &kWorkspace, sizeof kWorkspace);
  // Parts of a sum stay float32 until they are added.
  const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                       &reductions, sizeof reductions);
  cublasLtMatmulHeuristicResult_t found[kCandidates];
  int count = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle_, made.operation, made.a, made.b, made.out, made.out,
                                     preference, tuning_ ? kCandidates : 1, found, &count);
  cublasLtMatmulPreferenceDestroy(preference);
  if (status != CUBLAS_STATUS_SUCCESS || count == 0) {
    failure_.note("cuBLASLt", "has no algorithm for a product");
    return;
  }
  made.algorithm = found[0].algo;
  made.usable = true;
  if (!tuning_ || count == 1) return;
  cudaEvent_t begin, end;
  cudaEventCreate(&begin), cudaEventCreate(&end);
  float best = 1e30f;
  for (int i = 0; i < count; ++i)
    for (int trial = 0; trial <= kTrials; ++trial) {  // the first one warms
      cudaEventRecord(begin);
      if (run(p, made, found[i].algo) != CUBLAS_STATUS_SUCCESS) break;
      cudaEventRecord(end);
      cudaEventSynchronize(end);
      float ms = 0;
      cudaEventElapsedTime(&ms, begin, end);
      if (trial == 0 || ms >= best) continue;
      best = ms;
      made.algorithm = found[i].algo;
    }
  cudaEventDestroy(begin), cudaEventDestroy(end);
}

Products::Plan* Products::plan(const DeviceProduct& p) {
  const Key key{p.M,
                p.N,
                p.K,
                p.a_by_column,
                p.b_by_column,
                p.bias != nullptr,
                p.addend != nullptr,
                p.slope_at != nullptr,
                p.sum != nullptr,
                p.adds};
  std::unique_ptr<Plan>& known = plans_[key];
  if (known == nullptr) {
    known = std::make_unique<Plan>();
    if (describe(p, *known)) choose(p, *known);
  }
  return known->usable ? known.get() : nullptr;
}

void Products::multiply(const DeviceProduct& p) {
  Plan* found = plan(p);
  if (found == nullptr) return;
  if (p.slope_at != nullptr)
    cublasLtMatmulDescSetAttribute(found->operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER,
                                   &p.slope_at, sizeof p.slope_at);
  if (p.bias != nullptr)
    cublasLtMatmulDescSetAttribute(found->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p.bias,
                                   sizeof p.bias);
  failure_.check(run(p, *found, found->algorithm), "a product failed");
}

}  // namespace bitloop::cuda
