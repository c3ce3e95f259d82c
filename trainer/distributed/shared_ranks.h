// Ranks of one machine: numbers go through memory that all have mapped, and messages of a few bytes
// through a pair of sockets between rank 0 and each other rank say when. After the narrowing of
// system calls it needs nothing but read, write and that memory.
//
// A sum, piece by piece: each rank copies its piece into its slot; each adds up one part of all
// slots, in the order of the ranks; each copies the whole sum out. So every number is added in one
// place, in one order, and all ranks get the same bits. A GPU's numbers are added by the GPU.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "trainer/distributed/link.h"
#include "trainer/distributed/ranks.h"
#include "trainer/distributed/sum_thread.h"

namespace bitloop::trainer {

class SharedRanks : public Ranks {
 public:
  // Takes the descriptors that the job names. Errors: "bad_job" (a size that doesn't fit),
  // "io_error".
  static Result<std::unique_ptr<Ranks>> open(const RankConfig& config);
  ~SharedRanks() override;

  Status sum(std::span<const at::Tensor> tensors) override;
  Status begin_sum(std::span<const at::Tensor> tensors) override;
  Status finish_sums() override;
  Status prepare_early_sums(at::Device device) override;
  Status broadcast(std::span<const at::Tensor> tensors) override;
  Result<std::vector<std::string>> exchange(std::string_view words) override;
  Status wait_for_first() override;

 private:
  SharedRanks(const RankConfig& config, std::vector<Link> links, char* memory);

  // A slot for each rank, and one for the sum.
  char* slot(int64_t index) const { return memory_ + index * slot_bytes_; }
  // Returns when all ranks have called it.
  Status meet();
  // This rank's part of the slots' sum, of n floats, added where the numbers come from.
  void add_slots(int64_t n, at::Device device);

  std::vector<Link> links_;  // rank 0: to ranks 1, 2, …; others: to rank 0
  char* memory_;
  int64_t bytes_, slot_bytes_;
  // At the end of the memory: rank 0 counts it up all the time, also while it does what is done
  // once, so that others tell a long evaluation from a process that stands still.
  std::atomic<uint32_t>* beats_;
  std::chrono::seconds wait_;  // for one that does not come; others wait for rank 0 a bit longer
  std::jthread heart_;
  std::unique_ptr<SumThread> early_;  // or null
};

}  // namespace bitloop::trainer
