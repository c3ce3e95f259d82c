// The HTTP server: sockets, limits and time-outs around a Dispatcher. cpp-httplib stays inside
// server.cpp.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "harness/api/dispatcher.h"
#include "harness/api/request_socket.h"

namespace bitloop::api {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 0;                  // 0: any free port
  size_t max_connections = 512;  // each has a thread while it is open; one more is told so (503)
  size_t max_streams = 0;        // endless streams come on top of these
  RequestLimits limits = {};     // of time and size
  // Called, from any thread, when a thread can't be made: so many is what the machine gives.
  std::function<void(size_t threads)> on_thread_limit = {};
  int write_timeout_s = 10;  // a client that takes nothing for so long is cut off
};

class Server {
 public:
  // The dispatcher must outlive the server.
  Server(Dispatcher& dispatcher, const ServerOptions& options);
  ~Server();

  // Binds and listens; connections are accepted from here on and answered once run() is called.
  // Returns the port. Error: "port_in_use".
  Result<int> bind();
  // Serves until stop(). Returns when the last connection is closed.
  void run();
  // May be called from any thread: no new connections.
  void stop();
  // Waits until no request is being worked on, at most `timeout_ms`; false if some still are. For
  // endless streams it waits a second at most: a client that does not read must not hold up a
  // server's end.
  bool wait_idle(int timeout_ms);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitloop::api
