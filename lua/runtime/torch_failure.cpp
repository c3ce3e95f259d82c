#include "lua/runtime/torch_failure.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <new>
#include <string>
#include <string_view>

namespace bitloop::lua {
namespace {

// How messages begin that have no type of their own.
constexpr std::array<std::string_view, 6> kOfTheDevice = {"CUDA error",   "CUDA driver error",
                                                          "cuDNN error",  "cuDNN Frontend error",
                                                          "cuBLAS error", "NCCL error"};

}  // namespace

Cause cause_of(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
      dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr)
    return Cause::kMemory;
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  const std::string what = torch_error ? torch_error->what_without_backtrace() : error.what();
  const auto says = [&](std::string_view words) { return what.find(words) != std::string::npos; };
  if (says("CUBLAS_STATUS_ALLOC_FAILED") || (torch_error && says("allocate memory")))
    return Cause::kMemory;
  const bool of_device =
      dynamic_cast<const c10::AcceleratorError*>(&error) != nullptr ||
      std::ranges::any_of(kOfTheDevice, [&](auto start) { return what.starts_with(start); });
  if (of_device && says("out of memory")) return Cause::kMemory;
  return of_device && !says("device-side assert") ? Cause::kDevice : Cause::kRequest;
}

}  // namespace bitloop::lua
