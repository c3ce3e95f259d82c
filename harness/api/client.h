// A small client of the public API, for `bitloop demo`, `bitloop verify --url` and `bitloop mcp
// --url`: what any agent would do, with no shortcut into the server.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::api {

struct ServerAddress {
  std::string host;
  int port = 0;
  std::string token = {};  // for a server that has tokens
};

// "http://127.0.0.1:8321", with or without "/mcp". Error: "bad_value".
Result<ServerAddress> parse_server_url(std::string_view url);

struct ClientAnswer {
  int status = 0;
  nlohmann::json document;  // null when the body is not JSON
  std::string text;
  std::map<std::string, std::string> headers;         // by name in lower case
  std::string header(const std::string& name) const;  // "" when there is none
  bool ok() const { return status >= 200 && status < 300; }
};

class Client {
 public:
  Client(const std::string& host, int port);
  ~Client();

  // Sent with every request from now on, as Authorization: Bearer. "": none.
  void set_token(const std::string& token);

  // Error: "no_answer" (connection refused, cut or timed out).
  Result<ClientAnswer> get(const std::string& path);
  Result<ClientAnswer> post(const std::string& path, const nlohmann::ordered_json& body);
  Result<ClientAnswer> remove(const std::string& path);  // DELETE
  // Ends the call that is being made, which then has no answer; from any thread.
  void cut_off();
  // POSTs JSON text with headers of the caller's. Of an event stream each piece is handed to `take`
  // as it comes and nothing is kept.
  Result<ClientAnswer> post_text(const std::string& path, const std::string& body,
                                 const std::vector<std::pair<std::string, std::string>>& headers,
                                 const std::function<void(std::string_view piece)>& take);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitloop::api
