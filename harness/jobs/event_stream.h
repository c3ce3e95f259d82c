// The trainer's records, as they leave the jail: one JSON object a line, each with the run's nonce.
// Nothing that comes from the jail is believed before it was checked here; what does not fit ends
// the run.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace bitloop::jobs {

using Json = nlohmann::ordered_json;

inline constexpr size_t kMaxLineBytes = size_t{1} << 20;
inline constexpr int kMaxJsonDepth = 64;
// What a run may say in all: whoever owns the trainer could fill the host's disk with good records.
inline constexpr size_t kMaxStreamBytes = size_t{1} << 30;

class EventStream {
 public:
  // `on_record` gets every good record, without its nonce.
  EventStream(std::string nonce, std::function<void(const Json& record)> on_record,
              size_t max_bytes = kMaxStreamBytes);

  // Takes bytes as they come. False after a violation, which then is described by violation();
  // later bytes are ignored. Violations: more than `max_bytes`, a line over 1 MiB, one that is not
  // a JSON object with a string `type`, a wrong or missing nonce, nesting deeper than 64, a record
  // after the result. A last line without its end is dropped: its writer was killed.
  bool feed(std::string_view data);
  const std::string& violation() const { return violation_; }

 private:
  bool take_line(std::string_view line);
  bool refuse(std::string reason);

  std::string nonce_;
  std::function<void(const Json&)> on_record_;
  size_t bytes_left_;
  std::string pending_;  // the line that has not ended yet
  std::string violation_;
  size_t lines_ = 0;
  bool has_result_ = false;
};

}  // namespace bitloop::jobs
