// Batches: the one version of the protocol that has them (kBatchVersion) lets a client send several
// messages as one array, which is answered by one array. The same for every transport.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <vector>

#include "harness/api/mcp/exchange.h"
#include "harness/api/mcp/pending.h"
#include "harness/api/mcp/protocol.h"

namespace bitloop::api::mcp {

class Batch {
 public:
  static constexpr size_t kMost = 50;               // messages
  static constexpr std::chrono::seconds kTime{60};  // for all of them, as for one call

  // Whether a client of this version may send this array. Error: kInvalidRequest.
  static RpcResult<void> check(const nlohmann::json& array, const std::string& version);

  // Heeds the notifications in it; its requests can be cancelled from here on. Requires: checked;
  // `pending` outlives the batch.
  Batch(const nlohmann::json& array, Pending& pending);

  // Whether the answer may take long, so that others must not wait for it.
  bool may_wait() const;
  // The answers, in the order of the requests; an empty array where there are none. What may take
  // long is not begun, and is answered with an error, once the time is over or the exchange is
  // abandoned. Called once.
  nlohmann::ordered_json answer(const Protocol& protocol, const Peer& peer, Exchange exchange);

 private:
  struct Member {
    RpcResult<Message> message;
    nlohmann::json id;  // what could be read of it
    CancelFlag flag;    // of a request
  };
  Pending& pending_;
  std::vector<Member> members_;  // requests, and what is no message
};

}  // namespace bitloop::api::mcp
