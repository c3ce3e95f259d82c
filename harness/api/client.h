// A small client of the public API, for `bitloop demo`: what any agent would do, with no shortcut
// into the server.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "harness/base/result.h"

namespace bitloop::api {

struct ClientAnswer {
  int status = 0;
  nlohmann::json document;  // null when the body is not JSON
  std::string text;
  bool ok() const { return status >= 200 && status < 300; }
};

class Client {
 public:
  Client(const std::string& host, int port);
  ~Client();

  // Error: "no_answer" (connection refused, cut or timed out).
  Result<ClientAnswer> get(const std::string& path);
  Result<ClientAnswer> post(const std::string& path, const nlohmann::ordered_json& body);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitloop::api
