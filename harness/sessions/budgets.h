// How many tests each token has used on each task. The sessions of a token, forks among them, draw
// on one budget, so that nobody gets more tests by beginning more sessions. What the journal says
// is counted at the start; a test is taken here before it is committed, so two sessions can't both
// take the last one.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace bitloop::sessions {

// Without a token ("") nothing is counted. Thread-safe; no other lock is taken while its own is
// held.
class Budgets {
 public:
  // Counts tests that were charged before.
  void charge(const std::string& token, const std::string& task, int64_t tests);
  // Takes one test, unless `most` are used.
  [[nodiscard]] bool take(const std::string& token, const std::string& task, int64_t most);
  void give_back(const std::string& token, const std::string& task);
  int64_t used(const std::string& token, const std::string& task) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, int64_t> used_;  // by token and task
};

}  // namespace bitloop::sessions
