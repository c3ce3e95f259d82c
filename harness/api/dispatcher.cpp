#include "harness/api/dispatcher.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <new>
#include <set>

#include "harness/api/problem.h"
#include "harness/base/text.h"
#include "harness/sessions/request_keys.h"

namespace bitloop::api {
namespace {

constexpr size_t kMaxAnswers = 1000;
constexpr size_t kMaxAnswerBytes = size_t{32} << 20;
constexpr size_t kEntryBytes = 1024;  // an entry's own, roughly
constexpr size_t kMaxKeyBytes = 255;
constexpr size_t kMaxShownPath = 200;

std::string unquote_one(std::string_view tag) {
  if (tag.starts_with("W/")) tag.remove_prefix(2);
  if (tag.size() >= 2 && tag.front() == '"' && tag.back() == '"')
    tag = tag.substr(1, tag.size() - 2);
  return std::string(tag);
}

// The tags of If-Match without their quotes, separated by commas.
std::string unquote(std::string_view list) {
  std::vector<std::string> tags;
  for (const std::string& item : split(list, ',')) tags.push_back(unquote_one(single_line(item)));
  return join(tags, ",");
}

// To a client without a token, or with a wrong one (RFC 6750).
Response unauthorized(const Error& error) {
  Response response = problem_response(error);
  response.headers.emplace_back("WWW-Authenticate", error.code == "token_missing"
                                                        ? R"(Bearer realm="bitloop")"
                                                        : R"(Bearer realm="bitloop", )"
                                                          R"(error="invalid_token")");
  return response;
}

std::string asked_of(const RawRequest& raw) {
  if (raw.method != "DELETE") return raw.body;
  std::string asked = raw.path;
  for (const auto& [name, value] : raw.query) asked += '\n' + name + '=' + value;
  return asked;
}

Response nothing_at(const std::string& path) {
  return problem_response(
      {"route_not_found", fmt::format("There is nothing at {}; GET /openapi.json lists the calls.",
                                      path.substr(0, kMaxShownPath))});
}

// `allowed`: what the routes of this path take; at least one.
Response method_not_allowed(const std::string& method, const std::string& path,
                            std::set<std::string> allowed) {
  if (allowed.contains("GET")) allowed.insert("HEAD");
  const std::string list = join({allowed.begin(), allowed.end()}, ", ");
  Response response =
      problem_response({"method_not_allowed",
                        fmt::format("{} does not take {}; use {}.", path.substr(0, kMaxShownPath),
                                    method.substr(0, 40), list)});
  response.headers.emplace_back("Allow", list);
  return response;
}

bool is_json_type(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find(';'));
  std::string lower(type.substr(0, type.find_last_not_of(' ') + 1));
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower == "application/json";
}

}  // namespace

std::shared_ptr<AnswerCache::Entry> AnswerCache::entry(const std::string& key) {
  const std::lock_guard guard(mutex_);
  auto& slot = entries_[key];
  if (slot) return slot;
  slot = std::make_shared<Entry>();
  auto made = slot;
  order_.push_back(key);
  if (order_.size() > kMaxAnswers) forget_oldest();
  return made;
}

void AnswerCache::settled(const std::string& key, const std::shared_ptr<Entry>& entry,
                          size_t bytes) {
  const std::lock_guard guard(mutex_);
  const auto found = entries_.find(key);
  if (found == entries_.end() || found->second != entry) return;  // pushed out meanwhile
  bytes_ += bytes - entry->bytes;
  entry->bytes = bytes;
  while (bytes_ > kMaxAnswerBytes && order_.size() > 1) forget_oldest();
}

void AnswerCache::forget_oldest() {
  const auto oldest = entries_.find(order_.front());
  bytes_ -= oldest->second->bytes;
  entries_.erase(oldest);
  order_.pop_front();
}

Response Dispatcher::dispatch(const RawRequest& raw) {
  try {
    if (const Status named = gate_.check_names(raw); !named) return problem_response(named.error());
    return route(raw);
  } catch (const std::bad_alloc&) {
    return problem_response(
        {"out_of_memory", "The server is out of memory; send the request again in a moment."});
  } catch (const std::exception& error) {
    spdlog::error("{} {}: {}", raw.method, raw.path, error.what());
    return problem_response({"internal", "The server failed at this request; its log says why."});
  }
}

Response Dispatcher::refuse_method(const std::string& method, const std::string& path) const {
  std::set<std::string> allowed;
  for (const Route& route : routes_)
    if (match_path(route.pattern, path)) allowed.insert(route.method);
  return allowed.empty() ? nothing_at(path) : method_not_allowed(method, path, std::move(allowed));
}

