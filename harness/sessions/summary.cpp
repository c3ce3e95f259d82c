#include "harness/sessions/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "harness/base/text.h"
#include "harness/sessions/decision.h"

namespace bitloop::sessions {
namespace {

using nlohmann::ordered_json;

constexpr size_t kDiffLines = 10;
constexpr size_t kLineBytes = 120;
constexpr size_t kDescriptionBytes = 300;
constexpr size_t kShortDescriptionBytes = 60;
constexpr size_t kGoalBytes = 300;
constexpr size_t kNewestTags = 20;
constexpr size_t kLeftOutDigits = 20;
// Of kMaxSummaryBytes: so much for ideas in full, and so much for all of them; the rest is for what
// stands beside them.
constexpr size_t kFullIdeasBytes = size_t{8} << 10;
constexpr size_t kIdeasBytes = size_t{11} << 10;

template <typename Value>
ordered_json or_null(const std::optional<Value>& value) {
  return value ? ordered_json(*value) : ordered_json();
}

size_t bytes_of(const ordered_json& document) {
  return document.dump(-1, ' ', false, ordered_json::error_handler_t::replace).size();
}

ordered_json tags_json(const SessionState& state, const std::optional<int64_t>& test) {
  ordered_json tags = ordered_json::array();
  for (const Tag& tag : state.tags)
    if (tag.test == test) tags.push_back(tag.tag);
  return tags;
}

ordered_json idea(const SessionState& state, const tasks::BaselineTable& table,
                  const TestRecord& test, size_t description_bytes) {
  ordered_json document = {
      {"test", test.number},
      {"description", shortened(single_line(test.description), description_bytes)},
      {"status", test.status},
      {"val_loss", or_null(test.row.val_loss)},
      {"bits_per_weight", or_null(test.row.bits_per_weight)},
      {"verdict", nullptr},
      {"tags", tags_json(state, test.number)}};
  if (!test.running()) document["verdict"] = decide(state.tests, test.number, table).verdict;
  return document;
}

}  // namespace

std::string shortened(const std::string& text, size_t most) {
  constexpr std::string_view kCut = "…";
  if (text.size() <= most) return text;
  size_t end = most - std::min(most, kCut.size());
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end) + std::string(kCut);
}

ordered_json diff_summary(std::string_view unified_diff, size_t most_lines) {
  int64_t added = 0;
  int64_t removed = 0;
  ordered_json lines = ordered_json::array();
  bool in_hunk = false;  // "--- a/path" and "+++ b/path" come before the first
  for (const std::string& line : split_lines(unified_diff)) {
    if (line.starts_with("@@")) in_hunk = true;
    if (!in_hunk || line.empty() || (line[0] != '+' && line[0] != '-')) continue;
    ++(line[0] == '+' ? added : removed);
    if (lines.size() < most_lines) lines.push_back(shortened(line, kLineBytes));
  }
  return {{"added", added}, {"removed", removed}, {"lines", lines}};
}

std::string next_step(const SessionState& state, const tasks::BaselineTable& table,
                      const CandidateNow& candidate) {
  const std::optional<int64_t>& same_as = candidate.same_as;
  if (state.closed)
    return fmt::format(
        "Nothing: test #{} is submitted. Begin another session (POST /v1/sessions), from one of "
        "these tests with \"from\": \"{}/{}\".",
        state.submitted.value_or(0), state.id, state.submitted.value_or(0));
  if (const TestRecord* running = state.running_test())
    return fmt::format(
        "Wait for test #{0} (GET …/tests/{0}?wait=30), then do as its decision says.",
        running->number);
  const std::optional<Score> best = best_of(state.tests, table);
  if (candidate.tests_left.value_or(state.tests_left()) == 0)
    return best ? fmt::format(
                      "Submit the best test, #{0} (POST …/submission {{\"test\": {0}}}): "
                      "the budget is used up.",
                      best->test)
                : std::string("Nothing: the budget is used up and no test ended as ok.");
  if (!same_as)
    return "Check the candidate (POST …/checks), then test it (POST …/tests) with the idea as its "
           "description: it is not one that was tested here.";
  if (best && *same_as != best->test) {
    const Decision decision = decide(state.tests, *same_as, table);
    return fmt::format("The candidate is that of test #{}. {}", *same_as, decision.advice);
  }
  return fmt::format(
      "Change one thing (POST …/edits): the candidate is that of test #{}{}. Or submit the best "
      "test when there is no better idea.",
      *same_as, best ? ", the best so far" : "");
}

ordered_json summarize(const SessionState& state, const tasks::BaselineTable& table,
                       const std::string& goal, const CandidateNow& candidate,
                       const std::function<Result<std::string>(const TestRecord& test)>& diff_of) {
  ordered_json best;
  if (const auto score = best_of(state.tests, table)) {
    const TestRecord& test = *state.find_test(score->test).value();
    best = idea(state, table, test, kDescriptionBytes);
    best["commit"] = test.commit;
  }
  ordered_json ideas = ordered_json::array();
  size_t bytes = 0;
  for (auto test = state.tests.rbegin(); test != state.tests.rend(); ++test) {
    ordered_json shown = idea(state, table, *test, kDescriptionBytes);
    if (bytes < kFullIdeasBytes) {
      const auto diff = diff_of(*test);
      shown["diff"] = diff ? diff_summary(*diff, kDiffLines) : ordered_json();
    }
    if (bytes + bytes_of(shown) > kFullIdeasBytes)
      shown = idea(state, table, *test, kShortDescriptionBytes);
    const size_t more = bytes_of(shown) + 1;
    if (bytes + more > kIdeasBytes) break;
    bytes += more;
    ideas.push_back(std::move(shown));
  }
  ordered_json own_tags = tags_json(state, {});
  while (own_tags.size() > kNewestTags) own_tags.erase(0);
  ordered_json document = {{"session", state.id},
                           {"task", state.task},
                           {"goal", shortened(goal, kGoalBytes)},
                           {"agent", state.agent},
                           {"state", word_for(state)},
                           {"forked_from", state.forked_from},
                           {"tests_total", state.tests_total},
                           {"tests_left", candidate.tests_left.value_or(state.tests_left())},
                           {"noise", or_null(noise_of(table))},
                           {"best", best},
                           {"candidate",
                            {{"commit", candidate.commit},
                             {"same_as", or_null(candidate.same_as)},
                             {"against_best", candidate.against_best}}},
                           {"next", next_step(state, table, candidate)},
                           {"tags", own_tags},
                           {"ideas", std::move(ideas)},
                           {"ideas_left_out", 0}};
  // What is quoted in JSON may be longer than it was, and the best may have many tags.
  ordered_json& shown = document["ideas"];
  while (!shown.empty() && bytes_of(document) > kMaxSummaryBytes - kLeftOutDigits)
    shown.erase(shown.size() - 1);
  document["ideas_left_out"] = state.tests.size() - shown.size();
  return document;
}

}  // namespace bitloop::sessions
