#include "harness/api/mcp/schemas.h"

#include <gtest/gtest.h>

namespace bitloop::api::mcp {
namespace {

using nlohmann::ordered_json;

// Whether an answer fits its schema is seen by the client of tests/e2e/mcp_test.py, which refuses
// any other.
TEST(Schemas, EveryObjectSaysWhatItsMembersAre) {
  const auto check = [](const auto& self, const ordered_json& schema) -> void {
    ASSERT_TRUE(schema.contains("type")) << schema.dump();
    if (schema.contains("items")) self(self, schema["items"]);
    if (!schema.contains("properties")) return;
    for (const auto& [name, member] : schema["properties"].items()) self(self, member);
    for (const ordered_json& name : schema["required"])
      EXPECT_TRUE(schema["properties"].contains(name.get<std::string>())) << name;
  };
  for (const ordered_json& schema : {begin_schema(), view_schema(), edit_schema(), check_schema(),
                                     test_schema(), results_schema(), summary_schema()}) {
    EXPECT_EQ(schema["type"], "object");
    check(check, schema);
  }
}

}  // namespace
}  // namespace bitloop::api::mcp
