// A session as data: what session.json holds in every commit of its branch, so that the newest
// commit alone gives the session back.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/ledger/row.h"
#include "harness/sessions/digest.h"
#include "harness/sessions/tag.h"

namespace bitloop::sessions {

constexpr const char* kRunning = "running";
constexpr const char* kInfrastructure = "infrastructure";
constexpr const char* kOutOfMemory = "out_of_memory";
constexpr const char* kCancelled = "cancelled";

// One charged execution of the candidate.
struct TestRecord {
  int64_t number = 0;  // from 1
  std::string commit;  // of its test-started event; "" in that commit's own session.json
  std::string status;  // "running" until it has ended
  std::string stages;  // the message below its first line
  int64_t seed = 0;
  std::string description;
  // Of the command line's runs, each of which has its own; "" where the session's holds.
  std::string task, quantizer;
  std::string fingerprint;  // of what was trained (job.h); "" for agents' tests
  Digest digest;            // of the candidate
  std::string behaviour;    // the trainer's digest of what the candidate does; "" for none
  ledger::Row row;          // meaningful once it has ended

  bool running() const { return status == kRunning; }
};

// The sessions of the command line have the names of their types: they hold the runs of `bitloop
// train`, `bitloop baseline` and `bitloop verify`, have no budget, and are written by the command
// line alone.
constexpr const char* kLocalType = "local";
constexpr const char* kBaselineType = "baseline";
constexpr const char* kVerifyType = "verify";
inline bool is_of_command_line(const std::string& type) {
  return type == kLocalType || type == kBaselineType || type == kVerifyType;
}

struct SessionState {
  std::string id;
  std::string task;
  std::string quantizer;  // what the candidate started from
  std::string agent;
  std::string type;  // the ledger's column: "agent" or one of the command line's
  std::string created;
  std::string created_key;      // the Idempotency-Key that it was made under, "" without one
  std::string created_request;  // journal::content_id of that request's body
  std::string token;            // the name of the token that made it, "" without one
  std::string forked_from;      // "session/test", "" when it began with a quantizer
  std::vector<Tag> tags;        // oldest first
  int64_t tests_total = 0;      // the budget
  int64_t tests_elsewhere = 0;  // charged to its token's other sessions on the task, at that commit
  bool closed = false;
  std::optional<int64_t> submitted;
  std::vector<std::string> undo;  // for each edit not taken back: the commit before it
  std::vector<TestRecord> tests;

  // Tests that were charged: only `infrastructure` is given back.
  int64_t tests_charged() const;
  // Tests that may still be started, whatever happens in other sessions.
  int64_t tests_left() const;
  // The same where the session's token has `task_tests` for the task, of which so many were charged
  // to its other sessions.
  int64_t tests_left(int64_t task_tests, int64_t elsewhere) const;
  // The test that has not ended, or nullptr.
  const TestRecord* running_test() const;
  // Error: "test_not_found".
  Result<const TestRecord*> find_test(int64_t number) const;
};

// "open", "testing" or "closed".
const char* word_for(const SessionState& state);

// session.json and back. Error: "journal_unreadable".
std::string render_state(const SessionState& state);
Result<SessionState> parse_state(const std::string& text);

}  // namespace bitloop::sessions
