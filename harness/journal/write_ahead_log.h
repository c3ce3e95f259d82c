// What makes an event durable: one record, appended to one file and flushed once, for all events
// that wait at the time. In git an event is a dozen files and folders; they are written, too,
// before the event is acknowledged, but nobody waits for them to reach the disk. When the machine
// fails before they have, the next start writes them again from the records (recovery.h).
//
// A log is a folder of segments, 00000001.log and so on: a line that says what it is, then frames
// of length, CRC-32 of length and record (both little-endian, 32 bits), and record. A segment is
// dropped once everything in its file system is on disk (syncfs) that was there when its last
// record had been used. While that is being done, and for good where it failed, the file
// `not-synced` says that what the log has must be written again whatever seems to be there: the
// kernel tells of a failure once, and calls pages written afterwards that are not.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "harness/base/fd.h"

namespace bitloop::journal {

// All functions may be called from any thread.
class WriteAheadLog {
 private:
  struct Segment;

 public:
  static constexpr uint64_t kMostBytes = uint64_t{4} << 20;

  // Segments that are there already are kept and never appended to. From `most_bytes` on a thread
  // drops what is no longer needed. Errors: "io_error".
  static Result<std::unique_ptr<WriteAheadLog>> open(std::filesystem::path folder,
                                                     uint64_t most_bytes = kMostBytes);
  ~WriteAheadLog();  // leaves the segments to the next start
  WriteAheadLog(const WriteAheadLog&) = delete;
  WriteAheadLog& operator=(const WriteAheadLog&) = delete;

  // A record that is on disk. As long as this lives, it is not dropped: to be kept until what the
  // record says is written elsewhere.
  class Entry {
   public:
    ~Entry();
    Entry(Entry&& other) noexcept
        : log_(other.log_), segment_(std::exchange(other.segment_, nullptr)) {}
    Entry& operator=(Entry&&) = delete;

   private:
    friend class WriteAheadLog;
    Entry(WriteAheadLog& log, std::shared_ptr<Segment> segment)
        : log_(&log), segment_(std::move(segment)) {}
    WriteAheadLog* log_;
    std::shared_ptr<Segment> segment_;  // shared with the log, which may close it meanwhile
  };
  // Returns when the record is on disk. After an error it is not, as a rule; after one of flushing
  // nobody knows. Errors: "disk_full", "io_error".
  Result<Entry> append(std::string_view record);

  // The records in a log's folder, oldest first; of a segment that ends within a frame or with a
  // damaged one, those before it. Errors: "io_error"; "journal_unreadable" (of another version).
  static Result<std::vector<std::string>> read(const std::filesystem::path& folder);
  // Whether all that the records say must be written again, and that it is on disk.
  static bool is_unsynced(const std::filesystem::path& folder);
  static Status set_synced(const std::filesystem::path& folder);

  // Drops what can be dropped now; for tests and for those who can wait. Errors: "io_error".
  Status checkpoint();

 private:
  WriteAheadLog(std::filesystem::path folder, uint64_t most_bytes)
      : folder_(std::move(folder)), most_bytes_(most_bytes) {}

  struct Segment {
    std::filesystem::path path;
    UniqueFd file;          // none: of an earlier process
    uint64_t written = 0;   // bytes
    uint64_t flushed = 0;   // so many of them are on disk
    bool flushing = false;  // somebody waits for the disk, for all
    int error = 0;       // errno of a flush or a repair that failed: nothing is appended any more
    size_t entries = 0;  // that live
  };

  // A new, empty segment with this number.
  Result<std::shared_ptr<Segment>> begin_segment(uint64_t number);
  void work();
  void wake_worker();      // Requires: locked
  uint64_t bytes() const;  // Requires: locked

  const std::filesystem::path folder_;
  const uint64_t most_bytes_;
  // Of the folder's parent, from the beginning on: the kernel tells a descriptor of what failed
  // since it was opened.
  UniqueFd file_system_;
  std::mutex checkpoint_mutex_;  // one at a time; taken before mutex_
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<Segment>> closed_;  // oldest first
  std::shared_ptr<Segment> current_;              // none before the first record
  uint64_t next_number_ = 1;
  std::atomic<bool> folder_synced_ = false;  // its own name is on disk
  bool failed_ = false;                      // syncfs did: nothing is dropped any more
  bool stopping_ = false;
  std::thread worker_;  // from the first time on that there is much
};

}  // namespace bitloop::journal
