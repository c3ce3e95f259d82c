#include "harness/sessions/session_event.h"

#include <charconv>

#include "harness/sessions/feeds.h"

namespace bitloop::sessions {
namespace {

using nlohmann::ordered_json;

template <typename Number>
ordered_json number_of(const std::string& text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() ? ordered_json(number)
                                                                  : ordered_json();
}

}  // namespace

uint64_t sequence_of(const journal::Commit& commit) {
  const ordered_json number = number_of<uint64_t>(commit.trailer(Feeds::kTrailer));
  return number.is_null() ? 0 : number.get<uint64_t>();
}

StreamEvent stream_event_of(const journal::Commit& commit, const std::string& session,
                            const nlohmann::json& metrics) {
  ordered_json data = {
      {"session", session},         {"commit", commit.id},
      {"time", commit.time_s},      {"event", commit.kind},
      {"message", commit.sentence}, {"test", number_of<int64_t>(commit.trailer("Bitloop-Test"))},
      {"description", commit.body}};
  if (const std::string status = commit.trailer("Bitloop-Status"); !status.empty())
    data["status"] = status;
  if (commit.kind == "session") {
    data["task"] = commit.trailer("Bitloop-Task");
    data["quantizer"] = commit.trailer("Bitloop-Quantizer");
    data["agent"] = commit.trailer("Bitloop-Agent");
  }
  if (commit.kind == "check")
    data["bits_per_weight"] = number_of<double>(commit.trailer("Bitloop-Bits-Per-Weight"));
  if (commit.kind == "test-finished") data["metrics"] = ordered_json(metrics);
  StreamEvent event;
  event.id = commit.id;
  event.kind = commit.kind;
  event.data = data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return event;
}

}  // namespace bitloop::sessions
