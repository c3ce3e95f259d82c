// What `bitloop profile` makes of a trainer's records, which are foreign: checked, and written anew
// as a table and as a Chrome trace.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::cli {

// Part of a step, on the thread that leads.
struct ProfilePart {
  std::string part, name;
  double ms = 0;     // a step, without what other parts inside of it took
  double calls = 0;  // a step
  double share = 0;  // of all parts; all shares add up to 1
};

struct ProfileSpan {
  size_t name = 0;               // index into names
  double start = 0, length = 0;  // microseconds
};
struct ProfileThread {
  int64_t thread = 0;                                      // 0 leads
  std::vector<std::pair<std::string, std::string>> names;  // part, name
  std::vector<ProfileSpan> spans;
};

struct Profile {
  int64_t steps = 0;
  double step_ms = 0, timed_step_ms = 0;  // without and with the clocks
  double tokens_per_s = 0;
  double peak_flops = 0, peak_memory_mb = 0;
  std::string device, execution;
  int64_t threads = 0, dropped = 0;
  std::vector<ProfilePart> parts;  // in the order of training, the largest of each part first
  std::vector<ProfileThread> traces;

  size_t span_count() const;
};

// Of a run's events.jsonl. Error "damaged_records": they are not what a trainer sends.
Result<Profile> read_profile(std::string_view events);

// `flops_per_token`: what training takes, where that is known.
std::optional<double> share_of_peak(const Profile& profile, std::optional<double> flops_per_token);
// Lines for people, each with its newline: rates, then the table.
std::string profile_text(const Profile& profile, std::string_view preset,
                         std::optional<double> flops_per_token);
nlohmann::ordered_json profile_document(const Profile& profile,
                                        std::optional<double> flops_per_token);
// The trace event format of Chrome's tracing and of Perfetto: complete events, times in
// microseconds.
std::string chrome_trace(const Profile& profile, std::string_view title);

}  // namespace bitloop::cli
