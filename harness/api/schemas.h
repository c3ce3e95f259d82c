// JSON Schemas of the documents that the API answers with: of the calls' answers in openapi.json,
// and, within the tools' own, of MCP's structured content.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace bitloop::api::schemas {

using Members = std::vector<std::pair<std::string, nlohmann::ordered_json>>;

// Parts to build with.
nlohmann::ordered_json typed(const char* type, const char* description);
nlohmann::ordered_json nullable(const char* type, const char* description);
nlohmann::ordered_json list_of(nlohmann::ordered_json items, const char* description);
// An object whose members are all always there; a missing number is null.
nlohmann::ordered_json object_of(Members members);

nlohmann::ordered_json session_id();
nlohmann::ordered_json editable();
nlohmann::ordered_json file();  // of a session's list
nlohmann::ordered_json event();

Members test_members();
Members session_members();  // without files and history
Members view_members();     // of a file, without its plain content
Members edit_members();
Members check_members();
Members summary_members();

nlohmann::ordered_json health();
nlohmann::ordered_json task();
nlohmann::ordered_json row();  // of the ledger
nlohmann::ordered_json session();
nlohmann::ordered_json new_session();     // without history
nlohmann::ordered_json listed_session();  // of the list of sessions
nlohmann::ordered_json file_view();
nlohmann::ordered_json diff();
nlohmann::ordered_json edit();
nlohmann::ordered_json check();
nlohmann::ordered_json test();
nlohmann::ordered_json tags();
nlohmann::ordered_json summary();
nlohmann::ordered_json verification();

}  // namespace bitloop::api::schemas
