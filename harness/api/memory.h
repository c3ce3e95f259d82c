// What a session remembers for an agent: the calls of its summary and of its tags.
#pragma once

#include <vector>

#include "harness/api/route.h"
#include "harness/sessions/service.h"

namespace bitloop::api {

// Adds GET /v1/sessions/{id}/summary, POST /v1/sessions/{id}/tags and DELETE
// /v1/sessions/{id}/tags/{tag}. Handlers refer to the service, which must outlive them.
void add_memory_routes(std::vector<Route>& routes, sessions::Service& service);

}  // namespace bitloop::api
