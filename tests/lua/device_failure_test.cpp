// A GPU that fails, or has no memory left, while a candidate's function runs: the machine's doing,
// and nothing that the function can catch. Where there is no GPU, an operation that throws what
// LibTorch throws then.
#include <c10/util/Exception.h>
#include <torch/library.h>

#include <stdexcept>
#include <string>

#include "lua/runtime/torch_failure.h"
#include "tests/lua/fixture.h"

namespace bitloop::lua {
namespace {

using ::testing::HasSubstr;

enum class Thrown { kFailure, kAssertion, kTooLarge, kFull };
Thrown thrown = Thrown::kFailure;

at::Tensor fail_at_abs(const at::Tensor&) {
  const c10::SourceLocation here{__func__, __FILE__, __LINE__};
  switch (thrown) {
    case Thrown::kFull:
      throw c10::OutOfMemoryError(here, "CUDA out of memory. Tried to allocate 2.00 GiB.");
    case Thrown::kAssertion:
      throw c10::AcceleratorError(here, 710, "CUDA error: device-side assert triggered");
    case Thrown::kTooLarge:
      throw c10::AcceleratorError(here, 9, "CUDA error: invalid configuration argument");
    default:
      throw c10::AcceleratorError(here, 999, "CUDA error: the GPU has fallen off the bus");
  }
}

// While it lives, abs() throws.
struct FailingAbs {
  explicit FailingAbs(Thrown what)
      : library(torch::Library::IMPL, "aten", c10::DispatchKey::CPU, __FILE__, __LINE__) {
    thrown = what;
    library.impl("abs", fail_at_abs);
  }
  torch::Library library;
};

TEST(DeviceFailureTest, IsTheMachinesAndNoCandidateCatchesIt) {
  for (const char* body : {"return w:sign(), w:abs():mean()",
                           "local ok = pcall(function() return w:abs() end)\nreturn w:sign(), 1"}) {
    SCOPED_TRACE(body);
    const FailingAbs failing(Thrown::kFailure);
    const Error error = body_error(body);
    EXPECT_EQ(error.code, "infrastructure");
    EXPECT_THAT(error.message, HasSubstr("the GPU failed"));
    EXPECT_THAT(error.message, HasSubstr("fallen off the bus"));
  }
  EXPECT_EQ(body_error("return w:sign(), w:abs():mean()").message, "") << "the next call is well";
}

TEST(DeviceFailureTest, NoMemoryLeftIsOutOfMemory) {
  const FailingAbs failing(Thrown::kFull);
  EXPECT_EQ(body_error("pcall(w.abs, w)\nreturn w:sign(), 1").code, "out_of_memory");
}

// A candidate that could end its run as the machine's failure would train for nothing.
TEST(DeviceFailureTest, WhatItWasAskedIsTheCandidatesDoing) {
  for (const Thrown what : {Thrown::kAssertion, Thrown::kTooLarge}) {
    const FailingAbs failing(what);
    EXPECT_EQ(body_error("return w:sign(), w:abs():mean()").code, "script_error");
  }
}

TEST(DeviceFailureTest, CausesAreToldApart) {
  const c10::SourceLocation here{__func__, __FILE__, __LINE__};
  const auto cause = [&](const char* message) { return cause_of(c10::Error(here, message)); };
  EXPECT_EQ(cause("The size of tensor a (3) must match"), Cause::kRequest);
  EXPECT_EQ(cause("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), Cause::kDevice);
  EXPECT_EQ(cause("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling"), Cause::kDevice);
  EXPECT_EQ(cause("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), Cause::kMemory);
  EXPECT_EQ(cause("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling"), Cause::kRequest);
  EXPECT_EQ(cause("CUDA driver error: unknown error"), Cause::kDevice);
  for (const int code : {1, 9, 700, 710, 716})
    EXPECT_EQ(cause_of(c10::AcceleratorError(here, code, "CUDA error: …")), Cause::kRequest);
  EXPECT_EQ(cause_of(c10::AcceleratorError(here, 214, "CUDA error: …")), Cause::kDevice);
  EXPECT_EQ(cause("CUDA error: out of memory"), Cause::kMemory);
  EXPECT_EQ(cause("DefaultCPUAllocator: can't allocate memory: you tried"), Cause::kMemory);
  EXPECT_EQ(cause_of(std::bad_alloc()), Cause::kMemory);
  EXPECT_EQ(cause_of(std::runtime_error("a file")), Cause::kRequest);
  EXPECT_EQ(cause_of(std::runtime_error("cuDNN Frontend error: CUDNN_STATUS_INTERNAL_ERROR")),
            Cause::kDevice);
}

}  // namespace
}  // namespace bitloop::lua
