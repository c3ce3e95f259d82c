#include "harness/api/page.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/base/text.h"

namespace bitloop::api {
namespace {

constexpr int64_t kMaxLimit = 10'000;
constexpr int64_t kDefaultLimit = 100;  // where only an offset is given

}  // namespace

std::vector<Field> page_fields() {
  return {{"limit", FieldType::kInteger, false, "at most so many; Link leads to the others", "", 1,
           kMaxLimit},
          {"offset", FieldType::kInteger, false, "leave out so many at the beginning"}};
}

Page page_of(const Request& request, size_t size) {
  const bool asked = request.query.contains("limit") || request.query.contains("offset");
  if (!asked) return {0, size, ""};
  const auto total = static_cast<int64_t>(size);
  const int64_t limit = request.query.value("limit", kDefaultLimit);
  const int64_t offset = request.query.value("offset", int64_t{0});
  const int64_t begin = std::min(offset, total);
  const int64_t end = std::min(begin + limit, total);

  std::vector<std::string> links;
  const auto link = [&](const char* relation, int64_t to) {
    links.push_back(
        fmt::format("<{}?limit={}&offset={}>; rel=\"{}\"", request.path, limit, to, relation));
  };
  link("first", 0);
  if (offset > 0) link("prev", std::max<int64_t>(0, begin - limit));
  if (end < total) link("next", end);
  link("last", total == 0 ? 0 : (total - 1) / limit * limit);
  return {static_cast<size_t>(begin), static_cast<size_t>(end), join(links, ", ")};
}

std::string take_page(nlohmann::ordered_json& document, const char* name, const Request& request) {
  nlohmann::ordered_json& list = document[name];
  const Page page = page_of(request, list.size());
  list.erase(list.begin() + static_cast<int64_t>(page.end), list.end());
  list.erase(list.begin(), list.begin() + static_cast<int64_t>(page.begin));
  return page.link;
}

Response page_response(nlohmann::ordered_json document, const char* name, const Request& request) {
  const std::string link = take_page(document, name, request);
  Response response = json_response(document);
  if (!link.empty()) response.headers.emplace_back("Link", link);
  return response;
}

}  // namespace bitloop::api
