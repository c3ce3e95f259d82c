// The HTTP API's routes as functions: an MCP tool is the same call with its session as an argument,
// so fields, checks and documents are those of the table of routes.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/api/route.h"

namespace bitloop::api::mcp {

class Calls {
 public:
  explicit Calls(std::vector<Route> routes) : routes_(std::move(routes)) {}

  // Requires: the table has such a route (else it throws std::logic_error).
  const Route& route(std::string_view method, std::string_view pattern) const;

  struct Input {
    std::map<std::string, std::string> parameters = {};
    nlohmann::json query = nlohmann::json::object();  // checked
    nlohmann::json body = nlohmann::json::object();   // checked
  };
  // The document that the route answers with. Errors: those of its handler.
  Result<nlohmann::ordered_json> call(std::string_view method, std::string_view pattern,
                                      const Input& input) const;

 private:
  std::vector<Route> routes_;
};

}  // namespace bitloop::api::mcp
