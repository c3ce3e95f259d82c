// What an agent is told of what was tried before.
#include <algorithm>

#include "harness/sessions/service_impl.h"

namespace bitloop::sessions {

const tasks::BaselineTable& Service::Impl::table_of(const SessionState& state) const {
  static const tasks::BaselineTable kNothing;
  const auto found = std::ranges::find(tasks, state.task, &tasks::Task::name);
  return found == tasks.end() ? kNothing : found->measured;
}

}  // namespace bitloop::sessions
