#include "trainer/failure.h"

#include <string>

namespace bitloop::trainer {

Error failure_of(const c10::Error& error) {
  constexpr size_t kLongest = 1000;
  const std::string what = error.what_without_backtrace();
  // Of cuBLAS and cuDNN, whose failures have no type of their own.
  const bool full = what.find("CUBLAS_STATUS_ALLOC_FAILED") != std::string::npos;
  if (!full && (what.starts_with("CUDA error") || what.starts_with("cuDNN error")))
    return {"infrastructure", "the GPU failed: " + what.substr(0, kLongest)};
  const bool memory = full || what.find("allocate memory") != std::string::npos ||
                      dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr;
  return {memory ? "out_of_memory" : "script_error", what.substr(0, kLongest)};
}

}  // namespace bitloop::trainer
