#include "harness/journal/packer.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "harness/journal/pack.h"

namespace bitloop::journal {
namespace {

constexpr int kLowestPriority = 19;
constexpr int kIoPriorityOfThread = 1, kIdleIo = 3 << 13;  // linux/ioprio.h

// Of this thread alone. Where it is refused, packing is only less polite.
void give_way_to_others() {
  const auto thread = static_cast<id_t>(::syscall(SYS_gettid));
  (void)::setpriority(PRIO_PROCESS, thread, kLowestPriority);
  (void)::syscall(SYS_ioprio_set, kIoPriorityOfThread, thread, kIdleIo);
}

}  // namespace

Packer::Packer(std::filesystem::path repository, Options options)
    : repository_(std::move(repository)), options_(std::move(options)) {
  if (options_.after > 0) thread_ = std::thread([this] { work(); });
}

Packer::~Packer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool Packer::is_stopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void Packer::look() {
  while (count_loose_objects(repository_) >= options_.after) {
    const auto packed = pack_loose_objects(repository_, [this] { return is_stopping(); });
    if (packed && *packed == 0) return;
    if (options_.report)
      options_.report(packed ? fmt::format("packed {} objects of the journal", *packed)
                             : fmt::format("the journal could not be packed: {}; it is whole, and "
                                           "packing is tried again",
                                           packed.error().message),
                      !packed);
    if (!packed) return;
  }
}

void Packer::work() {
  give_way_to_others();
  while (true) {
    look();
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, options_.pause, [this] { return stopping_; })) return;
  }
}

}  // namespace bitloop::journal
