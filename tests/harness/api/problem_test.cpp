#include "harness/api/problem.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace bitloop::api {
namespace {

TEST(Problem, AnUnlistedCodeIsARefusal) {
  EXPECT_EQ(status_of("edit_out_of_range"), 422);
  EXPECT_EQ(status_of("session_not_found"), 404);
  EXPECT_EQ(status_of("test_running"), 409);
  EXPECT_EQ(status_of("disk_full"), 507);
  EXPECT_EQ(status_of("internal"), 500);
}

TEST(Problem, ADocumentHasAllMembersOfTheContract) {
  const auto document = nlohmann::json::parse(problem_document({"test_running", "Wait for it."}));
  EXPECT_EQ(document["status"], 409);
  EXPECT_EQ(document["code"], "test_running");
  EXPECT_EQ(document["detail"], "Wait for it.");
  EXPECT_TRUE(document["type"].is_string());
  EXPECT_FALSE(document["title"].get<std::string>().empty());
}

TEST(Problem, BytesThatAreNotUtf8AreReplaced) {
  EXPECT_NO_THROW(nlohmann::json::parse(problem_document({"invalid_text", "a\xff"})));
}

}  // namespace
}  // namespace bitloop::api
