// One end of a pair of sockets between two ranks: whole messages, in order. It uses read and write
// alone, which every profile of the lock-down allows; that they block for a second at most was set
// when the pair was made (harness/jobs/rank_links.h).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "harness/base/fd.h"
#include "harness/base/result.h"

namespace bitloop::trainer {

class Link {
 public:
  // `peer` is the rank at the other end.
  Link(UniqueFd fd, int64_t peer) : fd_(std::move(fd)), peer_(peer) {}

  // The longest message: what all ranks of a machine say at once.
  static constexpr size_t kMostBytes = 96 << 10;

  // Sleeps until the message is taken or comes, at most `limit`; with `beats`, since these last
  // changed. Errors: "infrastructure": the peer has ended, or did not come in time.
  Status send(std::string_view message, std::chrono::seconds limit) const;
  Result<std::string> receive(std::chrono::seconds limit,
                              const std::atomic<uint32_t>* beats = nullptr) const;

 private:
  std::unexpected<Error> ended() const;
  std::unexpected<Error> late(std::chrono::seconds limit) const;

  UniqueFd fd_;
  int64_t peer_;
};

}  // namespace bitloop::trainer
