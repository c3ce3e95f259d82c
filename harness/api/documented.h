// What openapi.json says of each call beyond its route: the schema of its answer, and examples.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/api/route.h"

namespace bitloop::api {

struct Documented {
  std::string call;                // "GET /v1/tasks/{task}"
  std::string schema;              // its name among documented_schemas(); "": text
  nlohmann::ordered_json answer;   // an example; of text a string
  nlohmann::ordered_json request;  // an example of the body; null: it takes none
};

// Of all calls that answer with a document or a text of their own; nullptr for others (pages, event
// streams, MCP).
const Documented* documented(const Route& route);

// {"Session": {…}, …}
const nlohmann::ordered_json& documented_schemas();

}  // namespace bitloop::api
