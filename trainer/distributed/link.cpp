#include "trainer/distributed/link.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace bitloop::trainer {

using Clock = std::chrono::steady_clock;

namespace {

// Whether a call that failed is to be made again: it was interrupted, or its second is over.
bool goes_on(int error) { return error == EINTR || error == EAGAIN || error == EWOULDBLOCK; }

}  // namespace

// Whoever ended, or the jail's init that saw it, says more of it: they come first.
std::unexpected<Error> Link::ended() const {
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  return fail("infrastructure",
              fmt::format("rank {} has ended, and the run with it; output.txt may say why", peer_));
}

std::unexpected<Error> Link::late(std::chrono::seconds limit) const {
  return fail("infrastructure",
              fmt::format("rank {} did not come within {} s of the others: it is stopped or too "
                          "slow; see what holds it up, or raise limits.rank_wait_s",
                          peer_, limit.count()));
}

Status Link::send(std::string_view message, std::chrono::seconds limit) const {
  const Clock::time_point start = Clock::now();
  while (true) {
    const ssize_t sent = ::write(fd_.get(), message.data(), message.size());
    if (sent == static_cast<ssize_t>(message.size())) return {};
    if (sent >= 0 || !goes_on(errno)) return ended();
    if (Clock::now() - start > limit) return late(limit);
  }
}

Result<std::string> Link::receive(std::chrono::seconds limit,
                                  const std::atomic<uint32_t>* beats) const {
  Clock::time_point start = Clock::now();
  uint32_t seen = beats ? beats->load() : 0;
  std::string message(kMostBytes, '\0');
  while (true) {
    const ssize_t count = ::read(fd_.get(), message.data(), message.size());
    if (count > 0) {
      message.resize(static_cast<size_t>(count));
      return message;
    }
    if (count == 0 || !goes_on(errno)) return ended();
    if (const uint32_t now = beats ? beats->load() : seen; now != seen) {
      seen = now;
      start = Clock::now();
    }
    if (Clock::now() - start > limit) return late(limit);
  }
}

}  // namespace bitloop::trainer
