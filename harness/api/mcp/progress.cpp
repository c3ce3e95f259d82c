#include "harness/api/mcp/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "harness/api/mcp/messages.h"
#include "harness/base/text.h"

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

std::string step_message(const json& record, double total) {
  std::string message = fmt::format("step {:.0f}", number_of(record, "step"));
  if (total > 0) message += fmt::format(" of {:.0f}", total);
  if (record.contains("train_loss") && record["train_loss"].is_number())
    message += fmt::format(", train_loss={:.4f}", number_of(record, "train_loss"));
  return message;
}

}  // namespace

RunProgress RunFollower::look() {
  for (std::string lines; !(lines = file_.read_lines()).empty();)
    for (const std::string& line : split_lines(lines)) take(line);
  RunProgress progress;
  progress.message = began_ ? "starting" : "queued";
  if (steps_ > 0) progress.total = steps_ + 1;
  if (newest_.is_null()) return progress;
  progress.done = number_of(newest_, "step") + (evaluates_ ? 0.5 : 0);
  progress.message = evaluates_ ? "evaluating" : step_message(newest_, steps_);
  return progress;
}

void RunFollower::take(std::string_view line) {
  const bool is_first = !std::exchange(began_, true);
  // A look before the parser: most lines of other kinds are long.
  if (!is_first && line.find("\"step\"") == std::string_view::npos &&
      line.find("\"stage\"") == std::string_view::npos)
    return;
  const json record = record_of(line);
  if (is_first) steps_ = number_of(member(member(record, "config"), "train"), "steps");
  const std::string type = text_of(record, "type");
  if (type == "stage" && text_of(record, "name") == "eval") evaluates_ = true;
  if (type != "step") return;
  newest_ = record;
  evaluates_ = false;
}

Result<sessions::TestView> wait_for_test(sessions::Service& service, const std::string& session,
                                         int64_t test, int64_t wait_ms, const Exchange& exchange,
                                         const json& progress_token) {
  const auto deadline =
      std::min(Clock::now() + std::chrono::milliseconds(wait_ms), exchange.deadline);
  double told = -1;
  RunFollower run(service.run_dir(session, test) / "events.jsonl");
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
    if (exchange.notify && !progress_token.is_null()) now = run.look();
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
