#include "harness/api/mcp/connection.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/base/text.h"

namespace bitloop::api::mcp {
namespace {

constexpr size_t kNameBytes = 16;

}  // namespace

void Connection::take_up(const std::string& session) {
  const std::lock_guard guard(mutex_);
  if (std::ranges::find(sessions_, session) == sessions_.end()) sessions_.push_back(session);
}

Result<std::string> Connection::only_session() const {
  const std::lock_guard guard(mutex_);
  if (sessions_.size() == 1) return sessions_.front();
  if (sessions_.empty()) return std::unexpected(session_missing());
  return fail("session_unclear",
              fmt::format("This connection has several sessions ({}); name yours in `session`.",
                          join(sessions_, ", ")));
}

Error session_missing() {
  return {"session_unclear",
          "Which session? Call begin(task=…) to start one, or give `session`, the id that begin "
          "returned; results() lists the sessions that exist."};
}

std::string Connections::add(std::shared_ptr<Connection> connection) {
  std::string name = random_hex(kNameBytes);
  const std::lock_guard guard(mutex_);
  if (kept_.size() >= kMost)
    kept_.erase(
        std::ranges::min_element(kept_, {}, [](const auto& entry) { return entry.second.used; }));
  kept_[name] = {std::move(connection), ++clock_};
  return name;
}

std::shared_ptr<Connection> Connections::find(const std::string& name) {
  const std::lock_guard guard(mutex_);
  const auto found = kept_.find(name);
  if (found == kept_.end()) return nullptr;
  found->second.used = ++clock_;
  return found->second.connection;
}

bool Connections::remove(const std::string& name) {
  const std::lock_guard guard(mutex_);
  return kept_.erase(name) > 0;
}

}  // namespace bitloop::api::mcp
