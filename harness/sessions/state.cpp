#include "harness/sessions/state.h"

#include <fmt/format.h>

#include <algorithm>

namespace bitloop::sessions {

using nlohmann::json;

int64_t SessionState::tests_charged() const {
  return std::count_if(tests.begin(), tests.end(),
                       [](const TestRecord& test) { return test.status != kInfrastructure; });
}

int64_t SessionState::tests_left() const {
  return std::max<int64_t>(0, tests_total - tests_charged());
}

int64_t SessionState::tests_left(int64_t task_tests, int64_t elsewhere) const {
  if (token.empty()) return tests_left();
  return std::clamp<int64_t>(task_tests - elsewhere - tests_charged(), 0, tests_left());
}

const TestRecord* SessionState::running_test() const {
  for (const TestRecord& test : tests)
    if (test.running()) return &test;
  return nullptr;
}

Result<const TestRecord*> SessionState::find_test(int64_t number) const {
  for (const TestRecord& test : tests)
    if (test.number == number) return &test;
  return fail("test_not_found", fmt::format("Session {} has no test #{}; it has {} test(s) so far.",
                                            id, number, tests.size()));
}

const char* word_for(const SessionState& state) {
  return state.closed ? "closed" : state.running_test() != nullptr ? "testing" : "open";
}

std::string render_state(const SessionState& state) {
  json tests = json::array();
  for (const TestRecord& test : state.tests)
    tests.push_back({{"test", test.number},
                     {"commit", test.commit},
                     {"status", test.status},
                     {"stages", test.stages},
                     {"seed", test.seed},
                     {"description", test.description},
                     {"task", test.task},
                     {"quantizer", test.quantizer},
                     {"fingerprint", test.fingerprint},
                     {"candidate_bytes", test.digest.exact},
                     {"candidate_tokens", test.digest.meaning},
                     {"behaviour", test.behaviour},
                     {"row", test.running() ? json() : ledger::to_json(test.row)}});
  json tags = json::array();
  for (const Tag& tag : state.tags)
    tags.push_back({{"tag", tag.tag}, {"test", tag.test ? json(*tag.test) : json()}});
  const nlohmann::ordered_json document = {
      {"schema_version", 1},
      {"id", state.id},
      {"task", state.task},
      {"quantizer", state.quantizer},
      {"agent", state.agent},
      {"type", state.type},
      {"created", state.created},
      {"created_key", state.created_key},
      {"created_request", state.created_request},
      {"token", state.token},
      {"forked_from", state.forked_from},
      {"tags", tags},
      {"tests_total", state.tests_total},
      {"tests_elsewhere", state.tests_elsewhere},
      {"closed", state.closed},
      {"submitted", state.submitted ? json(*state.submitted) : json()},
      {"undo", state.undo},
      {"tests", tests},
  };
  return document.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<SessionState> parse_state(const std::string& text) {
  try {
    const json document = json::parse(text);
    SessionState state;
    state.id = document.at("id");
    state.task = document.at("task");
    state.quantizer = document.at("quantizer");
    state.agent = document.at("agent");
    state.type = document.at("type");
    state.created = document.at("created");
    state.created_key = document.value("created_key", "");  // older workspaces have none
    state.created_request = document.value("created_request", "");
    state.token = document.value("token", "");
    state.forked_from = document.value("forked_from", "");
    for (const json& item : document.value("tags", json::array()))
      state.tags.push_back({item.at("tag"), item.at("test").is_null()
                                                ? std::nullopt
                                                : std::optional(item["test"].get<int64_t>())});
    state.tests_total = document.at("tests_total");
    state.tests_elsewhere = document.value("tests_elsewhere", int64_t{0});
    state.closed = document.at("closed");
    if (!document.at("submitted").is_null()) state.submitted = document["submitted"].get<int64_t>();
    state.undo = document.at("undo").get<std::vector<std::string>>();
    for (const json& item : document.at("tests")) {
      TestRecord test;
      test.number = item.at("test");
      test.commit = item.at("commit");
      test.status = item.at("status");
      test.stages = item.at("stages");
      test.seed = item.at("seed");
      test.description = item.at("description");
      test.task = item.value("task", "");  // older workspaces lack some of these
      test.quantizer = item.value("quantizer", "");
      test.fingerprint = item.value("fingerprint", "");
      test.digest = {item.value("candidate_bytes", ""), item.value("candidate_tokens", "")};
      test.behaviour = item.value("behaviour", "");
      if (!item.at("row").is_null()) {
        BITLOOP_ASSIGN(row, ledger::row_from_json(item["row"]));
        test.row = std::move(row);
      }
      state.tests.push_back(std::move(test));
    }
    return state;
  } catch (const json::exception& error) {
    return fail("journal_unreadable", fmt::format("session.json cannot be read: {}", error.what()));
  }
}

}  // namespace bitloop::sessions
