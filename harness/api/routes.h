// The table of routes: every call of the HTTP API.
#pragma once

#include <filesystem>
#include <vector>

#include "harness/api/events.h"
#include "harness/api/route.h"
#include "harness/sessions/service.h"

namespace bitloop::api {

// A layer of the jail as /healthz names it.
struct LayerState {
  std::string layer;
  std::string state;  // "active", or "missing: why"
};

struct ApiOptions {
  std::vector<LayerState> sandbox;
  StreamOptions streams = {};
  std::filesystem::path dashboard = {};  // the folder of the page's files
};

// A call waits at most so long for the end of a test.
constexpr int64_t kMaxWaitS = 60;

// Handlers refer to the service, which must outlive them.
std::vector<Route> make_routes(sessions::Service& service, const ApiOptions& options);

// JSON Schema of an object with these fields.
nlohmann::ordered_json object_schema(const std::vector<Field>& fields);
// OpenAPI 3.1 of a table of routes.
nlohmann::ordered_json openapi_document(const std::vector<Route>& routes);
// The same document where the server has tokens: which calls need one.
nlohmann::ordered_json with_security(nlohmann::ordered_json document,
                                     const std::vector<Route>& routes);

}  // namespace bitloop::api
