#include "harness/api/mcp/schemas.h"

#include <string>
#include <utility>

#include "harness/api/schemas.h"

namespace bitloop::api::mcp {

using nlohmann::ordered_json;
using namespace schemas;

namespace {

// The tools' documents say whose they are.
ordered_json on_session(Members members) {
  members.insert(members.begin(), {"session", session_id()});
  return object_of(std::move(members));
}

}  // namespace

ordered_json begin_schema() {
  return object_of({{"session", session_id()},
                    {"state", listed_session()},
                    {"files", list_of(file(), "the candidate first; others are read-only")},
                    {"task", typed("object", "rules, budget, baselines, allowed config")},
                    {"view", typed("string", "the candidate, with line numbers")}});
}

ordered_json view_schema() { return on_session(view_members()); }
ordered_json edit_schema() { return on_session(edit_members()); }
ordered_json check_schema() { return on_session(check_members()); }
ordered_json test_schema() { return on_session(test_members()); }
ordered_json summary_schema() { return summary(); }

ordered_json results_schema() {
  ordered_json listed = object_of({{"id", session_id()},
                                   {"task", typed("string", "what is optimised")},
                                   {"agent", typed("string", "who works there")},
                                   {"state", typed("string", "open, testing or closed")},
                                   {"tests_left", typed("integer", "of its budget")}});
  ordered_json schema =
      object_of({{"results", list_of(typed("object", "a row, named as the ledger's columns"),
                                     "finished tests, lowest val_loss first")}});
  schema["properties"]["session"] = session_id();
  schema["properties"]["state"] = listed_session();
  schema["properties"]["history"] = list_of(event(), "the session's events, oldest first");
  schema["properties"]["sessions"] =
      list_of(std::move(listed), "where no session was given: all of them");
  return schema;
}

}  // namespace bitloop::api::mcp
