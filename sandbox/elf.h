// What the dynamic loader will look for: the loader itself, and the libraries and their folders
// that an ELF program or library names.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::sandbox {

struct ElfNeeds {
  std::filesystem::path loader;  // PT_INTERP; empty for a static program
  std::vector<std::filesystem::path>
      folders;  // DT_RPATH and DT_RUNPATH, $ORIGIN replaced, existing ones only
  std::vector<std::string> libraries;  // DT_NEEDED
};

// Reads a 64-bit little-endian ELF program or library. Errors: "not_executable" when it isn't one;
// those of read_file.
Result<ElfNeeds> read_elf_needs(const std::filesystem::path& program);

}  // namespace bitloop::sandbox
