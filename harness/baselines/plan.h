// What is to be trained: each candidate under each seed, and which of it earlier runs have done.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/sessions/state.h"
#include "harness/tasks/tasks.h"

namespace bitloop::baselines {

struct Candidate {
  std::string name;  // of the file, without .lua
  std::string text;
  std::string description = {};  // of its runs in the ledger; "": the quantizer's own words
};

struct PlannedRun {
  size_t candidate = 0;  // its index
  int64_t seed = 0;
  std::string fingerprint;  // sessions::fingerprint
  std::string session;      // where the run is, once there is one: "baseline" or "local" …
  int64_t test = 0;         // … and its number there; 0: not started
  std::optional<sessions::TestRecord> done = {};  // how it ended
  std::string lost = {};  // how its newest run ended that says nothing and is to be trained again
};

struct Plan {
  tasks::Task task;
  nlohmann::json preset;
  std::vector<Candidate> candidates;
  std::vector<int64_t> seeds;
  std::vector<PlannedRun> runs;  // seed by seed, so that a part of them compares all candidates

  size_t left() const;  // runs that have not ended
};

Plan make_plan(const tasks::Task& task, const nlohmann::json& preset,
               std::vector<Candidate> candidates, std::vector<int64_t> seeds);
// The seeds are first_seed, first_seed + 1, …
Plan make_plan(const tasks::Task& task, const nlohmann::json& preset,
               std::vector<Candidate> candidates, int64_t first_seed, int seeds);

// Whether a run that ended like this need not be repeated: with a score; or with the candidate's
// own failure, which the same program would only repeat (`version`: this program's, as the ledger
// writes it).
bool is_final(const sessions::TestRecord& record, const std::string& version);

// Marks what the records (of one session) have done already, or are doing (`test` set, `done` not).
// A run that is done stays so.
void take_records(Plan& plan, const std::string& session,
                  std::span<const sessions::TestRecord> records, const std::string& version);

}  // namespace bitloop::baselines
