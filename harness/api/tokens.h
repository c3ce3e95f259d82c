// The tokens of a workspace: WORKSPACE/tokens.json, which `bitloop token` writes and a server
// reads. It holds a name, a role and a SHA-256 for each, never a token itself: 256 random bits need
// no slower hash.
//
//   {"schema_version": 1,
//    "tokens": [{"name": "ada", "role": "agent", "created": "2026-…Z", "sha256": "9f86d0…"}]}
//
// Once the file is there, it alone says who is let in, also when its list is empty.
#pragma once

#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/api/caller.h"
#include "harness/base/result.h"

namespace bitloop::api {

struct Token {
  std::string name;
  Role role = Role::kAgent;
  std::string created;
  std::string digest;  // SHA-256 of the token, in hexadecimal
};

const char* name_of(Role role);
// "agent" or "reviewer". Error: "bad_value".
Result<Role> parse_role(std::string_view name);

// The file of a workspace, for one who changes it. Processes that change it wait for each other.
class TokenFile {
 public:
  explicit TokenFile(std::filesystem::path workspace) : workspace_(std::move(workspace)) {}

  std::filesystem::path path() const { return workspace_ / "tokens.json"; }
  // The tokens, sorted by name; nothing when there is no file. Errors: "bad_document", "io_error".
  Result<std::optional<std::vector<Token>>> read() const;
  // Makes a token and returns it: the only time that anybody sees it. Errors: "bad_value" (a name
  // that is not 1 to 64 of A-Z a-z 0-9 . _ -, or is taken), those of read(), "disk_full".
  Result<std::string> add(const std::string& name, Role role);
  // Returns how many are left. Errors: "bad_value" (there is none of this name), those of read(),
  // "disk_full".
  Result<size_t> remove(const std::string& name);

 private:
  Status write(std::vector<Token> tokens) const;

  std::filesystem::path workspace_;
};

// The same file for a server: reads it again when it has changed. Thread-safe.
class TokenWatch {
 public:
  // An empty path: no tokens, ever.
  explicit TokenWatch(std::filesystem::path workspace);

  // Whether callers need a token. Once they do, they do for as long as the server lives: a file
  // that is taken away, or can't be read, lets nobody in.
  bool needed();
  // Whose token this is. All of them are compared, each in constant time.
  std::optional<Caller> find(std::string_view token);
  // Whether the caller's token has not been removed.
  bool still_valid(const Caller& caller);

 private:
  // Requires: mutex_ held.
  void refresh();

  const std::filesystem::path path_;  // of the file; "" for none
  std::mutex mutex_;
  std::string seen_;  // what tells this state of the file from others
  bool needed_ = false;
  std::vector<Token> tokens_;
};

}  // namespace bitloop::api
