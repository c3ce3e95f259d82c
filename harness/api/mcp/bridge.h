// MCP on stdio for a server that runs already: every line is sent to its /mcp, and what comes back
// is written as lines. For clients that can only start a program.
#pragma once

#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "harness/api/client.h"
#include "harness/api/mcp/messages.h"
#include "harness/api/mcp/stdio.h"
#include "harness/api/thread_pool.h"

namespace bitloop::api::mcp {

class Bridge {
 public:
  Bridge(ServerAddress address, int out);
  ~Bridge() { finish(); }

  // Sends one line's message. Those that may take long are sent beside the others. A server that
  // was started anew, and has forgotten the connection, is sent the client's `initialize` again.
  void take(std::string_view line);
  // The input has ended: nobody waits for what is still being asked. Those calls are cut off and
  // those whose turn has not come are not sent; a test that runs goes on in the server.
  void finish();

 private:
  // Sends what may take long, over a connection of its own.
  void forward_beside(const Message& message, const std::string& line);
  bool enter(Client& client);  // false: the input has ended
  // Answers a request that has no answer from the server.
  void say_why_not(const Message& message);
  void forward(Client& client, const Message& message, const std::string& line);
  Result<ClientAnswer> post(Client& client, const Message& message, const std::string& line);
  std::vector<std::pair<std::string, std::string>> headers(const Message& message) const;
  bool reopen(Client& client);

  const ServerAddress address_;
  LineWriter writer_;
  Client client_;  // for what is sent in order
  mutable std::mutex mutex_;
  std::string initialize_;  // the client's line, or ""
  std::string session_;     // Mcp-Session-Id, or ""
  std::string version_;
  bool closing_ = false;
  std::set<Client*> beside_;  // in use
  std::condition_variable beside_changed_;
  GrowingPool pool_;
};

// The whole of `bitloop mcp --url`: until the end of `in`.
void bridge_stdio(const ServerAddress& address, int in, int out);

}  // namespace bitloop::api::mcp
