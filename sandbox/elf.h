// What the dynamic loader will look for: the loader itself and the library folders an ELF program
// names.
#pragma once

#include <filesystem>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::sandbox {

struct ElfNeeds {
  std::filesystem::path loader;  // PT_INTERP; empty for a static program
  std::vector<std::filesystem::path>
      folders;  // DT_RPATH and DT_RUNPATH, $ORIGIN replaced, existing ones only
};

// Reads a 64-bit little-endian ELF program. Errors: "not_executable" when it isn't one; those of
// read_file.
Result<ElfNeeds> read_elf_needs(const std::filesystem::path& program);

}  // namespace bitloop::sandbox
