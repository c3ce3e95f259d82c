#include "harness/jobs/event_stream.h"

#include <fmt/format.h>

#include <utility>

namespace bitloop::jobs {
namespace {

// The parser is iterative, writing a document out is not: without a limit a line of brackets would
// end the supervisor.
bool too_deep(std::string_view line) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxJsonDepth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

}  // namespace

EventStream::EventStream(std::string nonce, std::function<void(const Json&)> on_record,
                         size_t max_bytes)
    : nonce_(std::move(nonce)), on_record_(std::move(on_record)), bytes_left_(max_bytes) {}

bool EventStream::refuse(std::string reason) {
  violation_ = fmt::format("record {}: {}", lines_, reason);
  pending_.clear();
  return false;
}

bool EventStream::feed(std::string_view data) {
  if (!violation_.empty()) return false;
  if (data.size() > bytes_left_) return refuse("more records than any run has");
  bytes_left_ -= data.size();
  while (!data.empty()) {
    const size_t end = data.find('\n');
    const std::string_view part = data.substr(0, end);
    if (pending_.size() + part.size() > kMaxLineBytes) {
      ++lines_;
      return refuse("a line over 1 MiB");
    }
    if (end == std::string_view::npos) {
      pending_ += part;
      return true;
    }
    data.remove_prefix(end + 1);
    bool good = false;
    if (pending_.empty()) {
      good = take_line(part);
    } else {
      pending_ += part;
      good = take_line(std::exchange(pending_, {}));
    }
    if (!good) return false;
  }
  return true;
}

bool EventStream::take_line(std::string_view line) {
  ++lines_;
  if (has_result_) return refuse("a record after the result");
  if (too_deep(line)) return refuse("nested too deeply");
  Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object()) return refuse("not a JSON object");
  const auto nonce = record.find("nonce");
  if (nonce == record.end() || !nonce->is_string() || *nonce != nonce_)
    return refuse("without the run's nonce: the trainer did not write it");
  const auto type = record.find("type");
  if (type == record.end() || !type->is_string()) return refuse("without a type");
  has_result_ = *type == "result";
  record.erase("nonce");
  on_record_(record);
  return true;
}

}  // namespace bitloop::jobs
