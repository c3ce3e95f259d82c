// Server-sent events: what a service's listeners hear, as HTML's EventSource reads it.
//
//   id: 5e96b16…                  the commit, which Last-Event-ID names when the client comes back
//   event: test-finished          the journal's kind of event
//   data: {"session": …}          one JSON object
//
// The records `step` and `val` of running tests come without an id: the journal does not hold them,
// so they are heard live or not at all.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "harness/api/route.h"
#include "harness/sessions/service.h"

namespace bitloop::api {

// How many streams may be open at a time: each occupies a thread and a connection. Thread-safe.
class StreamLimit {
 public:
  explicit StreamLimit(size_t most = 1500) : most_(most) {}
  size_t most() const { return most_; }
  // The machine gives no more than so many threads. Calls keep 512 of them, or half where there are
  // fewer; streams that are open stay.
  void fit(size_t threads);

 private:
  static constexpr size_t kThreadsForCalls = 512;
  std::atomic<size_t> most_;
};

struct StreamOptions {
  // shared with the server, which learns how many threads there are
  std::shared_ptr<StreamLimit> limit = std::make_shared<StreamLimit>();
  std::chrono::milliseconds keep_alive{15'000};  // a comment after so long without an event
  std::chrono::milliseconds retry{2'000};        // clients wait so long before they come back
};

// An event in the form above.
std::string render_event(const sessions::StreamEvent& event);

// Adds GET /v1/events and GET /v1/sessions/{id}/events. Handlers refer to the service, which must
// outlive them.
void add_event_routes(std::vector<Route>& routes, sessions::Service& service,
                      const StreamOptions& options);

}  // namespace bitloop::api
