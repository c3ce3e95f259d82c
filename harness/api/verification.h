// A reviewer's question to a server: does a submission's score hold under seeds that its agent did
// not know?
#pragma once

#include <vector>

#include "harness/api/route.h"
#include "harness/sessions/service.h"

namespace bitloop::api {

// Adds GET, POST and DELETE /v1/sessions/{id}/verification. Handlers refer to the service, which
// must outlive them.
void add_verification_routes(std::vector<Route>& routes, sessions::Service& service);

}  // namespace bitloop::api
