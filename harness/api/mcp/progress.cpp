#include "harness/api/mcp/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "harness/api/mcp/messages.h"

namespace bitloop::api::mcp {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;

constexpr int64_t kSliceMs = 1000;
constexpr const char* kRunning = "running";

// A record of the run, or null. The trainer wrote it: nothing about its members is certain.
json record_of(std::string_view line) {
  json record = json::parse(line, nullptr, false);
  return record.is_object() ? record : json();
}

json member(const json& object, const char* name) {
  return object.is_object() ? object.value(name, json()) : json();
}

double number_of(const json& record, const char* name) {
  const json value = member(record, name);
  return value.is_number() ? value.get<double>() : 0;
}

std::string text_of(const json& record, const char* name) {
  const json value = member(record, name);
  return value.is_string() ? value.get<std::string>() : "";
}

double total_steps(std::string_view events) {
  const json header = record_of(events.substr(0, events.find('\n')));
  return number_of(member(member(header, "config"), "train"), "steps");
}

std::string step_message(const json& record, double total) {
  std::string message = fmt::format("step {:.0f}", number_of(record, "step"));
  if (total > 0) message += fmt::format(" of {:.0f}", total);
  if (record.contains("train_loss") && record["train_loss"].is_number())
    message += fmt::format(", train_loss={:.4f}", number_of(record, "train_loss"));
  return message;
}

}  // namespace

RunProgress run_progress(std::string_view events) {
  events = events.substr(0, events.rfind('\n') + 1);
  RunProgress progress;
  progress.message = "queued";
  if (events.empty()) return progress;
  const double steps = total_steps(events);
  if (steps > 0) progress.total = steps + 1;
  progress.message = "starting";
  bool evaluates = false;
  while (!events.empty()) {  // backwards: the newest step tells
    events.remove_suffix(1);
    const size_t begin = events.rfind('\n') + 1;
    const json record = record_of(events.substr(begin));
    events = events.substr(0, begin);
    if (record.is_null()) continue;
    const std::string type = text_of(record, "type");
    if (type == "stage" && text_of(record, "name") == "eval") evaluates = true;
    if (type != "step") continue;
    progress.done = number_of(record, "step") + (evaluates ? 0.5 : 0);
    progress.message = evaluates ? "evaluating" : step_message(record, steps);
    break;
  }
  return progress;
}

Result<sessions::TestView> wait_for_test(sessions::Service& service, const std::string& session,
                                         int64_t test, int64_t wait_ms, const Exchange& exchange,
                                         const json& progress_token) {
  const auto deadline = Clock::now() + std::chrono::milliseconds(wait_ms);
  double told = -1;
  while (true) {
    const auto begun = Clock::now();
    const int64_t left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - begun).count();
    const int64_t slice = std::clamp<int64_t>(left, 0, kSliceMs);
    BITLOOP_ASSIGN(view, service.test(session, test, slice));
    if (view.status != kRunning || left <= kSliceMs) return view;
    // It came back at once although the test runs: the service is stopping.
    if (Clock::now() - begun < std::chrono::milliseconds(slice / 2)) return view;
    if (exchange.abandoned && exchange.abandoned()) return view;
    RunProgress now;
    if (exchange.notify && !progress_token.is_null())
      now = run_progress(service.run_file(session, test, "events.jsonl").value_or(""));
    if (exchange.notify && !progress_token.is_null() && now.done > told) {
      told = now.done;
      nlohmann::ordered_json params = {
          {"progressToken", progress_token}, {"progress", now.done}, {"message", now.message}};
      if (now.total > 0) params["total"] = now.total;
      exchange.notify(notification_message("notifications/progress", params));
    } else if (exchange.keep_alive) {
      exchange.keep_alive();
    }
  }
}

}  // namespace bitloop::api::mcp
