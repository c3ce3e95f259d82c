#include "harness/api/traffic.h"

namespace bitloop::api {

std::shared_ptr<void> Traffic::enter(const std::string& caller) {
  const std::lock_guard guard(state_->mutex);
  size_t& taken = state_->taken[caller];
  if (taken >= state_->most) return nullptr;
  ++taken;
  return {state_.get(), [state = state_, caller](void*) {
            const std::lock_guard free(state->mutex);
            if (--state->taken[caller] == 0) state->taken.erase(caller);
          }};
}

}  // namespace bitloop::api
