// The output schemas of the tools: JSON Schema of what their `structuredContent` holds.
#pragma once

#include <nlohmann/json.hpp>

namespace bitloop::api::mcp {

nlohmann::ordered_json begin_schema();
nlohmann::ordered_json view_schema();
nlohmann::ordered_json edit_schema();  // of undo and revert too
nlohmann::ordered_json check_schema();
nlohmann::ordered_json test_schema();  // of submit too
nlohmann::ordered_json results_schema();
nlohmann::ordered_json summary_schema();

}  // namespace bitloop::api::mcp
