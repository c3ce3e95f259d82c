#include "harness/api/tokens.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "harness/base/fd.h"
#include "harness/base/sha256.h"
#include "harness/base/text.h"

namespace bitloop::api {
namespace {

using nlohmann::json;

constexpr const char* kPrefix = "bl_";  // a token in the wrong place is known for what it is
constexpr size_t kTokenBytes = 32;
constexpr size_t kMaxNameBytes = 64;
constexpr size_t kMaxFileBytes = size_t{4} << 20;
constexpr unsigned kOwnerOnly = 0600;

std::string digest_of(std::string_view token) {
  Sha256 hash;
  hash.add(token);
  return hash.finish();
}

// Takes as long wherever they differ. Digests all have the same length, which is no secret.
bool equal_in_constant_time(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i)
    difference = static_cast<unsigned char>(difference | (a[i] ^ b[i]));
  const volatile unsigned char settled = difference;  // no early end by the compiler either
  return settled == 0;
}

Status check_name(const std::string& name) {
  constexpr std::string_view kAllowed =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  if (name.empty() || name.size() > kMaxNameBytes ||
      name.find_first_not_of(kAllowed) != std::string::npos)
    return fail("bad_value",
                fmt::format("The name of a token is 1 to {} of the characters A-Z a-z 0-9 . _ -; "
                            "choose another one.",
                            kMaxNameBytes));
  return {};
}

Result<std::vector<Token>> parse(const std::string& text, const std::filesystem::path& path) {
  try {
    const json document = json::parse(text);
    std::vector<Token> tokens;
    for (const json& item : document.at("tokens")) {
      BITLOOP_ASSIGN(role, parse_role(item.at("role").get<std::string>()));
      tokens.push_back({item.at("name"), role, item.at("created"), item.at("sha256")});
    }
    return tokens;
  } catch (const json::exception& error) {
    return fail("bad_document", fmt::format("{} is not a file of tokens ({}); restore it, or move "
                                            "it away and add the tokens again.",
                                            path.string(), error.what()));
  }
}

}  // namespace

const char* name_of(Role role) { return role == Role::kAgent ? "agent" : "reviewer"; }

Result<Role> parse_role(std::string_view name) {
  for (const Role role : {Role::kAgent, Role::kReviewer})
    if (name == name_of(role)) return role;
  return fail("bad_value", fmt::format("'{}' is not a role; the roles are agent and reviewer.",
                                       name.substr(0, 60)));
}

Result<std::optional<std::vector<Token>>> TokenFile::read() const {
  const auto text = read_file(path(), kMaxFileBytes);
  if (!text && text.error().code == "file_not_found") return std::nullopt;
  if (!text) return std::unexpected(text.error());
  BITLOOP_ASSIGN(tokens, parse(*text, path()));
  return tokens;
}

Status TokenFile::write(std::vector<Token> tokens) const {
  std::ranges::sort(tokens, {}, &Token::name);
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Token& token : tokens)
    list.push_back({{"name", token.name},
                    {"role", name_of(token.role)},
                    {"created", token.created},
                    {"sha256", token.digest}});
  const nlohmann::ordered_json document = {{"schema_version", 1}, {"tokens", list}};
  return write_secret_atomic(path(), document.dump(1) + "\n");
}

namespace {

// Held by whoever changes the file, so that no change is lost; the file itself is replaced.
Result<UniqueFd> lock_file(const std::filesystem::path& workspace) {
  std::error_code error;
  std::filesystem::create_directories(workspace, error);
  BITLOOP_ASSIGN(fd, open_file(workspace / "tokens.lock", O_RDWR | O_CREAT, kOwnerOnly));
  if (::flock(fd.get(), LOCK_EX) != 0) return std::unexpected(errno_error("tokens.lock", errno));
  return fd;
}

}  // namespace

Result<std::string> TokenFile::add(const std::string& name, Role role) {
  BITLOOP_TRY(check_name(name));
  BITLOOP_ASSIGN(lock, lock_file(workspace_));
  BITLOOP_ASSIGN(known, read());
  std::vector<Token> tokens = known.value_or(std::vector<Token>());
  if (std::ranges::find(tokens, name, &Token::name) != tokens.end())
    return fail("bad_value",
                fmt::format("There is a token '{}' already; to replace it, remove it first: "
                            "bitloop token remove {}.",
                            name, name));
  const std::string secret = kPrefix + random_hex(kTokenBytes);
  tokens.push_back({name, role, utc_now(), digest_of(secret)});
  BITLOOP_TRY(write(std::move(tokens)));
  return secret;
}

Result<size_t> TokenFile::remove(const std::string& name) {
  const auto none = [&] {
    return fail("bad_value", fmt::format("There is no token '{}' in {}; `bitloop token list` shows "
                                         "those there are.",
                                         single_line(name.substr(0, 80)), path().string()));
  };
  BITLOOP_ASSIGN(before, read());
  if (!before) return none();
  BITLOOP_ASSIGN(lock, lock_file(workspace_));
  BITLOOP_ASSIGN(known, read());
  std::vector<Token> tokens = known.value_or(std::vector<Token>());
  if (std::erase_if(tokens, [&](const Token& token) { return token.name == name; }) == 0)
    return none();
  const size_t left = tokens.size();
  BITLOOP_TRY(write(std::move(tokens)));
  return left;
}

TokenWatch::TokenWatch(std::filesystem::path workspace)
    : path_(workspace.empty() ? workspace : TokenFile(workspace).path()) {}

void TokenWatch::refresh() {
  if (path_.empty()) return;
  struct stat status {};
  std::string now;
  if (::stat(path_.c_str(), &status) == 0)
    now = fmt::format("{} {} {} {}.{} {}.{}", status.st_dev, status.st_ino, status.st_size,
                      status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec,
                      status.st_ctim.tv_nsec);
  else if (errno != ENOENT)
    now = "unreadable";
  if (now == seen_) return;
  seen_ = now;
  tokens_.clear();
  const auto read = TokenFile(path_.parent_path()).read();
  if (!read) {
    spdlog::error("nobody is let in: {}", read.error().message);
    needed_ = true;
  } else if (*read) {
    tokens_ = **read;
    needed_ = true;
  } else if (needed_) {
    spdlog::warn("{} is gone; nobody is let in until the server is started anew", path_.string());
  }
}

bool TokenWatch::needed() {
  const std::lock_guard guard(mutex_);
  refresh();
  return needed_;
}

std::optional<Caller> TokenWatch::find(std::string_view token) {
  const std::string digest = digest_of(token);
  const std::lock_guard guard(mutex_);
  refresh();
  std::optional<Caller> caller;
  for (const Token& known : tokens_)
    if (equal_in_constant_time(known.digest, digest))
      caller = Caller{known.name, known.role, known.digest};
  return caller;
}

bool TokenWatch::still_valid(const Caller& caller) {
  const std::lock_guard guard(mutex_);
  refresh();
  return std::ranges::any_of(tokens_, [&](const Token& token) {
    return token.digest == caller.digest && token.role == caller.role;
  });
}

}  // namespace bitloop::api
