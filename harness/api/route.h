// What a route is, free of any HTTP library: a method, a path pattern, the fields it takes, and a
// handler. The table of routes (routes.h) is the single source for dispatch, validation and
// openapi.json.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/api/caller.h"
#include "harness/base/result.h"

namespace bitloop::api {

enum class FieldType { kString, kInteger };

// A member of a request's JSON object, or of its query.
struct Field {
  std::string name;
  FieldType type = FieldType::kString;
  bool required = false;
  std::string description;
  std::string alias = {};  // another accepted name ("filename" for "path")
  int64_t min = 0;         // of an integer
  int64_t max = 1'000'000'000;
  std::vector<std::string> choices = {};  // for schemas; the handler refuses anything else
};

struct Request {
  std::string method;
  std::string path;
  std::map<std::string, std::string> parameters;    // of the path pattern, by name
  nlohmann::json query = nlohmann::json::object();  // validated: fields that were given, typed
  nlohmann::json body = nlohmann::json::object();   // the same
  std::string raw_body;                             // as it was sent
  // What an Idempotency-Key stands for: the body, and where there is none path and query.
  std::string asked;
  std::string if_match;         // header If-Match without quotes, or ""
  std::string idempotency_key;  // header Idempotency-Key, or ""
  // All of them, by name in lower case, but for Authorization.
  std::map<std::string, std::string> headers;
  std::optional<Caller> caller;  // nothing: the server has no tokens

  // A field of the body that may be missing.
  std::optional<std::string> text(const char* name) const;
  std::optional<int64_t> number(const char* name) const;
  std::string header(const std::string& name) const;  // "" when there is none
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";  // "": there is no body
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  // When set, the body is what it writes, chunked, until it returns; write returns false when the
  // client is gone. (An empty chunk sends nothing and only asks.)
  std::function<void(const std::function<bool(std::string_view chunk)>& write)> stream;
  // The stream ends with its client or with the server: nothing is lost when it is cut off.
  bool is_endless = false;
};

Response json_response(const nlohmann::ordered_json& document, int status = 200);
Response problem_response(const Error& error);

struct Route {
  std::string method;   // "GET", "POST"
  std::string pattern;  // "/v1/sessions/{id}/files/{path...}": a last parameter with "..." takes
                        // the rest of the path
  std::string summary;
  std::vector<Field> query;
  std::vector<Field> body;
  int success = 200;
  std::string content_type = "application/json";
  std::function<Result<Response>(const Request&)> handler;
  // The handler reads raw_body itself: the body has another form than an object of fields.
  bool raw_body = false;
  // Headers that the handler reads, for openapi.json.
  std::vector<std::string> headers = {};
  bool open = false;  // needs no token
  // Whether the caller may do this, asked before the body is read; of the request only the caller
  // and the parameters are there. Empty: everybody may. (access.h sets both.)
  std::function<Status(const Request&)> may = {};
};

// Matches a path with a pattern; the parameters when it does. Empty parameters do not match.
std::optional<std::map<std::string, std::string>> match_path(std::string_view pattern,
                                                             std::string_view path);

// JSON in UTF-8, at most `max_depth` levels deep. Errors: "invalid_json", "invalid_value" (a number
// beyond all numbers).
Result<nlohmann::json> parse_json(std::string_view text, int max_depth);
// Checks the members of a document: an object with the given fields only. Aliases come back under
// the field's own name. Errors: "unknown_field", "missing_field", "invalid_type", "invalid_value".
Result<nlohmann::json> check_members(const nlohmann::json& document,
                                     const std::vector<Field>& fields);
// Parses and checks a request body: JSON in UTF-8, an object, at most 16 levels deep, with the
// given fields only. Aliases come back under the field's own name. Empty text is an empty object.
// Errors: "invalid_json", "unknown_field", "missing_field", "invalid_type", "invalid_value".
Result<nlohmann::json> parse_body(std::string_view text, const std::vector<Field>& fields);
// The same for a query's pairs of text.
Result<nlohmann::json> parse_query(const std::multimap<std::string, std::string>& pairs,
                                   const std::vector<Field>& fields);

}  // namespace bitloop::api
