#include "trainer/cuda/row_kernels.h"

#include <algorithm>
#include <string>

#include "trainer/cuda/row_source.h"

namespace bitloop::cuda {

using kernels::RowsIn;

std::unique_ptr<RowKernels> compile_rows(Compiler& compiler, const kernels::RowQuantizer* quantizer,
                                         int64_t K, Failure& failure) {
  std::string why;
  if (!row_kernel_supports(quantizer != nullptr ? &quantizer->program : nullptr, K, why)) {
    failure.note("a row program", why);
    return nullptr;
  }
  auto made = std::make_unique<RowKernels>();
  made->K = K;
  for (const RowsIn::Kind kind : {RowsIn::kPlain, RowsIn::kLayerNorm, RowsIn::kGelu}) {
    made->kernel[kind] =
        compiler.kernel(row_kernel_source(kind, quantizer, K), kRowKernelName, failure);
    if (made->kernel[kind] == nullptr) return nullptr;
  }
  return made;
}

void launch_rows(const RowKernels& kernels, const RowsIn& in, int64_t R,
                 const kernels::RowArguments& arguments, const kernels::RowsOut& out,
                 Failure& failure) {
  RowKernelArguments a;
  a.x = in.x, a.weight = in.weight, a.bias = in.bias, a.mean = in.mean, a.rstd = in.rstd;
  a.value = out.value, a.codes = out.codes, a.scale = out.scale, a.refused = out.refused;
  a.epsilon = in.epsilon;
  std::ranges::copy(arguments.row.first(std::min<size_t>(arguments.row.size(), kMostOperands)),
                    a.row);
  std::ranges::copy(
      arguments.column.first(std::min<size_t>(arguments.column.size(), kMostOperands)), a.column);
  std::ranges::copy(
      arguments.scalars.first(std::min<size_t>(arguments.scalars.size(), kMostOperands)), a.scalar);
  a.rows = R;
  const RowKernelShape shape = row_kernel_shape(kernels.K);
  void* parameters[] = {&a};
  failure.check(cudaLaunchKernel(
                    reinterpret_cast<const void*>(kernels.kernel[in.kind]),
                    dim3(static_cast<unsigned>((R + shape.rows - 1) / shape.rows)),
                    dim3(static_cast<unsigned>(shape.threads), static_cast<unsigned>(shape.rows)),
                    parameters, 0, nullptr),
                "a row program can't start");
}

}  // namespace bitloop::cuda
