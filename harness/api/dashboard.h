// The dashboard: one page and its files, which are read once, at the start. It asks nothing of any
// other server, and may not: its Content-Security-Policy says so to the browser.
#pragma once

#include <filesystem>
#include <vector>

#include "harness/api/route.h"

namespace bitloop::api {

// Adds GET / and GET /static/{file}, from the files of `folder`. Where a file is missing the answer
// says what to do.
void add_dashboard_routes(std::vector<Route>& routes, const std::filesystem::path& folder);

}  // namespace bitloop::api
