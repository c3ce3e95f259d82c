#include "harness/api/page.h"

#include <gtest/gtest.h>

namespace bitloop::api {
namespace {

using nlohmann::ordered_json;

// The part of a list of `size` numbers, and Link.
std::pair<ordered_json, std::string> page(int size, nlohmann::json query) {
  ordered_json document = {{"list", ordered_json::array()}};
  for (int i = 0; i < size; ++i) document["list"].push_back(i);
  Request request;
  request.path = "/p";
  request.query = std::move(query);
  std::string link = take_page(document, "list", request);
  return {document["list"], link};
}

TEST(Page, WithoutAQueryTheListIsWhole) {
  const auto [list, link] = page(500, nlohmann::json::object());
  EXPECT_EQ(list.size(), 500u);
  EXPECT_EQ(link, "");
}

TEST(Page, LeadsToTheOthers) {
  const auto [list, link] = page(10, {{"limit", 3}, {"offset", 3}});
  EXPECT_EQ(list, ordered_json({3, 4, 5}));
  EXPECT_EQ(link,
            "</p?limit=3&offset=0>; rel=\"first\", </p?limit=3&offset=0>; rel=\"prev\", "
            "</p?limit=3&offset=6>; rel=\"next\", </p?limit=3&offset=9>; rel=\"last\"");
}

TEST(Page, Ends) {
  EXPECT_EQ(page(10, {{"limit", 3}, {"offset", 9}}).first, ordered_json({9}));
  EXPECT_EQ(page(10, {{"limit", 3}, {"offset", 9}}).second.find("next"), std::string::npos);
  EXPECT_EQ(page(10, {{"limit", 3}}).second.find("prev"), std::string::npos);
  EXPECT_EQ(page(10, {{"offset", 8}}).first, ordered_json({8, 9}));
  EXPECT_TRUE(page(10, {{"limit", 3}, {"offset", 1'000'000'000}}).first.empty());
  EXPECT_TRUE(page(0, {{"limit", 3}}).first.empty());
  EXPECT_EQ(page(9, {{"limit", 3}}).second.find("offset=9"), std::string::npos);
}

}  // namespace
}  // namespace bitloop::api
