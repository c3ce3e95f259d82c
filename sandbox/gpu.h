// What of this machine a program needs to compute on NVIDIA GPUs: device files, the driver's
// libraries, and the libraries that it opens by name while it runs, with all that these need.
//
// Devices: nvidiactl, nvidia-uvm, and nvidiaN for each GPU wanted. Not nvidia-uvm-tools,
// nvidia-modeset or anything below nvidia-caps, so no part of a divided GPU (MIG).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/result.h"
#include "sandbox/policy.h"

namespace bitloop::sandbox {

struct GpuSearch {
  std::filesystem::path program;    // absolute
  std::vector<std::string> opened;  // names of libraries that it opens, which need not be there
  // Folders of the program's own libraries, looked at first; of these the jail shows single files.
  std::vector<std::filesystem::path> own;
  // N of the GPUs' device files: "0,2". Nothing: all of them.
  std::optional<std::string> numbers;
  std::string library_path;                // as LD_LIBRARY_PATH, looked at first
  std::filesystem::path devices = "/dev";  // folder of the device files
};

// Whether this machine has NVIDIA's driver. Says nothing about whether it works.
bool gpu_present();

// Errors: "no_gpu" naming what is missing and what to do; those of read_elf_needs for the program.
Result<Gpu> find_gpu(const GpuSearch& search);

// The small files that CUDA reads about the machine, cut down to what is NVIDIA's: path and
// content. The driver's parameters say that device files are made by others, or CUDA would try to
// mend those of the jail, whose owner is a stranger there.
std::vector<std::pair<std::string, std::string>> driver_texts();

}  // namespace bitloop::sandbox
