// What callers of the API send, before any handler sees it: paths, queries, bodies, JSON-RPC. The
// input is a path, a query's value and a body, a line each; the body goes to the end.
#include "harness/api/mcp/messages.h"
#include "harness/api/problem.h"
#include "harness/api/route.h"
#include "harness/base/text.h"
#include "tests/fuzz/fuzz.h"

namespace bitloop::api {
namespace {

using fuzz::require;
using nlohmann::json;

const std::vector<Field> kFields = {
    {"path", FieldType::kString, true, "a file", "filename"},
    {"n", FieldType::kInteger, false, "a number", "", 1, 1000},
    {"from", FieldType::kInteger, false, "another", "", -1'000'000'000},
};

// A refusal is a problem that can be told.
void check_refusal(const Error& error) {
  const Response response = problem_response(error);
  require(response.status >= 400 && response.status < 500, "it is the caller's fault");
  require(json::parse(response.body)["code"] == error.code, "a problem is JSON");
}

void check_given(const Result<json>& members) {
  if (!members) return check_refusal(members.error());
  require((*members)["path"].is_string(), "a required field is there, under its own name");
  if (members->contains("n")) {
    const auto n = (*members)["n"].get<int64_t>();
    require(n >= 1 && n <= 1000, "a number is within its bounds");
  }
}

void check_message(const std::string& text) {
  const auto document = parse_json(text, 16);
  if (!document) return check_refusal(document.error());
  const json id = mcp::readable_id(*document);
  const auto message = mcp::parse_message(*document);
  const std::string line = mcp::to_line(message ? mcp::result_message(message->id, message->params)
                                                : mcp::error_message(id, message.error()));
  require(json::parse(line).is_object(), "an answer is one JSON object");
  if (message) message->meta("progressToken");
}

}  // namespace
}  // namespace bitloop::api

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloop;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t first = text.find('\n');
  if (first == std::string_view::npos) return 0;
  const size_t second = text.find('\n', first + 1);
  const std::string body(second == std::string_view::npos ? "" : text.substr(second + 1));
  const std::string value(text.substr(first + 1, second - first - 1));

  const std::string_view path = text.substr(0, first);
  for (const char* pattern : {"/", "/v1/sessions/{id}", "/v1/sessions/{id}/files/{path...}"})
    if (const auto parameters = api::match_path(pattern, path))
      for (const auto& [name, part] : *parameters)
        fuzz::require(!part.empty(), "a parameter of a path is not empty");
  api::check_given(api::parse_query({{"path", "a"}, {"n", value}}, api::kFields));
  api::check_given(api::parse_body(body, api::kFields));
  api::check_message(body);
  return 0;
}
