#include "harness/jobs/run_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "harness/base/text.h"
#include "harness/jobs/run_folder.h"

namespace bitloop::jobs {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr size_t kMaxEventsBytes = size_t{256} << 20;
// What a trainer may say before it says where it goes on: a header and the audits' findings.
constexpr size_t kMaxSinceBytes = size_t{1} << 20;

std::string line_of(const Json& record) {
  return record.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

template <typename Take>
void for_each_record(std::string_view text, const Take& take) {
  size_t begin = 0;
  for (size_t end = text.find('\n'); end != text.npos; end = text.find('\n', begin)) {
    const Json record = Json::parse(text.substr(begin, end - begin), nullptr, false);
    if (record.is_object()) take(record);
    begin = end + 1;
  }
}

// Whether the record tells of something that will be done again.
bool is_after(const Json& record, int64_t step) {
  const Json at = record.value("step", Json());
  return at.is_number_integer() && at.get<int64_t>() > step;
}

}  // namespace

Result<RunFiles> RunFiles::open(const fs::path& folder, bool goes_on) {
  RunFiles files;
  files.folder_ = folder;
  if (goes_on) {
    BITLOOP_ASSIGN(text, read_file(folder / "events.jsonl", kMaxEventsBytes));
    text.resize(text.rfind('\n') + 1);  // a killed process may have left a part of a line
    if (::truncate((folder / "events.jsonl").c_str(), static_cast<off_t>(text.size())) != 0)
      return std::unexpected(errno_error((folder / "events.jsonl").string(), errno));
    files.before_ = std::move(text);
    files.waits_ = true;
  }
  const int truncate = goes_on ? 0 : O_TRUNC;
  BITLOOP_ASSIGN(events, open_file(folder / "events.jsonl", O_WRONLY | O_CREAT | O_APPEND));
  BITLOOP_ASSIGN(log, open_file(folder / "log.tsv", O_WRONLY | O_CREAT | O_APPEND | truncate));
  files.events_ = std::move(events);
  files.log_ = std::move(log);
  if (!goes_on) files.write(files.log_, LogTable::kHeader);
  BITLOOP_TRY(sync_folder(folder));
  return files;
}

void RunFiles::take(const Json& record) {
  if (!waits_) return append(record);
  const Json& type = record["type"];
  if (type == "resumed") {
    const Json step = record.value("step", Json());
    go_on_from(step.is_number_integer() ? step.get<int64_t>() : 0, record);
  } else if (type == "result") {  // it ended before it could go on
    waits_ = false;
    append(record);
  } else {
    since_ += line_of(record);
    if (since_.size() <= kMaxSinceBytes) return;
    since_.clear();
    if (status_) status_ = fail("too_large", "more records than a run has before it goes on");
  }
}

void RunFiles::go_on_from(int64_t step, const Json& resumed) {
  waits_ = false;
  // From the beginning: what was told before counts no more, but for how often it was tried.
  const std::string kept = std::exchange(step > 0 ? before_ : since_, {});
  std::string events, log = LogTable::kHeader;
  bool passed = false;  // what follows will be told again, but that a checkpoint was written
  for_each_record(kept, [&](const Json& record) {
    passed = passed || is_after(record, step);
    const Json type = record.value("type", Json());
    if (is_after(record, step) || (passed && type != "checkpoint") || type == "result") return;
    events += line_of(record);
    log += table_.take(record);
  });
  before_.clear();
  since_.clear();
  if (status_) status_ = replace(events, log);
  append(resumed);
}

Status RunFiles::replace(const std::string& events, const std::string& log) {
  BITLOOP_TRY(write_file_atomic(folder_ / "events.jsonl", events));
  BITLOOP_TRY(write_file_atomic(folder_ / "log.tsv", log));
  BITLOOP_ASSIGN(events_file, open_file(folder_ / "events.jsonl", O_WRONLY | O_APPEND));
  BITLOOP_ASSIGN(log_file, open_file(folder_ / "log.tsv", O_WRONLY | O_APPEND));
  events_ = std::move(events_file);
  log_ = std::move(log_file);
  return {};
}

void RunFiles::append(const Json& record) {
  const std::string line = line_of(record);
  if (record["type"] == "documents") return take_documents(line);
  write(events_, line);
  write(log_, table_.take(record));
}

void RunFiles::sync() {
  for (const UniqueFd* file : {&events_, &log_})
    if (status_ && ::fdatasync(file->get()) != 0)
      status_ = std::unexpected(errno_error("events.jsonl", errno));
}

Status RunFiles::finish(bool durable) {
  write(log_, table_.finish());
  for (const UniqueFd* file : {&events_, &log_, &documents_})
    if (durable && status_ && file->valid() && ::fsync(file->get()) != 0)
      status_ = std::unexpected(errno_error("events.jsonl", errno));
  return status_;
}

void RunFiles::take_documents(const std::string& line) {
  if (!documents_.valid() && status_) {
    auto file = open_file(folder_ / kDocumentsFile, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
    if (!file) status_ = std::unexpected(file.error());
    if (file) documents_ = std::move(*file);
  }
  write(documents_, line);
}

void RunFiles::write(const UniqueFd& fd, const std::string& line) {
  if (line.empty() || !status_) return;
  status_ = write_all(fd.get(), line);
}

}  // namespace bitloop::jobs
