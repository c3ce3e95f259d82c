// The Model Context Protocol's methods, for every transport: which there are, and what they answer
// in which revision. Transports (http.h, stdio.h) read and write messages and decide who asks.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "harness/api/mcp/exchange.h"
#include "harness/api/mcp/messages.h"
#include "harness/api/mcp/tools.h"
#include "harness/sessions/service.h"

namespace bitloop::api::mcp {

// Thread-safe.
class Protocol {
 public:
  // The service must outlive the protocol. `routes` are those of make_routes().
  Protocol(sessions::Service& service, std::vector<Route> routes);

  struct Opened {
    std::shared_ptr<Connection> connection;  // shared by the requests that come over it
    nlohmann::ordered_json answer;           // to the request
  };
  // Answers `initialize`, which begins a connection of the first era. Error: kInvalidParams.
  RpcResult<Opened> initialize(const Message& request) const;

  // Answers any other request. For one of the second era the envelope must have been checked.
  nlohmann::ordered_json answer(const Message& request, const Peer& peer,
                                const Exchange& exchange) const;
  // The same for a request that was begun in `pending`, under `flag`, and which it ends: null when
  // its client has cancelled it, and waits for no answer. One that was cancelled before this call
  // is not begun.
  nlohmann::ordered_json answer_unless_cancelled(const Message& request, const Peer& peer,
                                                 Exchange exchange, Pending& pending,
                                                 const CancelFlag& flag) const;

  // Whether the answer may take long, so that others must not wait for it.
  static bool may_wait(const Message& request);

 private:
  RpcResult<nlohmann::ordered_json> result(const Message& request, const Peer& peer,
                                           const Exchange& exchange) const;

  sessions::Service& service_;
  Tools tools_;
};

// Who sends a request of the second era.
Peer modern_peer(const Message& request);

}  // namespace bitloop::api::mcp
