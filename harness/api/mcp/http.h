// MCP's streamable HTTP: the routes POST and DELETE /mcp.
//
// An answer is one JSON document; a call of a tool that reports progress is answered with a stream
// of server-sent events whose last one is the answer. Nothing is sent unasked, so there is no GET.
#pragma once

#include <memory>
#include <vector>

#include "harness/api/mcp/connection.h"
#include "harness/api/mcp/protocol.h"
#include "harness/api/route.h"

namespace bitloop::api::mcp {

// Thread-safe.
class HttpEndpoint {
 public:
  // The service must outlive the endpoint and every answer of it.
  HttpEndpoint(sessions::Service& service, std::vector<Route> routes)
      : protocol_(std::make_shared<Protocol>(service, std::move(routes))) {}

  Response post(const Request& request);
  Response remove(const Request& request);  // DELETE: ends a connection

 private:
  Response post_modern(const Request& request, const Message& message);
  Response post_batch(const Request& request, const nlohmann::json& array);
  Response open(const Request& request, const Message& message);
  Response respond(const Request& request, const Message& message, const Peer& peer);
  // Who sends a request of the first era. The error's answer has a status of its own.
  std::expected<Peer, Response> peer_of(const Request& request, const nlohmann::json& id);

  // shared: an answer that is still being written uses it
  std::shared_ptr<Protocol> protocol_;
  Connections connections_;
};

// POST and DELETE /mcp, over the service and the other routes.
std::vector<Route> make_mcp_routes(sessions::Service& service, std::vector<Route> routes);

}  // namespace bitloop::api::mcp
