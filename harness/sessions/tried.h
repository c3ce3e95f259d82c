// Which candidates were tested before, so that an edit which makes one of them again, or a check of
// one that does the same, can say so before a test is spent on it.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/base/result.h"
#include "harness/sessions/digest.h"
#include "harness/sessions/short_digest.h"
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
  TriedTests() = default;
  TriedTests(const TriedTests&) = delete;
  TriedTests& operator=(const TriedTests&) = delete;

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
  // Of a test is kept what stands in Kept, and a mark for each of its digests: some 250 bytes in
  // all, for a server has all tests of its journal here.
  using Owner = std::pair<const std::string, std::string>;  // a session's id, when it was created
  struct Kept {
    const Owner* session;       // in sessions_
    const std::string* status;  // in statuses_
    int64_t number = 0;
    std::optional<double> val_loss;
  };
  // A digest among those of a task and token, and a test that has it.
  struct Mark {
    ShortDigest name;
    uint32_t test;  // in tests_
  };
  // Marks stand by their names, and of one name by age: when the session was created, its id, the
  // number.
  struct Place {
    ShortDigest name;
    std::string_view created, session;
    int64_t number = 0;
    auto operator<=>(const Place&) const = default;
  };
  struct ByPlace {
    using is_transparent = void;
    const TriedTests* all;
    Place operator()(const Mark& mark) const;
    bool operator()(const Mark& a, const Mark& b) const { return (*this)(a) < (*this)(b); }
    bool operator()(const Place& a, const Mark& b) const { return a < (*this)(b); }
    bool operator()(const Mark& a, const Place& b) const { return (*this)(a) < b; }
    bool operator()(const ShortDigest& a, const Mark& b) const { return a < b.name; }
    bool operator()(const Mark& a, const ShortDigest& b) const { return a.name < b; }
  };
  enum class What : char { kExact = 'e', kMeaning = 'm', kBehaviour = 'b' };

  static ShortDigest name_of(const SessionState& session, What what, std::string_view digest);
  // The newest test of this name that is the session's own, or that is not. Requires: mutex_ held.
  std::optional<Found> newest(const ShortDigest& name, const SessionState& session,
                              bool elsewhere) const;

  mutable std::mutex mutex_;
  std::map<std::string, std::string> sessions_;
  std::set<std::string> statuses_;
  std::vector<Kept> tests_;
  std::set<Mark, ByPlace> marks_{ByPlace{this}};
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
