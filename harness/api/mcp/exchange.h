// One request being answered: who asks, and how to reach them meanwhile.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "harness/api/caller.h"
#include "harness/api/mcp/connection.h"

namespace bitloop::api::mcp {

struct Peer {
  std::string version;                     // of the protocol
  bool modern = false;                     // second era: nothing is kept between requests
  std::string client;                      // how the client calls itself, or ""
  std::shared_ptr<Connection> connection;  // shared with its registry; null in the second era
  std::optional<Caller> caller = {};       // nothing: the server has no tokens
};

// Empty functions: nobody listens.
struct Exchange {
  // Sends a notification that belongs to the request.
  std::function<void(const nlohmann::ordered_json& notification)> notify = {};
  // Called about every second in which nothing was sent.
  std::function<void()> keep_alive = {};
  // Whether the client has cancelled the request or is gone, so that nobody waits for the answer.
  std::function<bool()> abandoned = {};
  // What waits, waits no longer than until here.
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
};

}  // namespace bitloop::api::mcp
