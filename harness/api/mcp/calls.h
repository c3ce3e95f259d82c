// The HTTP API's routes as functions: an MCP tool is the same call with its session as an argument,
// so fields, checks and documents are those of the table of routes.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "harness/api/route.h"

namespace bitloop::api::mcp {

class Calls {
 public:
  explicit Calls(std::vector<Route> routes)
      : routes_(std::make_shared<const std::vector<Route>>(std::move(routes))) {}

  // The same routes, as this caller may use them.
  Calls as(std::optional<Caller> caller) const {
    Calls calls = *this;
    calls.caller_ = std::move(caller);
    return calls;
  }

  // Requires: the table has such a route (else it throws std::logic_error).
  const Route& route(std::string_view method, std::string_view pattern) const;

  struct Input {
    std::map<std::string, std::string> parameters = {};
    nlohmann::json query = nlohmann::json::object();  // checked
    nlohmann::json body = nlohmann::json::object();   // checked
  };
  // The document that the route answers with. Errors: those of its `may` and its handler.
  Result<nlohmann::ordered_json> call(std::string_view method, std::string_view pattern,
                                      const Input& input) const;

 private:
  std::shared_ptr<const std::vector<Route>> routes_;  // shared by copies
  std::optional<Caller> caller_;
};

}  // namespace bitloop::api::mcp
