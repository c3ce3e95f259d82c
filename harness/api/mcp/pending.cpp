#include "harness/api/mcp/pending.h"

namespace bitloop::api::mcp {

CancelFlag Pending::begin(const nlohmann::json& id) {
  auto flag = std::make_shared<std::atomic<bool>>(false);
  const std::lock_guard guard(mutex_);
  flags_[id.dump()] = flag;
  return flag;
}

void Pending::end(const nlohmann::json& id, const CancelFlag& flag) {
  const std::lock_guard guard(mutex_);
  const auto found = flags_.find(id.dump());
  if (found != flags_.end() && found->second == flag) flags_.erase(found);
}

void Pending::cancel(const nlohmann::json& id) {
  const std::lock_guard guard(mutex_);
  const auto found = flags_.find(id.dump());
  if (found != flags_.end()) *found->second = true;
}

void Pending::take_notice(const Message& notification) {
  if (notification.method == "notifications/cancelled")
    cancel(notification.params.value("requestId", nlohmann::json()));
}

void Pending::cancel_all() {
  const std::lock_guard guard(mutex_);
  for (const auto& [id, flag] : flags_) *flag = true;
}

}  // namespace bitloop::api::mcp
