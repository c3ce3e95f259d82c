#include "harness/sessions/progress.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "harness/base/text.h"

namespace bitloop::sessions {
namespace {

using namespace std::chrono_literals;

constexpr auto kInterval = 200ms;

// Whether the file's last byte so far ends a line.
bool ends_a_line(int file, off_t size) {
  char last = '\n';
  return size == 0 || (::pread(file, &last, 1, size - 1) == 1 && last == '\n');
}

}  // namespace

bool GrowingFile::was_replaced() const {
  struct stat open_file {
  }, named{};
  return ::fstat(file_.get(), &open_file) == 0 && ::stat(path_.c_str(), &named) == 0 &&
         open_file.st_ino != named.st_ino;
}

std::string GrowingFile::read_lines() {
  if (!file_.valid()) {
    auto opened = open_regular(path_);
    if (!opened) {
      if (opened.error().code == "file_not_found") is_first_ = false;  // all of it is new, then
      return "";
    }
    file_ = std::move(*opened);
    if (std::exchange(is_first_, false)) {
      struct stat status {};
      if (::fstat(file_.get(), &status) == 0) {
        in_line_ = !ends_a_line(file_.get(), status.st_size);
        ::lseek(file_.get(), status.st_size, SEEK_SET);
      }
    }
  }
  char buffer[65536];
  size_t taken = 0;
  while (taken < kMostBytes) {
    const ssize_t count = ::read(file_.get(), buffer, sizeof buffer);
    if (count <= 0) {
      // A run that goes on from a checkpoint begins a file anew, with what was told before.
      if (was_replaced()) {
        file_.reset();
        pending_.clear();
        is_first_ = true;
      }
      break;
    }
    pending_.append(buffer, static_cast<size_t>(count));
    taken += static_cast<size_t>(count);
  }
  const size_t end = pending_.rfind('\n');
  if (end == std::string::npos) return "";
  std::string lines = pending_.substr(0, end + 1);
  pending_.erase(0, end + 1);
  if (std::exchange(in_line_, false)) lines.erase(0, lines.find('\n') + 1);
  return lines;
}

EventPtr progress_event(std::string_view line, const std::string& session, int64_t test) {
  using nlohmann::ordered_json;
  // A look before the parser: most lines of other kinds are long.
  if (line.find("\"step\"") == std::string_view::npos &&
      line.find("\"val\"") == std::string_view::npos)
    return nullptr;
  const ordered_json record = ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object()) return nullptr;
  const auto type = record.find("type");
  if (type == record.end() || (*type != "step" && *type != "val")) return nullptr;
  ordered_json data = {{"session", session}, {"test", test}};
  for (const auto& [name, value] : record.items())
    if (name != "type" && !data.contains(name) && (value.is_number() || value.is_null()))
      data[name] = value;
  StreamEvent event;
  event.kind = type->get<std::string>();
  event.data = data.dump();
  return std::make_shared<const StreamEvent>(std::move(event));
}

void Progress::started(const std::string& session, int64_t test, std::filesystem::path events) {
  {
    const std::lock_guard guard(mutex_);
    runs_[{session, test}] = Watched{std::move(events), std::nullopt};
  }
  changed_.notify_all();
}

void Progress::ended(const std::string& session, int64_t test) {
  const std::lock_guard guard(mutex_);
  const auto found = runs_.find({session, test});
  if (found == runs_.end()) return;
  if (found->second.file) follow(found->first, found->second);
  runs_.erase(found);
}

void Progress::wake() {
  {
    const std::lock_guard guard(mutex_);
    if (stopping_) return;
    if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
    // Following begins here and not at the next look, so that nothing in between is lost.
    for (auto& [key, run] : runs_) follow(key, run);
  }
  changed_.notify_all();
}

void Progress::stop() {
  std::thread thread;
  {
    const std::lock_guard guard(mutex_);
    stopping_ = true;
    thread.swap(thread_);
  }
  changed_.notify_all();
  if (thread.joinable()) thread.join();
}

void Progress::follow(const Key& key, Watched& run) {
  if (!is_heard_(key.first)) return run.file.reset();
  if (!run.file) run.file.emplace(run.events);
  for (const std::string& line : split_lines(run.file->read_lines()))
    if (const EventPtr event = progress_event(line, key.first, key.second)) hear_(key.first, event);
}

bool Progress::is_any_heard() const {
  return std::ranges::any_of(runs_, [this](const auto& run) { return is_heard_(run.first.first); });
}

void Progress::work() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    changed_.wait(lock, [this] { return stopping_ || is_any_heard(); });
    for (auto& [key, run] : runs_) follow(key, run);
    changed_.wait_for(lock, kInterval, [this] { return stopping_; });
  }
}

}  // namespace bitloop::sessions
