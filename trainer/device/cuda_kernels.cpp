#include "trainer/device/cuda_kernels.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "trainer/device/own_library.h"

namespace bitloop::trainer {
namespace {

constexpr const char* kLibrary = "libbitloop_cuda.so";

}  // namespace

Result<std::unique_ptr<kernels::DeviceKernels>> open_cuda_kernels(kernels::KernelCache* cache) {
  const std::string path = own_library(kLibrary);
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return fail("device_unavailable",
                fmt::format("the GPU's kernels can't be opened ({}); build on a machine with the "
                            "CUDA toolkit 13, or do without them: --device cpu, or training "
                            "operation by operation with --set train.execution=eager",
                            ::dlerror()));
  const auto version = reinterpret_cast<int (*)()>(::dlsym(library, "bitloop_cuda_version"));
  if (version == nullptr || version() != kernels::kDeviceKernelsVersion)
    return fail("device_unavailable",
                fmt::format("{} is of another build than this program: build both again", path));
  using Make = kernels::DeviceKernels* (*)(kernels::KernelCache*);
  const auto make = reinterpret_cast<Make>(::dlsym(library, "bitloop_cuda_kernels"));
  std::unique_ptr<kernels::DeviceKernels> made(make != nullptr ? make(cache) : nullptr);
  if (made == nullptr)
    return fail("device_unavailable", fmt::format("{} finds no GPU that it can work on", path));
  return made;
}

}  // namespace bitloop::trainer
