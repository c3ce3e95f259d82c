#include "harness/base/temporary_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

namespace bitloop {

Result<TemporaryFolder> TemporaryFolder::make(const std::filesystem::path& parent,
                                              std::string_view prefix) {
  std::error_code error;
  std::filesystem::create_directories(parent, error);
  if (error) return std::unexpected(errno_error(parent.string(), error.value()));
  while (true) {
    std::string path = (parent / prefix).string() + "XXXXXX";
    if (::mkdtemp(path.data()) == nullptr)
      return std::unexpected(errno_error(parent.string(), errno));
    UniqueFd lock(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!lock.valid() && errno == ENOENT) continue;  // taken for abandoned before it was locked
    if (!lock.valid()) return std::unexpected(errno_error(path, errno));
    if (::flock(lock.get(), LOCK_EX) != 0) return std::unexpected(errno_error(path, errno));
    struct stat folder {};
    if (::fstat(lock.get(), &folder) == 0 && folder.st_nlink == 0) continue;  // the same
    return TemporaryFolder(std::move(path), std::move(lock));
  }
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (lock_.valid()) std::filesystem::remove_all(path_, ignored);
}

void TemporaryFolder::remove_abandoned(
    const std::filesystem::path& parent, std::string_view prefix,
    const std::function<bool(const std::filesystem::path&)>& in_use) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(parent, ignored)) {
    const std::filesystem::path& path = entry.path();
    if (!path.filename().string().starts_with(prefix)) continue;
    const UniqueFd lock(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat folder {};
    const bool ours = lock.valid() && ::fstat(lock.get(), &folder) == 0 &&
                      folder.st_uid == ::geteuid() && ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0;
    if (ours && !(in_use && in_use(path))) std::filesystem::remove_all(path, ignored);
  }
}

}  // namespace bitloop
