// NCCL as c10d has it, in a library of its own: it needs LibTorch's CUDA library, which the trainer
// opens only where a driver is (trainer/distributed/c10d_ranks.h).
#include <chrono>

#define USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

// A new group, owned by the caller, whose ranks meet in `store`; null where there is no GPU for it.
// Throws what NCCL says otherwise. Each process's GPU is the current one.
extern "C" __attribute__((visibility("default"))) c10d::Backend* bitloop_nccl(
    const c10::intrusive_ptr<c10d::Store>& store, int rank, int count, int64_t timeout_ms) {
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = std::chrono::milliseconds(timeout_ms);
  auto group = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, count, options);
  return group.release();
}
