// Follows the records of running tests (events.jsonl in their folders) while somebody listens, one
// thread for all of them and all listeners.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "harness/base/fd.h"
#include "harness/sessions/feed.h"

namespace bitloop::sessions {

// The lines of a file that grows, from where following began or from its beginning.
class GrowingFile {
 public:
  enum class From { kNow, kBeginning };
  explicit GrowingFile(std::filesystem::path path, From from = From::kNow)
      : path_(std::move(path)), is_first_(from == From::kNow) {}
  // What was added since the last call, whole lines; "" when nothing was, or there is no file. From
  // kNow on, the first call that finds the file skips what is there. A call reads 1 MiB at most.
  std::string read_lines();

 private:
  bool was_replaced() const;  // another file has its name now

  static constexpr size_t kMostBytes = size_t{1} << 20;  // a call

  std::filesystem::path path_;
  UniqueFd file_;
  bool is_first_;         // the next call skips what is there
  bool in_line_ = false;  // the rest of a line that began before we did is to be skipped
  std::string pending_;   // the line that has not ended yet
};

// A record of type step or val as an event, with session and test; nullptr for any other line.
EventPtr progress_event(std::string_view line, const std::string& session, int64_t test);

// All functions may be called from any thread.
class Progress {
 public:
  using Hear = std::function<void(const std::string& session, const EventPtr& record)>;
  // `is_heard`: whether anybody listens to a session.
  Progress(std::function<bool(const std::string& session)> is_heard, Hear hear)
      : is_heard_(std::move(is_heard)), hear_(std::move(hear)) {}
  ~Progress() { stop(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void started(const std::string& session, int64_t test, std::filesystem::path events);
  // Hands on what is left of its records; afterwards none follows.
  void ended(const std::string& session, int64_t test);
  // Somebody began to listen: what is added to the files from now on is heard.
  void wake();
  void stop();

 private:
  struct Watched {
    std::filesystem::path events;
    std::optional<GrowingFile> file;  // while somebody listens
  };
  using Key = std::pair<std::string, int64_t>;

  void work();
  bool is_any_heard() const;                  // Requires: mutex_ held
  void follow(const Key& key, Watched& run);  // Requires: mutex_ held

  const std::function<bool(const std::string&)> is_heard_;
  const Hear hear_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Key, Watched> runs_;
  bool stopping_ = false;
  std::thread thread_;  // since the first listener
};

}  // namespace bitloop::sessions
