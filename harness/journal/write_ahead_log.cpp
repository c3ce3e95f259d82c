#include "harness/journal/write_ahead_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <exception>
#include <system_error>

namespace bitloop::journal {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kExtension = ".log";
constexpr std::string_view kHeader = "bitloop write-ahead log 1\n";
constexpr size_t kFrameHead = 8;
constexpr std::chrono::seconds kPauseAfterFailure(10);
constexpr const char* kUnsynced = "not-synced";

void put_u32(std::string& out, uint32_t number) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>((number >> shift) & 0xFFU);
}

uint32_t get_u32(std::string_view bytes) {
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i)
    number |= uint32_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  return number;
}

// Of length and record, so that zeros, which a file system may show in place of bytes that never
// came, are no frame.
uint32_t checksum(std::string_view length, std::string_view record) {
  uLong sum = 0;
  for (const std::string_view part : {length, record})
    sum = ::crc32_z(sum, reinterpret_cast<const Bytef*>(part.data()), part.size());
  return static_cast<uint32_t>(sum);
}

std::string framed(std::string_view record) {
  std::string frame;
  frame.reserve(kFrameHead + record.size());
  put_u32(frame, static_cast<uint32_t>(record.size()));
  put_u32(frame, checksum(frame, record));
  frame += record;
  return frame;
}

struct Found {
  uint64_t number = 0;
  fs::path path;
};

// The folder's segments, oldest first; none where there is no folder.
Result<std::vector<Found>> segments_in(const fs::path& folder) {
  std::vector<Found> found;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  if (error == std::errc::no_such_file_or_directory) return found;
  for (const fs::directory_iterator end; !error && entry != end; entry.increment(error)) {
    const std::string stem = entry->path().stem().string();
    uint64_t number = 0;
    const auto [rest, failed] = std::from_chars(stem.data(), stem.data() + stem.size(), number);
    if (entry->path().extension() == kExtension && failed == std::errc{} &&
        rest == stem.data() + stem.size())
      found.push_back({number, entry->path()});
  }
  if (error) return std::unexpected(errno_error(folder.string(), error.value()));
  std::ranges::sort(found, {}, &Found::number);
  return found;
}

}  // namespace

Result<std::unique_ptr<WriteAheadLog>> WriteAheadLog::open(fs::path folder, uint64_t most_bytes) {
  BITLOOP_ASSIGN(there, segments_in(folder));
  std::unique_ptr<WriteAheadLog> log(new WriteAheadLog(std::move(folder), most_bytes));
  BITLOOP_ASSIGN(file_system, open_file(log->folder_.parent_path(), O_RDONLY | O_DIRECTORY));
  log->file_system_ = std::move(file_system);
  for (const Found& found : there) {
    auto segment = std::make_shared<Segment>();
    segment->path = found.path;
    std::error_code ignored;
    segment->written = segment->flushed = fs::file_size(found.path, ignored);
    log->closed_.push_back(std::move(segment));
    log->next_number_ = found.number + 1;
  }
  return log;
}

WriteAheadLog::~WriteAheadLog() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (worker_.joinable()) worker_.join();
}

WriteAheadLog::Entry::~Entry() {
  if (!segment_) return;
  const std::lock_guard lock(log_->mutex_);
  if (--segment_->entries == 0) log_->changed_.notify_all();
}

Result<std::shared_ptr<WriteAheadLog::Segment>> WriteAheadLog::begin_segment(uint64_t number) {
  auto segment = std::make_shared<Segment>();
  segment->path = folder_ / fmt::format("{:08}{}", number, kExtension);
  if (::mkdir(folder_.c_str(), 0777) != 0 && errno != EEXIST)
    return std::unexpected(errno_error(folder_.string(), errno));
  // Once in a process: one that was killed may have made it and no more.
  if (!folder_synced_) BITLOOP_TRY(sync_folder(folder_.parent_path()));
  folder_synced_ = true;
  BITLOOP_ASSIGN(file, open_file(segment->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND));
  segment->file = std::move(file);
  auto begun = write_all(segment->file.get(), kHeader);
  if (begun) begun = sync_folder(folder_);
  if (!begun) {
    ::unlink(segment->path.c_str());
    return std::unexpected(begun.error());
  }
  segment->written = kHeader.size();
  return segment;
}

Result<WriteAheadLog::Entry> WriteAheadLog::append(std::string_view record) {
  const std::string frame = framed(record);
  std::unique_lock lock(mutex_);
  if (current_ && current_->error != 0) closed_.push_back(std::exchange(current_, nullptr));
  if (!current_) {
    BITLOOP_ASSIGN(begun, begin_segment(next_number_));
    ++next_number_;
    current_ = std::move(begun);
  }
  const std::shared_ptr<Segment> segment = current_;
  const int fd = segment->file.get();
  if (const Status written = write_all(fd, frame); !written) {
    // A part of a frame would hide the frames after it.
    if (::ftruncate(fd, static_cast<off_t>(segment->written)) != 0) segment->error = errno;
    return std::unexpected(written.error());
  }
  segment->written += frame.size();
  const uint64_t end = segment->written;
  ++segment->entries;
  Entry entry(*this, segment);
  if (bytes() >= most_bytes_) wake_worker();
  while (segment->flushed < end && segment->error == 0) {
    if (segment->flushing) {
      changed_.wait(lock);
      continue;
    }
    segment->flushing = true;
    const uint64_t target = segment->written;
    lock.unlock();
    const int error = ::fdatasync(fd) == 0 ? 0 : errno;
    lock.lock();
    segment->flushing = false;
    if (error == 0) {
      segment->flushed = target;
    } else {
      segment->error = error;
      (void)::ftruncate(fd, static_cast<off_t>(segment->flushed));
    }
    changed_.notify_all();
  }
  const int error = segment->flushed < end ? segment->error : 0;
  lock.unlock();  // the entry's end takes it
  if (error != 0)
    return std::unexpected(errno_error("fdatasync of " + segment->path.string(), error));
  return entry;
}

