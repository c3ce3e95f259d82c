// From a raw request to an answer: finds the route, checks body and query, calls the handler, turns
// whatever goes wrong into a problem document. Free of any HTTP library, so it is tested without
// sockets.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "harness/api/gate.h"
#include "harness/api/route.h"
#include "harness/api/traffic.h"

namespace bitloop::api {

constexpr size_t kMaxBodyBytes = size_t{1} << 20;

struct RawRequest {
  std::string method = {};
  std::string path = {};  // decoded
  std::multimap<std::string, std::string> query = {};
  std::string content_type = {};
  std::string if_match = {};
  std::string idempotency_key = {};
  std::string body = {};
  std::string host = {};                            // as the client named us; empty: not said
  std::string origin = {};                          // of the web page that asks; empty: no page
  std::map<std::string, std::string> headers = {};  // all of them, by name in lower case
};

// Remembers the first answer to each Idempotency-Key for as long as the process lives, refusals
// included: the newest 1000, in at most 32 MiB. A repeat that arrives while the first is being
// worked on waits for it. What was done, the service finds in the journal when it is not here.
class AnswerCache {
 public:
  struct Entry {
    std::mutex mutex;   // held while the first request is worked on
    std::string asked;  // as in Request
    std::optional<Response> response;
    size_t bytes = 0;  // guarded by the cache
  };
  std::shared_ptr<Entry> entry(const std::string& key);
  // The entry holds its answer now, of so many bytes.
  void settled(const std::string& key, const std::shared_ptr<Entry>& entry, size_t bytes);

 private:
  void forget_oldest();

  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Entry>>
      entries_;  // shared: an entry in use may be pushed out
  std::deque<std::string> order_;
  size_t bytes_ = 0;
};

// Thread-safe.
class Dispatcher {
 public:
  explicit Dispatcher(std::vector<Route> routes, const GateOptions& gate = {},
                      const TrafficOptions& traffic = {})
      : gate_(gate),
        require_if_match_(traffic.require_if_match),
        traffic_(traffic.calls),
        routes_(std::move(routes)) {}

  // Never throws. Codes of its own: "route_not_found", "method_not_allowed" (with Allow),
  // "unsupported_media_type", "invalid_idempotency_key", "key_reused" (with another body),
  // "if_match_missing", "too_many_calls", "internal", those of parse_body, of Gate and of the
  // route's `may`.
  Response dispatch(const RawRequest& raw);
  // The answer to a method that no route can have, of which no more than the first line was read:
  // "method_not_allowed" (with Allow) or "route_not_found".
  Response refuse_method(const std::string& method, const std::string& path) const;
  const std::vector<Route>& routes() const { return routes_; }
  Gate& gate() { return gate_; }

 private:
  // The route of a request, if it has one and the caller may use it, and the answer.
  Response route(const RawRequest& raw);
  // `request` has the path's parameters and the caller, and gets the rest.
  Result<Response> handle(const Route& route, const RawRequest& raw, Request request);
  Response handle_once(const Route& route, const RawRequest& raw, Request request);

  Gate gate_;
  const bool require_if_match_;
  Traffic traffic_;
  std::vector<Route> routes_;
  AnswerCache answers_;
};

}  // namespace bitloop::api
