// Ranks on several machines, by PyTorch's c10d: Gloo over TCP, and NCCL for numbers that are on
// GPUs, where its library can be opened. All connections are made when it is opened; what it needs
// after the narrowing of system calls is in sandbox/lock_down.h.
#pragma once

#include <chrono>
#include <memory>

#include "trainer/distributed/ranks.h"

namespace bitloop::trainer {

class C10dRanks : public Ranks {
 public:
  // Meets the other ranks at config.address and port, where rank 0 listens (or torchrun does), and
  // connects with each. Blocks for at most config.wait_s. Errors: "infrastructure".
  static Result<std::unique_ptr<Ranks>> open(const RankConfig& config);
  ~C10dRanks() override;

  Status sum(std::span<const at::Tensor> tensors) override;
  // By the connections' own threads and streams: nothing is to be prepared.
  Status begin_sum(std::span<const at::Tensor> tensors) override;
  Status finish_sums() override;
  Status broadcast(std::span<const at::Tensor> tensors) override;
  Result<std::vector<std::string>> exchange(std::string_view words) override;
  Status wait_for_first() override;

 private:
  struct Connections;
  C10dRanks(const RankConfig& config, std::unique_ptr<Connections> connections);

  struct Piece;
  // The tensors one after the other in pieces of some megabytes: a call for each small tensor would
  // take longer than its numbers.
  std::vector<Piece> pieces_of(std::span<const at::Tensor> tensors) const;
  // Queues the sum of a piece's numbers.
  void queue_sum(Piece& piece) const;

  std::unique_ptr<Connections> connections_;
  std::vector<Piece> early_;  // sums that have begun
};

}  // namespace bitloop::trainer
