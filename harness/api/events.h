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

struct StreamOptions {
  size_t most = 1500;  // open at a time; each occupies a thread and a connection
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
