// The texts of the tools' answers: what an agent reads where a program reads the structured
// content. Edits and tests speak for themselves (`message`, `view`); these are the others.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace bitloop::api::mcp {

// Of begin: `answer` is its structured content.
std::string begin_text(const nlohmann::ordered_json& answer);
// Of check: the verdict, then a line a finding.
std::string check_text(const nlohmann::ordered_json& check);
// Of test: its message, and while it runs, `progress` and what to do next.
std::string test_text(const nlohmann::ordered_json& test, const std::string& progress);
// Of summary: a line an idea, the first lines of its change below it.
std::string summary_text(const nlohmann::ordered_json& summary);
// Of edit, undo and revert: message, warnings, view.
std::string change_text(const nlohmann::ordered_json& change);
// Of results: the state of the session or the list of sessions, then a table.
std::string results_text(const nlohmann::ordered_json& answer);

}  // namespace bitloop::api::mcp
