#include "harness/api/possible_problems.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <span>
#include <string>

#include "harness/api/problem.h"

namespace bitloop::api {
namespace {

using Codes = std::span<const std::string_view>;
using Set = std::set<std::string_view>;

// Of the connection, the names in the header, and what is read before a route is looked for.
constexpr std::string_view kAnywhere[] = {
    "invalid_request",        "body_incomplete", "host_not_allowed",     "origin_not_allowed",
    "request_timeout",        "body_too_large",  "uri_too_long",         "headers_too_large",
    "unsupported_media_type", "internal",        "too_many_connections", "stopping",
    "out_of_memory"};
constexpr std::string_view kUnlessOpen[] = {"token_missing", "token_unknown", "role_not_allowed",
                                            "too_many_calls"};
// A body that nobody asked for is read, too.
constexpr std::string_view kOfFields[] = {"invalid_json", "unknown_field"};
constexpr std::string_view kOfTypedFields[] = {"missing_field", "invalid_type", "invalid_value"};
constexpr std::string_view kOfAKey[] = {"invalid_idempotency_key", "key_reused"};
constexpr std::string_view kOfReading[] = {"session_not_found", "journal_failed",
                                           "journal_unreadable", "io_error"};
constexpr std::string_view kOfWriting[] = {
    "session_read_only", "session_closed",   "test_running",      "commit_mismatch",
    "if_match_missing",  "journal_conflict", "journal_read_only", "disk_full"};
constexpr std::string_view kOfPresets[] = {"unknown_preset", "bad_preset",       "bad_baselines",
                                           "bad_task",       "init_unavailable", "infrastructure"};
constexpr std::string_view kOfVerification[] = {
    "not_submitted",  "test_failed",    "test_not_found", "bad_secret", "unknown_session",
    "unknown_commit", "unknown_preset", "bad_preset",     "bad_task"};

// What the handlers say beyond that.
const std::map<std::string, std::vector<std::string_view>>& own_problems() {
  static const std::map<std::string, std::vector<std::string_view>> kTable = {
      {"GET /", {"file_not_found"}},
      {"GET /static/{file}", {"file_not_found"}},
      {"GET /v1/tasks/{task}", {"task_not_found"}},
      {"GET /v1/results", {"ledger_malformed"}},
      {"GET /v1/results.tsv", {"ledger_malformed"}},
      {"POST /v1/sessions",
       {"session_not_found", "task_not_found", "test_not_found", "unknown_quantizer",
        "too_many_tests", "no_tests_left", "invalid_text", "journal_failed", "journal_unreadable",
        "journal_read_only", "journal_conflict", "disk_full", "io_error", "bad_markers"}},
      {"GET /v1/sessions", {"invalid_value", "journal_failed", "journal_unreadable", "io_error"}},
      {"GET /v1/sessions/{id}/files/{path...}", {"file_not_found", "invalid_range"}},
      {"GET /v1/sessions/{id}/diff", {"unknown_commit", "ambiguous_commit"}},
      {"POST /v1/sessions/{id}/edits",
       {"file_not_found", "file_read_only", "unknown_op", "unknown_region", "invalid_range",
        "edit_out_of_range", "empty_content", "content_too_large", "file_too_large", "invalid_text",
        "marker_in_content", "bad_markers", "text_not_found", "text_not_unique"}},
      {"POST /v1/sessions/{id}/undo", {"nothing_to_undo"}},
      {"POST /v1/sessions/{id}/revert", {"test_not_found", "unknown_commit", "ambiguous_commit"}},
      {"POST /v1/sessions/{id}/checks", {"too_many_checks", "too_large"}},
      {"POST /v1/sessions/{id}/tests", {"no_tests_left", "invalid_text"}},
      {"DELETE /v1/sessions/{id}/tests/{n}", {"test_ended", "infrastructure"}},
      {"GET /v1/sessions/{id}/tests/{n}/log.tsv", {"too_large"}},
      {"GET /v1/sessions/{id}/tests/{n}/events.jsonl", {"too_large"}},
      {"POST /v1/sessions/{id}/submission", {"test_not_found", "test_failed"}},
      {"POST /v1/sessions/{id}/tags", {"test_not_found", "too_many_tags"}},
      {"DELETE /v1/sessions/{id}/tags/{tag}", {"tag_not_found"}},
      {"GET /v1/events", {"too_many_streams"}},
      {"GET /v1/sessions/{id}/events", {"too_many_streams"}},
  };
  return kTable;
}

// Calls that make a job of the task's preset.
constexpr std::string_view kTraining[] = {"POST /v1/sessions/{id}/checks",
                                          "POST /v1/sessions/{id}/tests",
                                          "POST /v1/sessions/{id}/verification"};

void add(Set& set, Codes codes) { set.insert(codes.begin(), codes.end()); }

}  // namespace

std::vector<std::string_view> possible_problems(const Route& route) {
  const std::string call = route.method + " " + route.pattern;
  const bool of_a_session = route.pattern.contains("/{id}");
  const bool writes = route.method != "GET";
  Set set;
  add(set, kAnywhere);
  if (!route.open) add(set, kUnlessOpen);
  if (route.pattern.contains('{')) set.insert("route_not_found");  // a part of it may be empty
  if (!route.raw_body) {
    add(set, kOfFields);
    if (!route.query.empty() || !route.body.empty()) add(set, kOfTypedFields);
    if (writes) add(set, kOfAKey);
  }
  if (of_a_session) add(set, kOfReading);
  if (of_a_session && writes) add(set, kOfWriting);
  if (route.pattern.contains("/{n}")) set.insert("test_not_found");
  if (route.pattern.ends_with("/verification")) add(set, kOfVerification);
  if (std::ranges::find(kTraining, call) != std::end(kTraining)) add(set, kOfPresets);
  if (const auto own = own_problems().find(call); own != own_problems().end())
    add(set, own->second);
  std::vector<std::string_view> codes;
  for (const Problem& problem : problems())
    if (set.contains(problem.code)) codes.push_back(problem.code);
  return codes;
}

}  // namespace bitloop::api
