// The session's memory in one compact document, for an agent that lost its context: what was tried
// and what came of it, what the candidate is now, what to do next. Bounded: when there is more to
// tell, the oldest ideas are shortened, then left out (never the best, which has a place of its
// own).
#pragma once

#include <cstddef>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "harness/base/result.h"
#include "harness/sessions/state.h"
#include "harness/tasks/baselines.h"

namespace bitloop::sessions {

constexpr size_t kMaxSummaryBytes = size_t{16} << 10;

// A diff in few words: {added, removed, lines}, the first changed lines with their sign, cut to
// `most_lines` of at most 120 bytes. From a unified diff; "" has zeros and no lines.
nlohmann::ordered_json diff_summary(std::string_view unified_diff, size_t most_lines);

// `text` cut to at most `most` bytes, at the border of a character, with "…" where it was cut.
std::string shortened(const std::string& text, size_t most);

// What the candidate is now.
struct CandidateNow {
  std::string commit;                   // the session's newest
  std::optional<int64_t> same_as;       // the newest test of this very text
  nlohmann::ordered_json against_best;  // diff_summary() against the best test, null without one
  // Tests that may still be started, where the session's token used some elsewhere.
  std::optional<int64_t> tests_left = {};
};

// The one thing to do next, as a sentence.
std::string next_step(const SessionState& state, const tasks::BaselineTable& table,
                      const CandidateNow& candidate);

// The document: {session, task, goal, agent, state, forked_from, tests_total, tests_left, noise,
// best, candidate, next, tags, ideas, ideas_left_out}; ideas newest first. `diff_of` gives the
// unified diff of a test's candidate against the one before it (of test 1: against the start); it
// is asked only for ideas that are shown in full.
nlohmann::ordered_json summarize(
    const SessionState& state, const tasks::BaselineTable& table, const std::string& goal,
    const CandidateNow& candidate,
    const std::function<Result<std::string>(const TestRecord& test)>& diff_of);

}  // namespace bitloop::sessions
