#include "trainer/cuda/compiler.h"

#include <nvrtc.h>

#include <vector>

namespace bitloop::cuda {

Compiler::~Compiler() {
  for (const auto& [source, library] : libraries_) cudaLibraryUnload(library);
}

cudaLibrary_t Compiler::build(const std::string& source, Failure& failure) {
  int device = 0, major = 0, minor = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  const std::string target = "--gpu-architecture=sm_" + std::to_string(major * 10 + minor);
  // Contraction would make other numbers of a product and a sum than the CPU does.
  const char* options[] = {target.c_str(), "--fmad=false", "--std=c++17"};
  nvrtcProgram program = nullptr;
  if (nvrtcCreateProgram(&program, source.c_str(), "program.cu", 0, nullptr, nullptr) !=
      NVRTC_SUCCESS) {
    failure.note("NVRTC", "can't start");
    return nullptr;
  }
  std::vector<char> image;
  size_t bytes = 0;
  if (nvrtcCompileProgram(program, 3, options) == NVRTC_SUCCESS &&
      nvrtcGetCUBINSize(program, &bytes) == NVRTC_SUCCESS) {
    image.resize(bytes);
    nvrtcGetCUBIN(program, image.data());
  } else {
    nvrtcGetProgramLogSize(program, &bytes);
    std::string log(bytes, '\0');
    nvrtcGetProgramLog(program, log.data());
    failure.note("NVRTC refuses a captured program", log.substr(0, 500));
  }
  nvrtcDestroyProgram(&program);
  cudaLibrary_t library = nullptr;
  if (!image.empty())
    failure.check(
        cudaLibraryLoadData(&library, image.data(), nullptr, nullptr, 0, nullptr, nullptr, 0),
        "a compiled program can't be loaded");
  return library;
}

cudaKernel_t Compiler::kernel(const std::string& source, const char* name, Failure& failure) {
  cudaLibrary_t& library = libraries_[source];
  if (library == nullptr) library = build(source, failure);
  if (library == nullptr) return nullptr;
  cudaKernel_t kernel = nullptr;
  failure.check(cudaLibraryGetKernel(&kernel, library, name), "a compiled program has no kernel");
  return kernel;
}

}  // namespace bitloop::cuda
