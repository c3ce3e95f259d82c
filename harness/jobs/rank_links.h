// What connects the processes that train together in one jail. It is made here, before the jail,
// and given to them as open descriptors: the jail lets no process make a socket or another process,
// so several ranks need no exception from its rules.
//
// Rank 0 has a pair of Unix sockets with each of the others; all share a memory file of fixed size.
// trainer/distributed/shared_ranks.h says what is sent and stored there.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "harness/base/fd.h"
#include "harness/base/result.h"
#include "sandbox/policy.h"

namespace bitloop::jobs {

inline constexpr unsigned kMostRanks = 16;  // of one machine: their descriptors have fixed numbers

class RankLinks {
 public:
  // For `count` ranks, from 2 to kMostRanks. Errors: "io_error" and the like, naming what could not
  // be made.
  static Result<RankLinks> make(unsigned count);

  // The job document's member `ranks` for one of them (docs/architecture.md).
  nlohmann::ordered_json describe(unsigned rank, int64_t wait_s) const;
  // The descriptors that it gets, at the numbers that describe() names.
  std::vector<sandbox::FdMapping> descriptors(unsigned rank) const;

 private:
  unsigned count_ = 0;
  uint64_t bytes_ = 0;
  UniqueFd memory_;
  std::vector<UniqueFd> first_, others_;  // the ends of rank 0, and of ranks 1, 2, …
};

}  // namespace bitloop::jobs
