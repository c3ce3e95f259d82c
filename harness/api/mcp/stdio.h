// MCP on stdio: one JSON-RPC message a line, in and out. The client started this process and is the
// only one it serves.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "harness/api/mcp/protocol.h"

namespace bitloop::api::mcp {

// Lines of whole messages on a descriptor. Thread-safe.
class LineWriter {
 public:
  explicit LineWriter(int fd) : fd_(fd) {}
  // False when nobody reads any more.
  bool write(const std::string& line);

 private:
  const int fd_;
  std::mutex mutex_;
  bool open_ = true;
};

// Calls `take` with each line of a descriptor until its end; a line that is too long comes as "".
void read_lines(int fd, const std::function<void(std::string_view line)>& take);

// Answers the messages that come on `in` until its end; then waits for no test any more, begins
// nothing that may take long, and returns when every answer is written. Requests that may take long
// are worked on beside the others.
void serve_stdio(const Protocol& protocol, int in, int out);

}  // namespace bitloop::api::mcp
