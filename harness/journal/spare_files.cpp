#include "harness/journal/spare_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <new>
#include <optional>
#include <system_error>
#include <utility>

#include "harness/base/text.h"

namespace bitloop::journal {
namespace {

constexpr unsigned kMode = 0644;

// In a thread of its own nobody would hear of a want of memory.
std::optional<NewFile> make_quietly(const std::filesystem::path& folder) {
  try {
    auto made = NewFile::make(folder);
    if (made) return std::move(*made);
  } catch (const std::bad_alloc&) {
  }
  return std::nullopt;
}

}  // namespace

Result<NewFile> NewFile::make(const std::filesystem::path& folder) {
  auto unnamed = open_file(folder, O_TMPFILE | O_WRONLY, kMode);
  if (unnamed) return NewFile(std::move(*unnamed), {});
  // A file system without such files says EOPNOTSUPP, a kernel without them EISDIR.
  if (errno != EOPNOTSUPP && errno != EISDIR) return std::unexpected(unnamed.error());
  return make_temporary(folder);
}

Result<NewFile> NewFile::make_temporary(const std::filesystem::path& folder) {
  // journal::remove_leftovers takes away what a killed process leaves of these.
  const std::filesystem::path path = folder / ("tmp_" + random_hex(8));
  BITLOOP_ASSIGN(named, open_file(path, O_WRONLY | O_CREAT | O_EXCL, kMode));
  return NewFile(std::move(named), path);
}

NewFile::~NewFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<UniqueFd> NewFile::name(const std::filesystem::path& path) {
  int named = -1;
  if (temporary_.empty()) {
    const std::string unnamed = fmt::format("/proc/self/fd/{}", fd_.get());
    named = ::linkat(AT_FDCWD, unnamed.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW);
  } else {
    // Not every file system has links, nor every one this flag.
    named = ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE);
    if (named == 0)
      temporary_.clear();
    else if (errno == EINVAL)
      named = ::link(temporary_.c_str(), path.c_str());
  }
  if (named != 0) {
    if (errno == EEXIST) return fail("exists", fmt::format("{} exists", path.string()));
    return std::unexpected(errno_error(path.string(), errno));
  }
  return std::move(fd_);
}

SpareFiles::~SpareFiles() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (worker_.joinable()) worker_.join();
}

Result<NewFile> SpareFiles::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!worker_.joinable()) start();
    wanted_ = true;
    changed_.notify_one();
    if (!ready_.empty()) {
      NewFile file = std::move(ready_.back());
      ready_.pop_back();
      return file;
    }
  }
  return NewFile::make(folder_);
}

void SpareFiles::start() {
  try {
    worker_ = std::thread([this] { work(); });
  } catch (const std::system_error&) {
    // No thread to be had at the moment: each file is made when it is needed.
  }
}

void SpareFiles::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return wanted_ || stopping_; });
    if (stopping_) return;
    wanted_ = false;
    while (ready_.size() < count_ && !stopping_) {
      lock.unlock();
      auto made = make_quietly(folder_);
      lock.lock();
      if (!made) break;  // no descriptors, no room: who needs one will say so
      ready_.push_back(std::move(*made));
    }
  }
}

}  // namespace bitloop::journal
