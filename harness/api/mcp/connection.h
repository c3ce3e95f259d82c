// What is remembered of a client in the protocol's first era: a connection, between `initialize`
// and its end. Over HTTP its name is the header Mcp-Session-Id; over stdio there is one.
//
// An MCP connection is not a bitloop session. It knows which sessions it began or took up, so that
// an agent with one session need not name it; with several it must, or two agents that share a
// client would write into each other's candidate.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "harness/api/mcp/pending.h"
#include "harness/base/result.h"

namespace bitloop::api::mcp {

// Thread-safe.
class Connection {
 public:
  // Requires: called before any other thread knows the connection.
  Connection(std::string version, std::string client)
      : version_(std::move(version)), client_(std::move(client)) {}

  const std::string& version() const { return version_; }
  const std::string& client() const { return client_; }  // how the client calls itself, or ""

  // The name of the token that opened it, or "". Requires: as the constructor.
  void set_token(std::string token) { token_ = std::move(token); }
  const std::string& token() const { return token_; }

  // From now on this session belongs to the connection.
  void take_up(const std::string& session);
  // The session of a call that names none. Error: "session_unclear" (none, or several).
  Result<std::string> only_session() const;

  Pending& pending() { return pending_; }

 private:
  const std::string version_;
  const std::string client_;
  std::string token_;
  mutable std::mutex mutex_;
  std::vector<std::string> sessions_;
  Pending pending_;
};

// Of a call in the second era, or of a connection without a session. Error: "session_unclear".
Error session_missing();

// The connections of an HTTP server, by unguessable names. Thread-safe.
class Connections {
 public:
  static constexpr size_t kMost = 1000;  // beyond it, the one used longest ago is forgotten

  // Returns the new connection's name.
  std::string add(std::shared_ptr<Connection> connection);
  std::shared_ptr<Connection> find(const std::string& name);  // nullptr when there is none
  bool remove(const std::string& name);                       // false when there is none

 private:
  struct Kept {
    std::shared_ptr<Connection> connection;  // shared: a request may outlive its removal
    uint64_t used = 0;
  };
  std::mutex mutex_;
  std::map<std::string, Kept> kept_;
  uint64_t clock_ = 0;
};

}  // namespace bitloop::api::mcp
