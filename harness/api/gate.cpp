#include "harness/api/gate.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "harness/api/dispatcher.h"

namespace bitloop::api {
namespace {

constexpr std::string_view kScheme = "bearer ";

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

// "localhost" of "localhost:8080", "::1" of "http://[::1]:80".
std::string_view host_part(std::string_view name) {
  if (const size_t scheme = name.find("://"); scheme != std::string_view::npos)
    name.remove_prefix(scheme + 3);
  if (name.starts_with('[')) {
    const size_t end = name.find(']');
    const bool ends_well =
        end != std::string_view::npos && (end + 1 == name.size() || name[end + 1] == ':');
    return ends_well ? name.substr(1, end - 1) : "";
  }
  return name.substr(0, name.find(':'));
}

bool is_address(const std::string& name) {
  unsigned char bytes[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, name.c_str(), bytes) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), bytes) == 1;
}

}  // namespace

bool is_loopback(std::string_view address) {
  const std::string name = lower(address);
  in_addr bytes{};
  if (::inet_pton(AF_INET, name.c_str(), &bytes) == 1) return ntohl(bytes.s_addr) >> 24 == 127;
  return name == "localhost" || name == "::1";
}

Gate::Gate(const GateOptions& options)
    : names_({"localhost", "127.0.0.1", "::1", lower(options.listens_on)}),
      any_address_(options.listens_on == "0.0.0.0" || options.listens_on == "::"),
      tokens_(options.workspace) {
  for (const std::string& name : options.names) names_.push_back(lower(name));
}

bool Gate::allows(std::string_view given) const {
  const std::string name = lower(host_part(given));
  if (std::ranges::find(names_, name) != names_.end()) return true;
  // Who listens on every address is reached under any of them; a page's name cannot be one.
  return any_address_ && is_address(name);
}

Status Gate::check_names(const RawRequest& raw) const {
  if (!raw.host.empty() && !allows(raw.host))
    return fail("host_not_allowed",
                "Ask for this server under the address that it listens on, as 127.0.0.1 or "
                "localhost, or start it with --allow-host for another name.");
  if (!raw.origin.empty() && !allows(raw.origin))
    return fail("origin_not_allowed", "Web pages of other origins may not use this server.");
  return {};
}

Result<std::optional<Caller>> Gate::identify(const RawRequest& raw) {
  if (!tokens_.needed()) return std::nullopt;
  const auto header = raw.headers.find("authorization");
  if (header == raw.headers.end() || !lower(header->second).starts_with(kScheme))
    return fail("token_missing",
                "Send the header Authorization: Bearer and your token (bitloop mcp --url takes it "
                "from BITLOOP_TOKEN); `bitloop token add NAME --role agent` makes one.");
  std::string_view token = std::string_view(header->second).substr(kScheme.size());
  while (token.starts_with(' ')) token.remove_prefix(1);
  while (token.ends_with(' ')) token.remove_suffix(1);
  const auto caller = tokens_.find(token);
  if (!caller)
    return fail("token_unknown",
                "This token is not (or no longer) one of this server's; ask whoever runs it for "
                "another: `bitloop token add NAME --role agent` makes one.");
  return caller;
}

}  // namespace bitloop::api
