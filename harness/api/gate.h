// The gate of a server, before any route is looked at: under which names it is asked for, from
// which web pages, and with which token.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "harness/api/tokens.h"
#include "harness/base/result.h"

namespace bitloop::api {

struct RawRequest;

struct GateOptions {
  std::filesystem::path workspace = {};  // whose tokens count; "": none do
  std::string listens_on = "127.0.0.1";  // an address or a name
  std::vector<std::string> names = {};   // others under which clients reach the server
};

// Whether an address or name given to listen on is this machine's loopback: "localhost", "::1",
// 127.0.0.0/8.
bool is_loopback(std::string_view address);

// Thread-safe.
class Gate {
 public:
  explicit Gate(const GateOptions& options);

  // A browser reaches this server too: pages of other origins, also those that made their own name
  // point here, must not use it. Errors: "host_not_allowed", "origin_not_allowed".
  Status check_names(const RawRequest& raw) const;
  // Who asks; nothing when the server has no tokens. Errors: "token_missing", "token_unknown".
  Result<std::optional<Caller>> identify(const RawRequest& raw);
  // Whether the server has tokens.
  bool has_tokens() { return tokens_.needed(); }
  // Whether the caller's token has not been removed since.
  bool still_valid(const Caller& caller) { return tokens_.still_valid(caller); }

 private:
  bool allows(std::string_view name) const;

  std::vector<std::string> names_;
  bool any_address_ = false;
  TokenWatch tokens_;
};

}  // namespace bitloop::api
