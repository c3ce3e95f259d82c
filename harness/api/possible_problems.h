// Which problems each call may answer with, for openapi.json. What follows from a route's shape is
// reckoned, what its handler alone says stands in a table; the end-to-end tests compare every
// problem that they meet with it.
#pragma once

#include <string_view>
#include <vector>

#include "harness/api/route.h"

namespace bitloop::api {

// Codes of problems(), in its order. Requires: the route's rule is set (guard_routes).
std::vector<std::string_view> possible_problems(const Route& route);

}  // namespace bitloop::api
