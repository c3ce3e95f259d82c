#include "harness/api/mcp/calls.h"

#include <fmt/format.h>

#include <stdexcept>

namespace bitloop::api::mcp {

const Route& Calls::route(std::string_view method, std::string_view pattern) const {
  for (const Route& route : *routes_)
    if (route.method == method && route.pattern == pattern) return route;
  throw std::logic_error(fmt::format("no route {} {}", method, pattern));
}

Result<nlohmann::ordered_json> Calls::call(std::string_view method, std::string_view pattern,
                                           const Input& input) const {
  const Route& found = route(method, pattern);
  Request request;
  request.method = found.method;
  request.path = found.pattern;
  request.parameters = input.parameters;
  request.query = input.query;
  request.body = input.body;
  request.caller = caller_;
  if (found.may) BITLOOP_TRY(found.may(request));
  BITLOOP_ASSIGN(response, found.handler(request));
  return nlohmann::ordered_json::parse(response.body);
}

}  // namespace bitloop::api::mcp
