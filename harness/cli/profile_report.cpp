#include "harness/cli/profile_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "harness/base/text.h"

namespace bitloop::cli {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr size_t kMostText = 80;          // of a name
constexpr size_t kMostSpans = 4'000'000;  // in all
constexpr double kMostNumber = 1e18;
// The parts in the order of a step; others follow.
constexpr std::array<std::string_view, 9> kOrder = {
    "data",      "weights", "forward input",       "forward", "backward", "GPU",
    "optimiser", "waiting", "forward and backward"};

std::unexpected<Error> damaged() {
  return fail("damaged_records",
              "the trainer's records of the profile can't be read: they are damaged or of another "
              "version; profile again");
}

// A number that is none, negative or beyond reason makes `good` false.
class Reader {
 public:
  explicit Reader(const json& record) : record_(record) {}

  double number(const char* name) { return number_of(record_.value(name, json())); }
  int64_t whole(const char* name) {
    const json value = record_.value(name, json());
    if (value.is_number_integer() && value >= 0 && value <= int64_t{1} << 40)
      return value.get<int64_t>();
    good_ = false;
    return 0;
  }
  std::string text(const char* name) { return text_of(record_.value(name, json())); }

  double number_of(const json& value) {
    const double number = value.is_number() ? value.get<double>() : -1.0;
    if (std::isfinite(number) && number >= 0 && number <= kMostNumber) return number;
    good_ = false;
    return 0;
  }
  std::string text_of(const json& value) {
    if (!value.is_string()) {
      good_ = false;
      return "";
    }
    return single_line(value.get<std::string>().substr(0, kMostText));
  }
  const json& list(const char* name) {
    static const json none = json::array();
    const auto found = record_.find(name);
    if (found != record_.end() && found->is_array()) return *found;
    good_ = false;
    return none;
  }
  bool good() const { return good_; }

 private:
  const json& record_;
  bool good_ = true;
};

size_t place_of(const std::string& part) {
  return static_cast<size_t>(std::ranges::find(kOrder, part) - kOrder.begin());
}

Status take_profile(const json& record, Profile& profile) {
  Reader reader(record);
  profile.steps = reader.whole("steps");
  profile.step_ms = reader.number("step_ms");
  profile.timed_step_ms = reader.number("timed_step_ms");
  profile.tokens_per_s = reader.number("tokens_per_s");
  profile.peak_flops = reader.number("peak_flops");
  profile.peak_memory_mb = reader.number("peak_memory_mb");
  profile.device = reader.text("device");
  profile.execution = reader.text("execution");
  profile.threads = reader.whole("threads");
  profile.dropped = reader.whole("dropped");
  double all = 0;
  for (const json& entry : reader.list("parts")) {
    if (!entry.is_object()) return damaged();
    Reader part(entry);
    profile.parts.push_back(
        {part.text("part"), part.text("name"), part.number("ms"), part.number("calls")});
    if (!part.good()) return damaged();
    all += profile.parts.back().ms;
  }
  if (!reader.good() || profile.steps == 0 || !(all > 0)) return damaged();
  for (ProfilePart& part : profile.parts) part.share = part.ms / all;
  std::ranges::stable_sort(profile.parts, [](const ProfilePart& a, const ProfilePart& b) {
    const size_t x = place_of(a.part), y = place_of(b.part);
    return x != y ? x < y : a.part != b.part ? a.part < b.part : a.ms > b.ms;
  });
  return {};
}

Status take_spans(const json& record, Profile& profile) {
  Reader reader(record);
  const int64_t thread = reader.whole("thread");
  if (profile.traces.empty() || profile.traces.back().thread != thread) {
    ProfileThread made{.thread = thread};
    for (const json& pair : reader.list("names")) {
      if (!pair.is_array() || pair.size() != 2) return damaged();
      made.names.emplace_back(reader.text_of(pair[0]), reader.text_of(pair[1]));
    }
    profile.traces.push_back(std::move(made));
  }
  ProfileThread& trace = profile.traces.back();
  for (const json& span : reader.list("spans")) {
    if (!span.is_array() || span.size() != 3) return damaged();
    const double name = reader.number_of(span[0]);
    if (name >= static_cast<double>(trace.names.size())) return damaged();
    trace.spans.push_back(
        {static_cast<size_t>(name), reader.number_of(span[1]), reader.number_of(span[2])});
  }
  if (!reader.good() || profile.span_count() > kMostSpans) return damaged();
  return {};
}

double per_s(double flops) { return flops / 1e12; }

}  // namespace

size_t Profile::span_count() const {
  size_t count = 0;
  for (const ProfileThread& trace : traces) count += trace.spans.size();
  return count;
}

