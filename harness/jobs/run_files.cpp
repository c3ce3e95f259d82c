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
  BITLOOP_ASSIGN(events, RecordFile::open(folder / "events.jsonl", 0));
  BITLOOP_ASSIGN(log, RecordFile::open(folder / "log.tsv", goes_on ? 0 : O_TRUNC));
  files.events_ = std::move(events);
  files.log_ = std::move(log);
  if (!goes_on) files.log_.append(LogTable::kHeader);
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
  if (!status_) return;
  events_.replace(std::move(events));
  log_.replace(std::move(log));
  append(resumed);
}

void RunFiles::append(const Json& record) {
  if (!status_) return;
  const std::string line = line_of(record);
  if (record["type"] == "documents") return take_documents(line);
  events_.append(line);
  log_.append(table_.take(record));
}

void RunFiles::sync() {
  events_.sync();
  log_.sync();
}

Status RunFiles::finish(bool durable) {
  log_.append(table_.finish());
  Status ended = status_ ? no_documents_ : status_;
  for (RecordFile* file : {&events_, &log_, &documents_}) {
    if (!file->is_open()) continue;
    const Status kept = file->finish(durable);
    if (ended) ended = kept;
  }
  return ended;
}

void RunFiles::take_documents(const std::string& line) {
  if (!documents_.is_open()) {
    auto file = RecordFile::open(folder_ / kDocumentsFile, O_TRUNC);
    if (!file) {  // the next one tries again, and this one is missing
      if (no_documents_) no_documents_ = std::unexpected(file.error());
      return;
    }
    documents_ = std::move(*file);
  }
  documents_.append(line);
}

}  // namespace bitloop::jobs
