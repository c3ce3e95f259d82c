#include "harness/jobs/rank_links.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>

namespace bitloop::jobs {
namespace {

constexpr int kMemoryFd = 6, kFirstLinkFd = 7;
// Of each rank in the memory file, and once more for sums: gradients go through it in pieces.
constexpr uint64_t kSlotBytes = uint64_t{4} << 20;
constexpr uint64_t kHeartBytes = 4096;  // where rank 0 shows that it lives
// How long a call on a socket blocks at most: whoever waits for longer looks at the clock so often.
constexpr timeval kTick{1, 0};

}  // namespace

Result<RankLinks> RankLinks::make(unsigned count) {
  RankLinks links;
  links.count_ = count;
  links.bytes_ = kSlotBytes * (count + 1) + kHeartBytes;
  links.memory_.reset(::memfd_create("ranks", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  // Its size is sealed: a rank that made it smaller would end the others.
  if (!links.memory_.valid() ||
      ::ftruncate(links.memory_.get(), static_cast<off_t>(links.bytes_)) != 0 ||
      ::fcntl(links.memory_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return std::unexpected(errno_error("the memory that the ranks share", errno));
  for (unsigned rank = 1; rank < count; ++rank) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
      return std::unexpected(errno_error("a pair of sockets between ranks", errno));
    links.first_.emplace_back(ends[0]);
    links.others_.emplace_back(ends[1]);
    for (const int end : ends)
      for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO})
        if (::setsockopt(end, SOL_SOCKET, option, &kTick, sizeof kTick) != 0)
          return std::unexpected(errno_error("a pair of sockets between ranks", errno));
  }
  return links;
}

nlohmann::ordered_json RankLinks::describe(unsigned rank, int64_t wait_s) const {
  nlohmann::ordered_json links = nlohmann::ordered_json::array();
  for (unsigned i = 0; i < (rank == 0 ? count_ - 1 : 1); ++i)
    links.push_back(kFirstLinkFd + static_cast<int>(i));
  return {{"rank", rank},           {"count", count_},        {"links", links},
          {"memory_fd", kMemoryFd}, {"memory_bytes", bytes_}, {"wait_s", wait_s}};
}

std::vector<sandbox::FdMapping> RankLinks::descriptors(unsigned rank) const {
  std::vector<sandbox::FdMapping> mappings{{memory_.get(), kMemoryFd}};
  if (rank > 0) mappings.push_back({others_[rank - 1].get(), kFirstLinkFd});
  for (size_t i = 0; rank == 0 && i < first_.size(); ++i)
    mappings.push_back({first_[i].get(), kFirstLinkFd + static_cast<int>(i)});
  return mappings;
}

}  // namespace bitloop::jobs
