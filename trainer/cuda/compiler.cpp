#include "trainer/cuda/compiler.h"

#include "trainer/cuda/image.h"

namespace bitloop::cuda {

Compiler::~Compiler() {
  for (const auto& [source, library] : libraries_) cudaLibraryUnload(library);
}

cudaLibrary_t Compiler::load(const std::string& image, Failure& failure) {
  cudaLibrary_t library = nullptr;
  failure.check(
      cudaLibraryLoadData(&library, image.data(), nullptr, nullptr, 0, nullptr, nullptr, 0),
      "a compiled program can't be loaded");
  return library;
}

cudaLibrary_t Compiler::build(const std::string& source, Failure& failure) {
  int device = 0, major = 0, minor = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  const int arch = major * 10 + minor;
  std::string why;
  if (cache_ != nullptr) {
    // A kept image that the driver doesn't take is compiled anew, and kept in its place.
    Failure refused;
    const std::string kept = compile_image(source, arch, cache_, why);
    cudaLibrary_t library = kept.empty() ? nullptr : load(kept, refused);
    if (library != nullptr) return library;
    cudaGetLastError();  // it is dealt with
  }
  const std::string image = compile_image(source, arch, nullptr, why);
  if (image.empty()) {
    failure.note("NVRTC refuses a captured program", why);
    return nullptr;
  }
  if (cache_ != nullptr) cache_->keep(image_key(source, arch), image);
  return load(image, failure);
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
