#include "trainer/device/cuda_kernels.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "harness/base/paths.h"

namespace bitloop::trainer {
namespace {

constexpr const char* kLibrary = "libbitloop_cuda.so";

std::string library_path() {
  std::error_code failed;
  for (const std::filesystem::path& folder : library_folders(executable_path()))
    if (std::filesystem::exists(folder / kLibrary, failed)) return folder / kLibrary;
  return kLibrary;
}

}  // namespace

Result<std::unique_ptr<kernels::DeviceKernels>> open_cuda_kernels(kernels::KernelCache* cache) {
  const std::string path = library_path();
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return fail("device_unavailable",
                fmt::format("the GPU's kernels can't be opened ({}); build on a machine with the "
                            "CUDA toolkit 13, or train operation by operation with --set "
                            "train.execution=eager",
                            ::dlerror()));
  using Make = kernels::DeviceKernels* (*)(kernels::KernelCache*);
  const auto make = reinterpret_cast<Make>(::dlsym(library, "bitloop_cuda_kernels"));
  std::unique_ptr<kernels::DeviceKernels> made(make != nullptr ? make(cache) : nullptr);
  if (made == nullptr)
    return fail("device_unavailable", fmt::format("{} finds no GPU that it can work on", path));
  return made;
}

}  // namespace bitloop::trainer
