#include "sandbox/descriptors.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace bitloop::sandbox {
namespace {

constexpr int kMaxTargets = 64;

}  // namespace

bool map_descriptors(const std::vector<FdMapping>& mappings, bool close_others) {
  for (const FdMapping& mapping : mappings)
    if (mapping.target < 0 || mapping.target >= kMaxTargets) {
      errno = EBADF;
      return false;
    }
  // Everything is copied out of the way first: a source may have the number that another one wants.
  int copies[kMaxTargets];
  for (int& copy : copies) copy = -1;
  for (const FdMapping& mapping : mappings) {
    copies[mapping.target] = ::fcntl(mapping.source, F_DUPFD_CLOEXEC, kMaxTargets);
    if (copies[mapping.target] < 0) return false;
  }
  for (int fd = 0; fd <= 2; ++fd)
    if (copies[fd] < 0) {
      const int null = ::open("/dev/null", fd == 0 ? O_RDONLY | O_CLOEXEC : O_WRONLY | O_CLOEXEC);
      if (null < 0) return false;
      copies[fd] = ::fcntl(null, F_DUPFD_CLOEXEC, kMaxTargets);
      if (copies[fd] < 0) return false;
    }
  if (close_others && ::syscall(SYS_close_range, 0, ~0U, CLOSE_RANGE_CLOEXEC) != 0) return false;
  for (int target = 0; target < kMaxTargets; ++target)
    if (copies[target] >= 0 && ::dup2(copies[target], target) < 0) return false;
  return true;
}

}  // namespace bitloop::sandbox
