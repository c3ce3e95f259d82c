// Which candidates were tested before, so that an edit which makes one of them again, or a check of
// one that does the same, can say so before a test is spent on it.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "harness/base/result.h"
#include "harness/sessions/digest.h"
#include "harness/sessions/state.h"

namespace bitloop::sessions {

// A test of a candidate that has ended by the candidate's own doing.
struct Tried {
  std::string session;
  int64_t test = 0;
  std::string status;
  std::optional<double> val_loss;
};

// The tests of all agents' sessions, found by what they tested. What one token tried is not for
// another to know, and scores of different tasks are not comparable: tests are kept apart by both.
// Thread-safe; no other lock is taken while its own is held.
class TriedTests {
 public:
  // A session's test that has ended. One that the machine or a person ended, and those of the
  // command line, whose steps and seeds may differ, are passed over.
  void add(const SessionState& session, const TestRecord& test);

  struct Found {
    Tried test;
    bool exact = false;      // the same bytes, not only the same tokens
    bool elsewhere = false;  // in another session
  };
  // The test of this candidate that this session is best reminded of: its own before others',
  // the same bytes before the same tokens, the newest of several (of others': of the newest
  // session).
  std::optional<Found> find(const SessionState& session, const Digest& candidate) const;
  // The same for candidates with this digest of behaviour; nothing for "".
  std::optional<Found> find_behaviour(const SessionState& session,
                                      const std::string& behaviour) const;

 private:
  // By age: when its session was created, the session, the number.
  using Age = std::tuple<std::string, std::string, int64_t>;
  using Tests = std::map<Age, Tried>;
  struct Group {
    std::map<std::string, Tests> exact, meaning, behaviour;
  };
  using Key = std::pair<std::string, std::string>;  // task, token

  static std::optional<Found> newest(const std::map<std::string, Tests>& index,
                                     const std::string& digest, const std::string& session,
                                     bool elsewhere);
  const Group* group_of(const SessionState& session) const;  // Requires: mutex_ held

  mutable std::mutex mutex_;
  std::map<Key, Group> groups_;
};

// What an edit of this session from `before` to `after` is warned of: that it changes nothing (or
// nothing but comments and white space); that `after` was tested. At most a sentence of each.
std::vector<std::string> warnings_of(std::string_view before, std::string_view after,
                                     const SessionState& session, const TriedTests& tests);

// What a check of a candidate with this digest of behaviour is warned of: that a tested one did the
// same. Nothing for "".
std::optional<std::string> behaviour_warning(const std::string& behaviour,
                                             const SessionState& session, const TriedTests& tests);

}  // namespace bitloop::sessions