Result<std::vector<std::string>> WriteAheadLog::read(const fs::path& folder) {
  std::vector<std::string> records;
  BITLOOP_ASSIGN(there, segments_in(folder));
  for (const Found& found : there) {
    BITLOOP_ASSIGN(text, read_file(found.path));
    std::string_view rest = text;
    if (!rest.starts_with(kHeader)) {
      if (kHeader.starts_with(rest.substr(0, kHeader.size())))
        continue;  // cut within the first line
      // Zeros are what a file system makes of a file whose bytes never came.
      if (rest.find_first_not_of('\0') == std::string_view::npos) continue;
      return fail(
          "journal_unreadable",
          fmt::format("{} is no log of this version of bitloop; use the version that wrote it",
                      found.path.string()));
    }
    rest.remove_prefix(kHeader.size());
    while (rest.size() >= kFrameHead) {
      const uint32_t size = get_u32(rest), sum = get_u32(rest.substr(4));
      if (rest.size() - kFrameHead < size) break;
      const std::string_view record = rest.substr(kFrameHead, size);
      if (checksum(rest.substr(0, 4), record) != sum) break;
      records.emplace_back(record);
      rest.remove_prefix(kFrameHead + size);
    }
  }
  return records;
}

bool WriteAheadLog::is_unsynced(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / kUnsynced, ignored);
}

Status WriteAheadLog::set_synced(const fs::path& folder) {
  if (::unlink((folder / kUnsynced).c_str()) != 0 && errno != ENOENT)
    return std::unexpected(errno_error((folder / kUnsynced).string(), errno));
  return sync_folder(folder);
}

Status WriteAheadLog::checkpoint() {
  const std::lock_guard turn(checkpoint_mutex_);
  std::unique_lock lock(mutex_);
  if (failed_) return fail("io_error", "the disk failed before: the log is kept as it is");
  if (current_) {
    // The next one is made before it is wanted: making one waits for the disk.
    const std::shared_ptr<Segment> before = current_;
    const uint64_t number = next_number_++;
    lock.unlock();
    auto next = begin_segment(number);
    lock.lock();
    if (!next) return std::unexpected(next.error());
    if (current_ == before) {
      closed_.push_back(std::exchange(current_, std::move(*next)));
    } else {  // it failed, and an append has begun one with a larger number
      ::unlink((*next)->path.c_str());
    }
  }
  const std::vector<std::shared_ptr<Segment>> old = closed_;
  if (old.empty()) return {};
  changed_.wait(lock, [&] {
    return stopping_ || std::ranges::all_of(old, [](const auto& segment) {
             return segment->entries == 0 && !segment->flushing;
           });
  });
  if (stopping_) return {};
  lock.unlock();
  BITLOOP_ASSIGN(folder, open_file(folder_, O_RDONLY | O_DIRECTORY));
  BITLOOP_TRY(write_file_atomic(folder_ / kUnsynced, ""));
  if (::syncfs(file_system_.get()) != 0) {
    const int error = errno;
    const std::lock_guard again(mutex_);
    failed_ = true;
    return std::unexpected(errno_error("syncfs", error));
  }
  // In their order, and each for good before the next: a later record may undo an earlier one.
  for (const auto& segment : old) {
    if (::unlink(segment->path.c_str()) != 0 && errno != ENOENT)
      return std::unexpected(errno_error(segment->path.string(), errno));
    if (::fsync(folder.get()) != 0) return std::unexpected(errno_error(folder_.string(), errno));
    const std::lock_guard again(mutex_);
    closed_.erase(closed_.begin());
  }
  return set_synced(folder_);
}

uint64_t WriteAheadLog::bytes() const {
  uint64_t sum = current_ ? current_->written : 0;
  for (const auto& segment : closed_) sum += segment->written;
  return sum;
}

void WriteAheadLog::wake_worker() {
  changed_.notify_all();
  if (worker_.joinable() || stopping_) return;
  try {
    worker_ = std::thread([this] { work(); });
  } catch (const std::exception&) {
    // No thread to be had at the moment, or no memory: the log grows until there is.
  }
}

void WriteAheadLog::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || failed_ || bytes() >= most_bytes_; });
    if (stopping_ || failed_) return;
    lock.unlock();
    bool dropped = false;
    try {
      dropped = checkpoint().has_value();
    } catch (const std::exception&) {
    }
    lock.lock();
    if (!dropped) changed_.wait_for(lock, kPauseAfterFailure, [this] { return stopping_; });
  }
}

}  // namespace bitloop::journal