Response Dispatcher::route(const RawRequest& raw) {
  const std::string method = raw.method == "HEAD" ? "GET" : raw.method;
  const Route* found = nullptr;
  Request request;
  std::set<std::string> allowed;
  for (const Route& route : routes_) {
    auto parameters = match_path(route.pattern, raw.path);
    if (!parameters) continue;
    allowed.insert(route.method);
    if (found != nullptr || route.method != method) continue;
    found = &route;
    request.parameters = std::move(*parameters);
  }
  if (found == nullptr || !found->open) {
    auto caller = gate_.identify(raw);
    if (!caller) return unauthorized(caller.error());
    request.caller = std::move(*caller);
  }
  if (allowed.empty()) return nothing_at(raw.path);
  if (found == nullptr) return method_not_allowed(raw.method, raw.path, std::move(allowed));
  if (found->may)
    if (const Status may = found->may(request); !may) return problem_response(may.error());
  const std::optional<Caller> caller = request.caller;
  const bool changes = found->method != "GET";
  if (require_if_match_ && changes && request.parameters.contains("id") && raw.if_match.empty())
    return problem_response(
        {"if_match_missing",
         "This server changes a session only from a state that the client has seen: send the "
         "newest answer's ETag as If-Match."});
  std::shared_ptr<void> place;  // free again when the answer is made
  if (!found->open && (place = traffic_.enter(caller ? caller->name : "")) == nullptr)
    return problem_response({"too_many_calls",
                             "Too many calls are being worked on already; wait for one of them, "
                             "then send this one again."});
  Response response = handle_once(*found, raw, std::move(request));
  // What is written while it is worked on keeps its place; event streams are counted on their own.
  if (response.stream && changes)
    response.stream = [place, stream = std::move(response.stream)](const auto& write) {
      stream(write);
    };
  // A stream ends with the token that opened it.
  if (response.stream && caller)
    response.stream = [this, caller, stream = std::move(response.stream)](const auto& write) {
      stream([&](std::string_view chunk) { return gate_.still_valid(*caller) && write(chunk); });
    };
  return response;
}

Response Dispatcher::handle_once(const Route& route, const RawRequest& raw, Request request) {
  // A route that reads its body itself knows its callers itself: by the key alone they would be
  // mixed up.
  if (raw.idempotency_key.empty() || route.method == "GET" || route.raw_body) {
    const Result<Response> handled = handle(route, raw, std::move(request));
    return handled ? *handled : problem_response(handled.error());
  }
  const bool visible =
      std::ranges::all_of(raw.idempotency_key, [](char c) { return c > ' ' && c < 127; });
  if (!visible || raw.idempotency_key.size() > kMaxKeyBytes)
    return problem_response(
        {"invalid_idempotency_key",
         fmt::format("Idempotency-Key must be 1 to {} visible ASCII characters, without spaces.",
                     kMaxKeyBytes)});
  const std::string caller = request.caller ? request.caller->name : "";
  const std::string name = caller + "\n" + raw.path + "\n" + raw.idempotency_key;
  const auto entry = answers_.entry(name);
  const std::lock_guard guard(entry->mutex);
  const std::string asked = asked_of(raw);
  if (entry->response && entry->asked != asked) return problem_response(sessions::key_reused());
  if (!entry->response) {
    const Result<Response> handled = handle(route, raw, std::move(request));
    Response response = handled ? *handled : problem_response(handled.error());
    // After a failure, or where there was no place, nothing is settled: the client may try again.
    // Nor after the refusal of a key that an earlier process has seen: the request that it belongs
    // to may still be repeated.
    const bool foreign = !handled && handled.error().code == "key_reused";
    // What is still being written can't be given a second time.
    const bool for_now = response.status >= 500 || response.status == 429;
    if (for_now || foreign || response.stream) return response;
    answers_.settled(name, entry, kEntryBytes + asked.size() + response.body.size());
    entry->asked = asked;
    entry->response = std::move(response);
  }
  return *entry->response;
}

Result<Response> Dispatcher::handle(const Route& route, const RawRequest& raw, Request request) {
  if (!raw.body.empty() && !is_json_type(raw.content_type))
    return fail("unsupported_media_type",
                "Send the body with the header Content-Type: application/json.");
  request.method = raw.method;
  request.path = raw.path;
  request.raw_body = raw.body;
  request.asked = asked_of(raw);
  request.if_match = unquote(raw.if_match);
  request.idempotency_key = raw.idempotency_key;
  request.headers = raw.headers;
  request.headers.erase("authorization");  // whatever may be logged or passed on
  BITLOOP_ASSIGN(query, parse_query(raw.query, route.query));
  request.query = std::move(query);
  if (!route.raw_body) {
    BITLOOP_ASSIGN(body, parse_body(raw.body, route.body));
    request.body = std::move(body);
  }
  return route.handler(request);
}

}  // namespace bitloop::api
