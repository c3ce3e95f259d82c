#include "trainer/cuda/integer_products.h"

#include <cutlass/cutlass.h>
#include <cutlass/gemm/device/gemm_universal_adapter.h>
#include <cutlass/epilogue/collective/collective_builder.hpp>
#include <cutlass/gemm/collective/collective_builder.hpp>
#include <cutlass/gemm/kernel/gemm_universal.hpp>
#include <cutlass/util/packed_stride.hpp>

#include <type_traits>

namespace bitloop::cuda {
namespace {

using namespace cute;
namespace fusion = cutlass::epilogue::fusion;
using kernels::DeviceIntegerProduct;
using bfloat16 = cutlass::bfloat16_t;

using Cluster = Shape<_2, _1, _1>;
// Two warpgroups share a tile of 128 x 256: the widest whose sums fit into registers.
struct Wide {
  using Tile = Shape<_128, _256, _128>;
  using Schedule = cutlass::gemm::KernelTmaWarpSpecializedCooperative;
  using EpilogueSchedule = cutlass::epilogue::TmaWarpSpecializedCooperative;
};
// Each warpgroup has a tile of its own, and one multiplies while the other stores.
struct Pingpong {
  using Tile = Shape<_128, _128, _128>;
  using Schedule = cutlass::gemm::KernelTmaWarpSpecializedPingpong;
  using EpilogueSchedule = cutlass::epilogue::TmaWarpSpecialized;
};

template <template <class> class Op, typename Out>
using Compute = fusion::Sm90Compute<Op, Out, float, cutlass::FloatRoundStyle::round_to_nearest>;

// (sum · b_scale) · a_scale + bias (+ addend)
using Sum = fusion::Sm90AccFetch;
template <typename Tile>
using AScaleOf = fusion::Sm90ColBroadcast<0, Tile, float, float, Stride<_1, _0, _0>>;
using BScale = fusion::Sm90ScalarBroadcast<float>;
template <typename Tile>
using BiasOf = fusion::Sm90RowBroadcast<0, Tile, bfloat16, float, Stride<_0, _1, _0>>;
using Scaled = fusion::Sm90EVT<Compute<cutlass::multiplies, float>, BScale, Sum>;

template <typename Tile, bool adds>
struct Epilogue {
  using Source = void;
  using Tree = fusion::Sm90EVT<Compute<cutlass::homogeneous_multiply_add, bfloat16>, AScaleOf<Tile>,
                               Scaled, BiasOf<Tile>>;
};
template <typename Tile>
struct Epilogue<Tile, true> {
  using Source = bfloat16;
  using Biased = fusion::Sm90EVT<Compute<cutlass::homogeneous_multiply_add, float>, AScaleOf<Tile>,
                                 Scaled, BiasOf<Tile>>;
  using Tree =
      fusion::Sm90EVT<Compute<cutlass::plus, bfloat16>, Biased, fusion::Sm90SrcFetch<bfloat16>>;
};

template <typename Way, bool adds>
struct Kernel {
  using Tile = typename Way::Tile;
  using AScale = AScaleOf<Tile>;
  using Bias = BiasOf<Tile>;
  using Tree = typename Epilogue<Tile, adds>::Tree;
  using Source = typename Epilogue<Tile, adds>::Source;
  using CollectiveEpilogue = typename cutlass::epilogue::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, Tile, Cluster,
      cutlass::epilogue::collective::EpilogueTileAuto, int32_t, float, Source,
      cutlass::layout::RowMajor, 8, bfloat16, cutlass::layout::RowMajor, 8,
      typename Way::EpilogueSchedule, Tree>::CollectiveOp;
  using Mainloop = typename cutlass::gemm::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, int8_t, cutlass::layout::RowMajor, 16,
      int8_t, cutlass::layout::ColumnMajor, 16, int32_t, Tile, Cluster,
      cutlass::gemm::collective::StageCountAutoCarveout<static_cast<int>(
          sizeof(typename CollectiveEpilogue::SharedStorage))>,
      typename Way::Schedule>::CollectiveOp;
  using Gemm = cutlass::gemm::device::GemmUniversalAdapter<cutlass::gemm::kernel::GemmUniversal<
      Shape<int, int, int, int>, Mainloop, CollectiveEpilogue>>;

