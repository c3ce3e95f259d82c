// Parts of a long list: ?limit=&offset=, and the header Link (RFC 8288) that leads to the others.
// Without them a list comes whole, as ever.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/api/route.h"

namespace bitloop::api {

// `limit` and `offset` of a query.
std::vector<Field> page_fields();

// Keeps the part of the document's list `name` that the request asks for.
// Returns the value of Link (first, prev, next, last), "" when nothing was asked for.
std::string take_page(nlohmann::ordered_json& document, const char* name, const Request& request);

// The document with that part of its list, and the header.
Response page_response(nlohmann::ordered_json document, const char* name, const Request& request);

}  // namespace bitloop::api
