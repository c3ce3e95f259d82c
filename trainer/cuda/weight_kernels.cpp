#include "trainer/cuda/weight_kernels.h"

#include <algorithm>
#include <string>

namespace bitloop::cuda {

std::unique_ptr<WeightKernels> compile_weights(Compiler& compiler,
                                               const kernels::WeightQuantizer& quantizer,
                                               Failure& failure) {
  std::string why;
  if (!weight_kernels_support(quantizer, why)) {
    failure.note("a weight program", why);
    return nullptr;
  }
  const std::string source = weight_kernel_source(quantizer);
  auto made = std::make_unique<WeightKernels>();
  made->rows = quantizer.rows, made->columns = quantizer.columns;
  const RowKernelShape shape = row_kernel_shape(quantizer.columns);
  made->blocks = static_cast<int>(
      std::min<int64_t>((quantizer.rows + shape.rows - 1) / shape.rows, kWeightBlocks));
  const size_t phases = quantizer.program.phases.size();
  for (size_t p = 0; p <= phases; ++p) {
    made->between.push_back(compiler.kernel(source, between_name(p).c_str(), failure));
    if (made->between.back() == nullptr) return nullptr;
    if (p == phases) break;
    made->walks.push_back(compiler.kernel(source, walk_name(p).c_str(), failure));
    if (made->walks.back() == nullptr) return nullptr;
    made->reductions = std::max(made->reductions, all_reductions(quantizer.program.phases[p]));
  }
  return made;
}

size_t weight_parts(const WeightKernels& kernels) {
  return static_cast<size_t>(std::max<int64_t>(kernels.blocks * kernels.reductions, 1));
}

void launch_weights(const WeightKernels& kernels, const float* w,
                    const kernels::RowArguments& arguments, const WeightResults& results,
                    Failure& failure) {
  WeightKernelArguments a;
  const auto copy = [](const auto& from, auto& to) {
    std::copy_n(from.begin(), std::min<size_t>(from.size(), kMostOperands), to);
  };
  a.w = w;
  copy(arguments.row, a.row);
  copy(arguments.column, a.column);
  copy(arguments.scalars, a.scalar);
  a.globals = results.globals, a.parts = results.parts;
  a.codes = results.codes, a.scale = results.scale, a.refused = results.refused;
  a.rows = kernels.rows, a.blocks = kernels.blocks;
  void* parameters[] = {&a};
  const RowKernelShape shape = row_kernel_shape(kernels.columns);
  const auto launch = [&](cudaKernel_t kernel, dim3 grid, dim3 block) {
    failure.check(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, parameters,
                                   0, nullptr),
                  "a weight program can't start");
  };
  for (size_t p = 0; p < kernels.between.size(); ++p) {
    launch(kernels.between[p], dim3(1), dim3(256));
    if (p < kernels.walks.size())
      launch(kernels.walks[p], dim3(static_cast<unsigned>(kernels.blocks)),
             dim3(static_cast<unsigned>(shape.threads), static_cast<unsigned>(shape.rows)));
  }
}

}  // namespace bitloop::cuda
