#include "harness/sessions/budgets.h"

#include <algorithm>

#include "harness/sessions/service_impl.h"

namespace bitloop::sessions {

void Budgets::charge(const std::string& token, const std::string& task, int64_t tests) {
  if (token.empty()) return;
  const std::lock_guard guard(mutex_);
  used_[{token, task}] += tests;
}

bool Budgets::take(const std::string& token, const std::string& task, int64_t most) {
  if (token.empty()) return true;
  const std::lock_guard guard(mutex_);
  int64_t& used = used_[{token, task}];
  if (used >= most) return false;
  ++used;
  return true;
}

void Budgets::give_back(const std::string& token, const std::string& task) {
  charge(token, task, -1);
}

int64_t Budgets::used(const std::string& token, const std::string& task) const {
  const std::lock_guard guard(mutex_);
  const auto found = used_.find({token, task});
  return found == used_.end() ? 0 : found->second;
}

int64_t Service::Impl::tests_elsewhere(const std::string& token, const std::string& task,
                                       int64_t charged_here) const {
  if (token.empty()) return 0;
  return std::max<int64_t>(0, budgets.used(token, task) - charged_here);
}

int64_t Service::Impl::tests_elsewhere(const SessionState& state) const {
  return tests_elsewhere(state.token, state.task, state.tests_charged());
}

int64_t Service::Impl::tests_left(const Session& session) const {
  if (session.rests()) {
    const SessionCard& card = *session.card;
    const auto task = find_task(card.task);
    if (session.token.empty() || !task) return card.tests_left;
    const int64_t elsewhere = tests_elsewhere(session.token, card.task, card.tests_charged);
    return std::clamp<int64_t>(task->tests - elsewhere - card.tests_charged, 0, card.tests_left);
  }
  const SessionState& state = *session.state;
  const auto task = find_task(state.task);
  if (state.token.empty() || !task) return state.tests_left();
  const int64_t elsewhere = session.is_past ? state.tests_elsewhere : tests_elsewhere(state);
  return state.tests_left(task->tests, elsewhere);
}

}  // namespace bitloop::sessions
