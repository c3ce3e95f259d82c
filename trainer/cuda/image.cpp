#include "trainer/cuda/image.h"

#include <nvrtc.h>

#include <array>
#include <vector>

#include "harness/base/version.h"

namespace bitloop::cuda {
namespace {

// Contraction would make other numbers of a product and a sum than the CPU does.
constexpr std::array kOptions = {"--fmad=false", "--std=c++17"};

std::string target_of(int arch) { return "--gpu-architecture=sm_" + std::to_string(arch); }

}  // namespace

std::string image_key(const std::string& source, int arch) {
  int major = 0, minor = 0;
  nvrtcVersion(&major, &minor);
  std::string key = std::string("bitloop ") + version() + " " + git_hash() + "\nNVRTC " +
                    std::to_string(major) + "." + std::to_string(minor) + "\n" + target_of(arch);
  for (const char* option : kOptions) key += std::string(" ") + option;
  return key + "\n" + source;
}

std::string compile_image(const std::string& source, int arch, kernels::KernelCache* cache,
                          std::string& why) {
  const std::string key = cache != nullptr ? image_key(source, arch) : std::string();
  if (cache != nullptr)
    if (auto kept = cache->find(key)) return *std::move(kept);
  nvrtcProgram program = nullptr;
  if (nvrtcCreateProgram(&program, source.c_str(), "program.cu", 0, nullptr, nullptr) !=
      NVRTC_SUCCESS) {
    why = "NVRTC can't start";
    return "";
  }
  const std::string target = target_of(arch);
  std::vector<const char*> options = {target.c_str()};
  options.insert(options.end(), kOptions.begin(), kOptions.end());
  std::string image;
  size_t bytes = 0;
  if (nvrtcCompileProgram(program, static_cast<int>(options.size()), options.data()) ==
          NVRTC_SUCCESS &&
      nvrtcGetCUBINSize(program, &bytes) == NVRTC_SUCCESS) {
    image.resize(bytes);
    nvrtcGetCUBIN(program, image.data());
  } else {
    nvrtcGetProgramLogSize(program, &bytes);
    std::string log(bytes, '\0');
    nvrtcGetProgramLog(program, log.data());
    why = log.substr(0, 500);
  }
  nvrtcDestroyProgram(&program);
  if (cache != nullptr && !image.empty()) cache->keep(key, image);
  return image;
}

}  // namespace bitloop::cuda
