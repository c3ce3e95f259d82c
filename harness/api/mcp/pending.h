// The requests of one client that are being worked on, so that the client can cancel them.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "harness/api/mcp/messages.h"

namespace bitloop::api::mcp {

using CancelFlag = std::shared_ptr<std::atomic<bool>>;  // shared: who waits, and who cancels

// Thread-safe. Ids are compared with their type: "1" is not 1.
class Pending {
 public:
  // Of two requests under the same id the later counts.
  CancelFlag begin(const nlohmann::json& id);
  void end(const nlohmann::json& id, const CancelFlag& flag);
  void cancel(const nlohmann::json& id);
  // Cancels what the notification notifications/cancelled names; any other changes nothing.
  void take_notice(const Message& notification);
  void cancel_all();

 private:
  std::mutex mutex_;
  std::map<std::string, CancelFlag> flags_;  // by the id's text
};

}  // namespace bitloop::api::mcp
