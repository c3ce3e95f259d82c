// Compiled kernels that are kept for later runs: what the library of a GPU's kernels is given.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace bitloop::kernels {

class KernelCache {
 public:
  virtual ~KernelCache() = default;
  // The image that was kept under all of `key` (source, options, architecture, versions), or
  // nothing.
  virtual std::optional<std::string> find(std::string_view key) = 0;
  // Keeps an image; one that can't be kept is compiled again next time.
  virtual void keep(std::string_view key, std::string_view image) = 0;
};

}  // namespace bitloop::kernels