Result<Profile> read_profile(std::string_view events) {
  Profile profile;
  bool found = false;
  for (const std::string& line : split_lines(events)) {
    const json record = json::parse(line, nullptr, /*allow_exceptions=*/false);
    const json type = record.is_object() ? record.value("type", json()) : json();
    if (type == "profile") {
      if (std::exchange(found, true)) return damaged();
      BITLOOP_TRY(take_profile(record, profile));
    } else if (type == "spans") {
      BITLOOP_TRY(take_spans(record, profile));
    }
  }
  if (!found) return damaged();
  return profile;
}

std::optional<double> share_of_peak(const Profile& profile, std::optional<double> flops_per_token) {
  if (!flops_per_token || !(profile.peak_flops > 0)) return std::nullopt;
  return profile.tokens_per_s * *flops_per_token / profile.peak_flops;
}

std::string profile_text(const Profile& profile, std::string_view preset,
                         std::optional<double> flops_per_token) {
  std::string text =
      fmt::format("{}: {:.2f} ms a step, {:.0f} tokens/s ({}, {} on {} thread{}, {:.0f} MB)\n",
                  preset, profile.step_ms, profile.tokens_per_s, profile.execution, profile.device,
                  profile.threads, profile.threads == 1 ? "" : "s", profile.peak_memory_mb);
  if (const auto share = share_of_peak(profile, flops_per_token))
    text += fmt::format(
        "{:.3f} TFLOP/s: {:.0f}% of the {:.3f} TFLOP/s that a product of this shape reaches here\n",
        per_s(profile.tokens_per_s * *flops_per_token), *share * 100, per_s(profile.peak_flops));
  const double clocks = profile.timed_step_ms / profile.step_ms - 1;
  text += fmt::format("timed over {} steps; the clocks took {:.1f}% of a step\n\n", profile.steps,
                      std::max(0.0, clocks) * 100);
  size_t width = 4;
  for (const ProfilePart& part : profile.parts) width = std::max(width, part.name.size());
  const auto row = [&](std::string_view part, std::string_view name, const std::string& calls,
                       double ms, double share) {
    text += fmt::format("{:<20}  {:<{}}  {:>9}  {:>9.3f}  {:>5.1f}%\n", part, name, width, calls,
                        ms, share * 100);
  };
  text += fmt::format("{:<20}  {:<{}}  {:>9}  {:>9}  {:>6}\n", "part", "what", width, "calls", "ms",
                      "share");
  double ms = 0;
  for (const ProfilePart& part : profile.parts) {
    row(part.part, part.name, fmt::format("{:.0f}", part.calls), part.ms, part.share);
    ms += part.ms;
  }
  row("total", "", "", ms, 1.0);
  return text;
}

ordered_json profile_document(const Profile& profile, std::optional<double> flops_per_token) {
  const auto or_null = [](std::optional<double> number) {
    return number ? ordered_json(*number) : ordered_json();
  };
  ordered_json parts = ordered_json::array();
  for (const ProfilePart& part : profile.parts)
    parts.push_back({{"part", part.part},
                     {"name", part.name},
                     {"calls", part.calls},
                     {"ms", part.ms},
                     {"share", part.share}});
  return {{"steps", profile.steps},
          {"device", profile.device},
          {"threads", profile.threads},
          {"execution", profile.execution},
          {"step_ms", profile.step_ms},
          {"timed_step_ms", profile.timed_step_ms},
          {"tokens_per_s", profile.tokens_per_s},
          {"flops_per_s", flops_per_token ? ordered_json(*flops_per_token * profile.tokens_per_s)
                                          : ordered_json()},
          {"peak_flops_per_s", profile.peak_flops},
          {"share_of_peak", or_null(share_of_peak(profile, flops_per_token))},
          {"peak_memory_mb", profile.peak_memory_mb},
          {"spans", profile.span_count()},
          {"spans_left_out", profile.dropped},
          {"parts", std::move(parts)}};
}

std::string chrome_trace(const Profile& profile, std::string_view title) {
  constexpr int kProcess = 1;
  const auto line = [](const ordered_json& event) {
    return event.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  };
  std::vector<std::string> events = {
      line({{"name", "process_name"},
            {"ph", "M"},
            {"pid", kProcess},
            {"args", {{"name", std::string("bitloop ") + std::string(title)}}}})};
  for (const ProfileThread& trace : profile.traces) {
    events.push_back(line({{"name", "thread_name"},
                           {"ph", "M"},
                           {"pid", kProcess},
                           {"tid", trace.thread},
                           {"args", {{"name", fmt::format("thread {}", trace.thread)}}}}));
    for (const ProfileSpan& span : trace.spans) {
      const auto& [part, name] = trace.names[span.name];
      events.push_back(line({{"name", part == "step" ? "step" : part + ": " + name},
                             {"cat", part},
                             {"ph", "X"},
                             {"ts", span.start},
                             {"dur", span.length},
                             {"pid", kProcess},
                             {"tid", trace.thread}}));
    }
  }
  return "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n" + join(events, ",\n") + "\n]}\n";
}

}  // namespace bitloop::cli
