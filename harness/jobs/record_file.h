// A file that a run's records are appended to, and that a full disk does not silence: what could
// not be written waits, and is written before the next record.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "harness/base/fd.h"

namespace bitloop::jobs {

class RecordFile {
 public:
  // What may wait; records beyond it are lost, and counted.
  static constexpr size_t kMaxWaitingBytes = size_t{8} << 20;

  RecordFile() = default;
  // `more_flags`: O_TRUNC to begin it anew. Errors: those of open_file.
  static Result<RecordFile> open(std::filesystem::path path, int more_flags);
  bool is_open() const { return fd_.valid(); }

  // Adds whole lines; a failure is remembered, and the next call tries again.
  void append(std::string_view lines);
  // The file's content from now on, atomically; where that fails, the next sync or finish tries
  // again, and what is appended waits for it.
  void replace(std::string content);
  // What was taken is on disk afterwards. A failure of the disk itself is final.
  void sync();
  // The last attempt. Error: how many records are missing, and why; or that of fsync.
  Status finish(bool durable);

 private:
  // Whether nothing waits any more.
  bool flush();
  bool put_content();
  void failed(const Error& error) { why_ = error; }

  std::filesystem::path path_;
  UniqueFd fd_;
  off_t size_ = 0;                      // of what is whole
  bool torn_ = false;                   // a part of a line may stand behind that
  std::optional<std::string> content_;  // what is to replace the file
  std::string waiting_;
  int64_t lost_ = 0;          // records
  std::optional<Error> why_;  // of the last write that failed
  Status disk_;               // of fsync
};

}  // namespace bitloop::jobs
