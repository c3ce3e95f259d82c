// Runs generated CUDA source on the processor: compiled by the C++ compiler behind emulated_cuda.h.
#pragma once

#include <dlfcn.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace bitloop::cuda {

class Emulator {
 public:
  // `kernels`: the names in the source.
  Emulator(const std::string& source, const std::vector<std::string>& kernels) {
    folder_ = std::filesystem::temp_directory_path() /
              fmt::format("bitloop-emulated-{}-{}", ::getpid(), reinterpret_cast<uintptr_t>(this));
    std::filesystem::create_directories(folder_);
    std::string text = fmt::format("#include \"{}/tests/trainer/cuda/emulated_cuda.h\"\n{}",
                                   BITLOOP_SOURCE_DIR, source);
    for (const std::string& name : kernels)
      text += fmt::format(
          "extern \"C\" void run_{0}(unsigned grid, unsigned grid_y, unsigned bx, unsigned by, const Arguments* a) "
          "{{\n"
          "  emulated::run(grid, grid_y, bx, by, [=] {{ {0}(*a); }});\n}}\n",
          name);
    std::ofstream(folder_ / "kernels.cpp") << text;
    const std::string command = fmt::format(
        "{} -I{} -std=c++20 -O1 -w -shared -fPIC -ffp-contract=off -o {}/kernels.so {}/kernels.cpp 2>&1",
        BITLOOP_CXX, BITLOOP_SOURCE_DIR, folder_.string(), folder_.string());
    EXPECT_EQ(std::system(command.c_str()), 0);
    library_ = ::dlopen((folder_ / "kernels.so").c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(library_, nullptr) << ::dlerror();
  }
  ~Emulator() {
    if (library_ != nullptr) ::dlclose(library_);
    std::filesystem::remove_all(folder_);
  }
  Emulator(const Emulator&) = delete;
  Emulator& operator=(const Emulator&) = delete;

  template <typename Arguments>
  void run(const std::string& kernel, int64_t grid, int threads, int rows,
           const Arguments& a, int64_t grid_y = 1) const {
    using Run = void (*)(unsigned, unsigned, unsigned, unsigned, const Arguments*);
    const auto run = reinterpret_cast<Run>(::dlsym(library_, ("run_" + kernel).c_str()));
    ASSERT_NE(run, nullptr) << kernel;
    run(static_cast<unsigned>(grid), static_cast<unsigned>(grid_y), static_cast<unsigned>(threads), static_cast<unsigned>(rows),
        &a);
  }

 private:
  std::filesystem::path folder_;
  void* library_ = nullptr;
};

}  // namespace bitloop::cuda
