#include "lua/runtime/torch_failure.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <new>
#include <string>
#include <string_view>

namespace bitloop::lua {
namespace {

// CUDA's own numbers (driver_types.h) of what no request can bring about: no driver, no device or
// none that is ready (3, 4, 35, 46, 100, 201, 709, 802, 803), memory or links that fail (214, 220),
// a hardware's stack (714), a launch that failed for no reason that is known (719), and the unknown
// (999: a GPU that has fallen off the bus).
constexpr std::array kOfTheMachine = {3,   4,   35,  46,  100, 201, 214,
                                      220, 709, 714, 719, 802, 803, 999};

// Of cuBLAS, cuDNN, NCCL and the driver, whose failures have no type of their own.
constexpr std::array<std::string_view, 6> kLibraries = {"CUDA error",   "CUDA driver error",
                                                        "cuDNN error",  "cuDNN Frontend error",
                                                        "cuBLAS error", "NCCL error"};
constexpr std::array<std::string_view, 4> kBroken = {"_STATUS_EXECUTION_FAILED",
                                                     "_STATUS_INTERNAL_ERROR",
                                                     "_STATUS_NOT_INITIALIZED", "driver error"};

}  // namespace

std::string words_of(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  return torch_error ? torch_error->what_without_backtrace() : error.what();
}

Cause cause_of(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
      dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr)
    return Cause::kMemory;
  const std::string what = words_of(error);
  const bool of_torch = dynamic_cast<const c10::Error*>(&error) != nullptr;
  const auto says = [&](std::string_view words) { return what.find(words) != std::string::npos; };
  if (says("CUBLAS_STATUS_ALLOC_FAILED") || (of_torch && says("allocate memory")))
    return Cause::kMemory;
  const auto* of_device = dynamic_cast<const c10::AcceleratorError*>(&error);
  const bool of_library =
      std::ranges::any_of(kLibraries, [&](auto start) { return what.starts_with(start); });
  if ((of_device || of_library) && says("out of memory")) return Cause::kMemory;
  const bool broken = of_device ? std::ranges::find(kOfTheMachine, of_device->get_error_code()) !=
                                      kOfTheMachine.end()
                                : of_library && std::ranges::any_of(kBroken, says);
  return broken ? Cause::kDevice : Cause::kRequest;
}

}  // namespace bitloop::lua
