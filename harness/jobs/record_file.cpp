#include "harness/jobs/record_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace bitloop::jobs {
namespace {

int64_t count_lines(std::string_view text) { return std::ranges::count(text, '\n'); }

Result<off_t> size_of(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return std::unexpected(errno_error("fstat", errno));
  return status.st_size;
}

}  // namespace

Result<RecordFile> RecordFile::open(std::filesystem::path path, int more_flags) {
  RecordFile file;
  BITLOOP_ASSIGN(fd, open_file(path, O_WRONLY | O_CREAT | O_APPEND | more_flags));
  BITLOOP_ASSIGN(size, size_of(fd.get()));
  file.path_ = std::move(path);
  file.fd_ = std::move(fd);
  file.size_ = size;
  return file;
}

void RecordFile::append(std::string_view lines) {
  if (lines.empty()) return;
  waiting_ += lines;
  if (!content_) flush();
  if (waiting_.size() <= kMaxWaitingBytes) return;
  waiting_.resize(waiting_.size() - lines.size());
  lost_ += count_lines(lines);
}

void RecordFile::replace(std::string content) {
  content_ = std::move(content);
  waiting_.clear();
  flush();
}

bool RecordFile::put_content() {
  auto written = write_file_atomic(path_, *content_);
  if (!written) return failed(written.error()), false;
  auto fd = open_file(path_, O_WRONLY | O_APPEND);
  if (!fd) return failed(fd.error()), false;
  fd_ = std::move(*fd);
  size_ = static_cast<off_t>(content_->size());
  torn_ = false;
  content_.reset();
  return true;
}

bool RecordFile::flush() {
  if (content_ && !put_content()) return false;
  if (waiting_.empty()) return true;
  // What a failed write left of a line would spoil the one behind it.
  if (torn_ && ::ftruncate(fd_.get(), size_) != 0)
    return failed(errno_error(path_.string(), errno)), false;
  torn_ = false;
  if (const auto written = write_all(fd_.get(), waiting_); !written) {
    torn_ = true;
    return failed(written.error()), false;
  }
  size_ += static_cast<off_t>(waiting_.size());
  waiting_.clear();
  return true;
}

void RecordFile::sync() {
  flush();
  if (disk_ && ::fdatasync(fd_.get()) != 0)
    disk_ = std::unexpected(errno_error(path_.string(), errno));
}

Status RecordFile::finish(bool durable) {
  const bool all = flush();
  if (!all && torn_) torn_ = ::ftruncate(fd_.get(), size_) != 0;
  if (durable && disk_ && ::fsync(fd_.get()) != 0)
    disk_ = std::unexpected(errno_error(path_.string(), errno));
  const int64_t missing = lost_ + count_lines(waiting_);
  const std::string why = why_ ? why_->message : "they came faster than they could be written";
  const std::string code = why_ ? why_->code : "too_large";
  if (content_)
    return fail(
        code, fmt::format("{} is the one of an earlier start: {}", path_.filename().string(), why));
  if (missing > 0)
    return fail(code, fmt::format("{} record(s) are missing in {}: {}", missing,
                                  path_.filename().string(), why));
  return disk_;
}

}  // namespace bitloop::jobs
