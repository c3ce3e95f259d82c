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

// Which items of a list of `total` the request asks for.
struct Page {
  size_t begin = 0, end = 0;
  std::string link;  // the value of Link (first, prev, next, last), "" when nothing was asked for
};
Page page_of(const Request& request, size_t total);

// Keeps the part of the document's list `name` that the request asks for.
// Returns the value of Link.
std::string take_page(nlohmann::ordered_json& document, const char* name, const Request& request);

// The document with that part of its list, and the header.
Response page_response(nlohmann::ordered_json document, const char* name, const Request& request);
// {name: [those of the items that the request asks for]}, and the header; only these are rendered.
template <typename Item, typename Render>
Response page_response(const char* name, const std::vector<Item>& items, const Render& render,
                       const Request& request) {
  const Page page = page_of(request, items.size());
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (size_t i = page.begin; i < page.end; ++i) list.push_back(nlohmann::ordered_json(render(items[i])));
  Response response = json_response({{name, std::move(list)}});
  if (!page.link.empty()) response.headers.emplace_back("Link", page.link);
  return response;
}

}  // namespace bitloop::api
