#include "harness/api/problem.h"

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

namespace bitloop::api {
namespace {

constexpr std::pair<std::string_view, int> kStatuses[] = {
    {"invalid_json", 400},      {"invalid_request", 400},    {"body_incomplete", 400},
    {"token_missing", 401},     {"token_unknown", 401},      {"role_not_allowed", 403},
    {"host_not_allowed", 403},  {"origin_not_allowed", 403}, {"route_not_found", 404},
    {"session_not_found", 404}, {"task_not_found", 404},     {"test_not_found", 404},
    {"file_not_found", 404},    {"unknown_session", 404},    {"unknown_commit", 404},
    {"tag_not_found", 404},     {"method_not_allowed", 405}, {"request_timeout", 408},
    {"uri_too_long", 414},      {"if_match_missing", 428},   {"too_many_calls", 429},
    {"too_many_checks", 429},   {"headers_too_large", 431},  {"too_many_connections", 503},

    {"test_running", 409},      {"session_closed", 409},     {"no_tests_left", 409},
    {"test_failed", 409},       {"test_ended", 409},         {"not_submitted", 409},
    {"too_many_tags", 409},     {"session_read_only", 403},  {"journal_conflict", 409},
    {"commit_mismatch", 412},   {"body_too_large", 413},     {"unsupported_media_type", 415},
    {"io_error", 500},          {"journal_failed", 500},     {"journal_unreadable", 500},
    {"journal_read_only", 500}, {"bad_preset", 500},         {"bad_secret", 500},
    {"unknown_preset", 500},    {"ledger_malformed", 500},   {"internal", 500},
    {"infrastructure", 503},    {"too_many_streams", 503},   {"stopping", 503},
    {"out_of_memory", 503},     {"disk_full", 507},
};

constexpr std::pair<int, std::string_view> kTitles[] = {
    {400, "Malformed request"},
    {401, "Who asks?"},
    {403, "Not allowed"},
    {404, "Not found"},
    {405, "Method not allowed"},
    {408, "Too slow"},
    {409, "Not possible in the present state"},
    {412, "Precondition failed"},
    {413, "Too large"},
    {414, "Too long"},
    {415, "Unsupported media type"},
    {422, "Refused"},
    {428, "Precondition required"},
    {429, "Too much at a time"},
    {431, "Too large"},
    {503, "Unavailable"},
    {507, "Disk full"},
};

}  // namespace

int status_of(std::string_view code) {
  for (const auto& [known, status] : kStatuses)
    if (known == code) return status;
  return 422;
}

std::string title_of(int status) {
  for (const auto& [known, title] : kTitles)
    if (known == status) return std::string(title);
  return status < 500 ? "Refused" : "Internal error";
}

std::string problem_document(const Error& error) {
  const int status = status_of(error.code);
  const nlohmann::ordered_json document = {
      {"type", "urn:bitloop:problem:" + error.code},
      {"title", title_of(status)},
      {"status", status},
      {"detail", error.message},
      {"code", error.code},
  };
  return document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace bitloop::api
