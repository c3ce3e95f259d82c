#include "harness/api/problem.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace bitloop::api {
namespace {

constexpr Problem kProblems[] = {
    {"invalid_json", 400, "The body is not JSON in UTF-8, or too deep."},
    {"invalid_request", 400, "The request is not valid HTTP."},
    {"body_incomplete", 400, "The body ended before its announced length."},
    {"token_missing", 401, "The server has tokens, and none was sent."},
    {"token_unknown", 401, "The token is not one of the server's."},
    {"role_not_allowed", 403, "The token's role may not do this."},
    {"host_not_allowed", 403, "The server may not be asked for under this name."},
    {"origin_not_allowed", 403, "A page of another origin asks."},
    {"session_read_only", 403, "The session holds the command line's runs."},
    {"route_not_found", 404, "There is nothing at this address."},
    {"session_not_found", 404, "There is no such session, or it is another's."},
    {"task_not_found", 404, "There is no such task."},
    {"test_not_found", 404, "The session has no such test."},
    {"file_not_found", 404, "The session has no such file."},
    {"tag_not_found", 404, "Nothing has this tag."},
    {"unknown_session", 404, "The journal has no such session."},
    {"unknown_commit", 404, "The session's history has no such commit."},
    {"method_not_allowed", 405,
     "The address does not take this method; `Allow` lists those it takes."},
    {"request_timeout", 408, "The request did not arrive in time."},
    {"test_running", 409, "A test runs; its candidate is not touched."},
    {"test_ended", 409, "The test has ended by itself."},
    {"test_failed", 409, "Only a test that ended ok has a score."},
    {"session_closed", 409, "The session has submitted and is closed."},
    {"not_submitted", 409, "The session has submitted nothing yet."},
    {"no_tests_left", 409, "The budget of tests is used up."},
    {"too_many_tags", 409, "A session has at most 64 tags."},
    {"journal_conflict", 409, "The session was changed by another process meanwhile."},
    {"commit_mismatch", 412, "The session is not at the commit of `If-Match`."},
    {"body_too_large", 413, "The body is larger than 1 MiB."},
    {"uri_too_long", 414, "The address is too long."},
    {"unsupported_media_type", 415, "A body is sent as application/json."},
    {"unknown_field", 422, "The body or the query has a field that the call does not take."},
    {"missing_field", 422, "The body lacks a field that the call needs."},
    {"invalid_type", 422, "A field is of the wrong type."},
    {"invalid_value", 422, "A field has a value that is not possible."},
    {"invalid_text", 422, "A text holds what is not text, or is too long."},
    {"invalid_idempotency_key", 422, "The key is not 1 to 255 visible ASCII characters."},
    {"key_reused", 422, "The key was used for another request."},
    {"unknown_op", 422, "There is no such op of an edit."},
    {"unknown_region", 422, "The file has no editable region of this name."},
    {"unknown_quantizer", 422, "There is no such quantizer."},
    {"too_many_tests", 422, "A session may ask for fewer tests than the task has, not for more."},
    {"ambiguous_commit", 422, "Several commits begin with these digits."},
    {"invalid_range", 422, "The lines are not in the file, or in the wrong order."},
    {"edit_out_of_range", 422, "The lines are outside of what may be edited."},
    {"empty_content", 422, "There is nothing to insert."},
    {"content_too_large", 422, "The content has too many bytes or lines."},
    {"file_too_large", 422, "The file would become too large."},
    {"file_read_only", 422, "Only the candidate may be edited."},
    {"marker_in_content", 422, "The content holds a marker of an editable region."},
    {"bad_markers", 422, "The markers of the file's editable regions do not fit together."},
    {"text_not_found", 422, "The text to replace is not there."},
    {"text_not_unique", 422, "The text to replace is there more than once."},
    {"nothing_to_undo", 422, "There are not so many edits to undo."},
    {"if_match_missing", 428, "The server takes changes with If-Match alone."},
    {"too_many_calls", 429, "Too many calls are being worked on; wait for one of them."},
    {"too_many_checks", 429, "Too many checks wait already."},
    {"headers_too_large", 431, "The header is too large."},
    {"internal", 500, "The server failed; its log says why."},
    {"io_error", 500, "A file can't be read or written."},
    {"journal_failed", 500, "The journal can't be written or read."},
    {"journal_unreadable", 500, "Something in the journal is damaged."},
    {"journal_read_only", 500, "The journal can't be written here."},
    {"bad_preset", 500, "A preset of the installation is not valid."},
    {"unknown_preset", 500, "A preset or a task of the installation is missing."},
    {"bad_task", 500, "A task of the installation is not valid."},
    {"bad_baselines", 500, "A table of baselines of the installation is not valid."},
    {"bad_secret", 500, "The workspace's verification.key is not a secret."},
    {"ledger_malformed", 500, "The ledger can't be read."},
    {"too_large", 500, "A file of the workspace is larger than it can be."},
    {"infrastructure", 503, "A program or the jail can't be started."},
    {"init_unavailable", 503, "The model that the task begins with is not there, or another."},
    {"too_many_connections", 503, "There are too many connections."},
    {"too_many_streams", 503, "There are too many event streams."},
    {"stopping", 503, "The server is being stopped."},
    {"out_of_memory", 503, "The server is out of memory."},
    {"disk_full", 507, "The disk is full."},
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

std::span<const Problem> problems() { return kProblems; }

int status_of(std::string_view code) {
  for (const Problem& problem : kProblems)
    if (problem.code == code) return problem.status;
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
