// Files that a run reads through a mapping, while whoever they belong to may write to them. What
// was read then is neither the old text nor the new one, and a file that is cut short ends the
// process (SIGBUS) at the next look at it: both are said, and no candidate is blamed.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "harness/base/fd.h"
#include "harness/base/result.h"

namespace bitloop::trainer {

// One mapped file; watched as long as this lives.
class WatchedFile {
 public:
  // `fd`, which stays the caller's, is open on what is mapped at [address, address + size).
  WatchedFile(int fd, std::string name, const void* address, size_t size);
  ~WatchedFile();
  WatchedFile(const WatchedFile&) = delete;
  WatchedFile& operator=(const WatchedFile&) = delete;

 private:
  friend Status check_watched_files();

  UniqueFd fd_;
  std::string name_;
  const void* address_;
  size_t size_;
  struct stat before_ {};
};

// Whether all watched files are as they were when they were opened, by size and time of their last
// change. Error "infrastructure": the first that is not.
Status check_watched_files();

// Where a watched file was cut short, writes `line` to the descriptor and ends the process with
// `exit_code`, instead of letting it die of SIGBUS. Once, before system calls are narrowed.
void end_on_cut_files(int fd, const std::string& line, int exit_code);
inline constexpr std::string_view kCutShort =
    "a data file was cut short while the run read it: let nothing write to data that is in use, "
    "then test again";

}  // namespace bitloop::trainer