  static void run(const DeviceIntegerProduct& p, DeviceMemory& workspace, Failure& failure) {
    const int M = static_cast<int>(p.M), N = static_cast<int>(p.N), K = static_cast<int>(p.K);
    using GemmKernel = typename Gemm::GemmKernel;
    const auto stride_a =
        cutlass::make_cute_packed_stride(typename GemmKernel::StrideA{}, make_shape(M, K, 1));
    const auto stride_b =
        cutlass::make_cute_packed_stride(typename GemmKernel::StrideB{}, make_shape(N, K, 1));
    const auto stride_d =
        cutlass::make_cute_packed_stride(typename GemmKernel::StrideD{}, make_shape(M, N, 1));
    typename AScale::Arguments a_scale{p.a_scale, 0.0f, {}};
    typename BScale::Arguments b_scale{{0.0f}, {p.b_scale}, {}};
    typename Bias::Arguments bias{reinterpret_cast<const bfloat16*>(p.bias), bfloat16(0.0f), {}};
    typename Scaled::Arguments scaled{b_scale, {}, {}};
    typename Tree::Arguments tree;
    if constexpr (adds)
      tree = {{a_scale, scaled, bias, {}}, {}, {}};
    else
      tree = {a_scale, scaled, bias, {}};
    typename Gemm::Arguments arguments{
        cutlass::gemm::GemmUniversalMode::kGemm,
        {M, N, K, 1},
        {p.a, stride_a, p.b, stride_b},
        {tree, nullptr, {}, reinterpret_cast<bfloat16*>(p.out), stride_d}};
    if constexpr (adds) {
      arguments.epilogue.ptr_C = reinterpret_cast<const bfloat16*>(p.addend);
      arguments.epilogue.dC = stride_d;
    }
    Gemm gemm;
    void* memory = workspace.get<char>(Gemm::get_workspace_size(arguments), failure);
    cutlass::Status status = gemm.can_implement(arguments);
    if (status == cutlass::Status::kSuccess) status = gemm.initialize(arguments, memory);
    if (status == cutlass::Status::kSuccess) status = gemm.run();
    if (status != cutlass::Status::kSuccess)
      failure.note("an int8 product failed", cutlassGetStatusString(status));
  }
};

}  // namespace

bool integer_product_supported(int64_t M, int64_t N, int64_t K) {
  int device = 0, major = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  return major == 9 && M % 8 == 0 && N % 16 == 0 && K % 16 == 0;
}

void IntegerProducts::run(const DeviceIntegerProduct& product, Variant variant) {
  const bool adds = product.addend != nullptr;
  if (variant == kWide)
    adds ? Kernel<Wide, true>::run(product, workspace_, failure_)
         : Kernel<Wide, false>::run(product, workspace_, failure_);
  else
    adds ? Kernel<Pingpong, true>::run(product, workspace_, failure_)
         : Kernel<Pingpong, false>::run(product, workspace_, failure_);
}

IntegerProducts::Variant IntegerProducts::choose(const DeviceIntegerProduct& product) {
  if (!tuning_) return kWide;
  cudaEvent_t begin, end;
  cudaEventCreate(&begin), cudaEventCreate(&end);
  Variant best = kWide;
  float least = 1e30f;
  for (int variant = 0; variant < kVariants; ++variant)
    for (int trial = 0; trial < 4; ++trial) {  // the first one warms
      cudaEventRecord(begin);
      run(product, static_cast<Variant>(variant));
      cudaEventRecord(end);
      cudaEventSynchronize(end);
      float ms = 0;
      cudaEventElapsedTime(&ms, begin, end);
      if (trial > 0 && ms < least) least = ms, best = static_cast<Variant>(variant);
    }
  cudaEventDestroy(begin), cudaEventDestroy(end);
  return best;
}

void IntegerProducts::multiply(const DeviceIntegerProduct& product) {
  const Key key{product.M, product.N, product.K, product.addend != nullptr};
  auto known = chosen_.find(key);
  if (known == chosen_.end()) known = chosen_.emplace(key, choose(product)).first;
  run(product, known->second);
}

}  // namespace bitloop::cuda
