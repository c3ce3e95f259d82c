// The first failure of this library's calls: kept, because calls only queue work, and handed over
// when the trainer asks.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <string>

namespace bitloop::cuda {

class Failure {
 public:
  bool check(cudaError_t result, const char* what) {
    if (result == cudaSuccess) return true;
    return note(what, cudaGetErrorString(result));
  }
  bool check(cublasStatus_t result, const char* what) {
    if (result == CUBLAS_STATUS_SUCCESS) return true;
    return note(what, cublasLtGetStatusString(result));
  }
  bool note(const char* what, const std::string& why) {
    if (text_.empty()) text_ = std::string(what) + ": " + why;
    return false;
  }
  bool any() const { return !text_.empty(); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace bitloop::cuda
