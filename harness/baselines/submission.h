// A submission once more, under seeds that its agent could not know: which test that is, the runs
// it takes, and what they say. Shared by `bitloop verify` and the server, where the runs take their
// turns among the agents' tests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "harness/base/result.h"
#include "harness/baselines/plan.h"
#include "harness/baselines/verification.h"
#include "harness/journal/journal.h"

namespace bitloop::baselines {

// The test that is verified.
struct Submission {
  std::string session;
  sessions::TestRecord test;
  std::string candidate;
  std::string quantizer;
  tasks::Task task;
  nlohmann::json preset;  // as the test was trained, where its job is still there
};

// What a session submitted, or the test of it that is named. Errors: "session_not_found",
// "session_read_only" (the command line's: a person chose its seeds), "not_submitted",
// "test_not_found", "test_failed" (only one that ended ok has a score), "unknown_preset" (its task
// is no more), those of reading.
Result<Submission> find_submission(const journal::Journal& journal,
                                   const std::filesystem::path& workspace,
                                   const std::filesystem::path& share_dir, std::string_view session,
                                   std::optional<int64_t> test);

// Its runs under `seeds` hidden seeds; of those that the workspace has, how they ended. Errors:
// those of verification_secret and read_records.
Result<Plan> plan_verification(const Submission& submission, const std::filesystem::path& workspace,
                               int seeds);

struct VerificationReport {
  Verification verification;
  Judgement judgement;  // kUndecided while runs are left
  // {session, test, commit, standing, submitted, hidden, difference, noise, runs: [{seed, test,
  // status, val_loss}], notes}; a run's status is null before it starts. One without a test that
  // was "cancelled", or "infrastructure" ended, is trained again by whoever asks next.
  nlohmann::ordered_json document;
};
VerificationReport report_on(const Submission& submission, const Plan& plan);

}  // namespace bitloop::baselines
