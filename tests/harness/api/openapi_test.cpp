#include <gtest/gtest.h>

#include <set>

#include "harness/api/routes.h"

namespace bitloop::api {
namespace {

using nlohmann::ordered_json;

const std::vector<Route> kRoutes = {
    {"GET",
     "/files/{path...}",
     "A file",
     {{"line", FieldType::kInteger, false, "l"}},
     {},
     200,
     "text/plain",
     {}},
    {"POST",
     "/things/{id}",
     "A thing",
     {},
     {{"path", FieldType::kString, true, "p", "filename"},
      {"n", FieldType::kInteger, true, "n", "", 1}},
     201,
     "application/json",
     {}},
    {"DELETE", "/raw", "Nothing comes back", {}, {}, 204, "", {}, true, {"X-Name"}},
};

TEST(OpenApi, DescribesEveryRoute) {
  const ordered_json document = openapi_document(kRoutes);
  EXPECT_EQ(document["openapi"], "3.1.0");
  EXPECT_TRUE(document["info"]["version"].is_string());
  const ordered_json& file = document["paths"]["/files/{path}"]["get"];
  EXPECT_EQ(file["parameters"][0]["in"], "path");
  EXPECT_EQ(file["parameters"][0]["required"], true);
  EXPECT_EQ(file["parameters"][1]["name"], "line");
  EXPECT_TRUE(file["responses"]["200"]["content"].contains("text/plain"));
  const ordered_json& thing = document["paths"]["/things/{id}"]["post"];
  EXPECT_TRUE(thing["responses"].contains("201"));
  const ordered_json& missing =
      thing["responses"]["404"]["content"]["application/problem+json"]["examples"];
  EXPECT_TRUE(missing.contains("session_not_found"));
  EXPECT_FALSE(missing.contains("tag_not_found"));
  EXPECT_TRUE(thing["responses"].contains("428"));
  EXPECT_TRUE(thing["responses"].contains("507"));
  EXPECT_FALSE(file["responses"].contains("428")) << "what changes nothing needs no If-Match";
}

TEST(OpenApi, HeadersAndWhatHasNoBody) {
  const ordered_json document = openapi_document(kRoutes);
  const ordered_json& end = document["paths"]["/raw"]["delete"];
  EXPECT_FALSE(end.contains("requestBody"));
  EXPECT_FALSE(end["responses"]["204"].contains("content"));
  EXPECT_TRUE(end["responses"]["404"]["content"].contains("application/json"));
  EXPECT_EQ(end["parameters"][0]["name"], "X-Name");
  EXPECT_EQ(end["parameters"][0]["in"], "header");
}

TEST(OpenApi, AFieldWithAnAliasIsNotRequiredByName) {
  const ordered_json document = openapi_document(kRoutes);
  const ordered_json& schema = document["paths"]["/things/{id}"]["post"]["requestBody"]["content"]
                                       ["application/json"]["schema"];
  EXPECT_EQ(schema["required"], ordered_json::array({"n"}));
  EXPECT_TRUE(schema["properties"].contains("path"));
  EXPECT_TRUE(schema["properties"].contains("filename"));
  EXPECT_EQ(schema["additionalProperties"], false);
}

TEST(OpenApi, ChoicesAreAnEnum) {
  Field field{"op", FieldType::kString, true, "what"};
  field.choices = {"a", "b"};
  const ordered_json schema = object_schema({field});
  EXPECT_EQ(schema["properties"]["op"]["enum"], ordered_json::array({"a", "b"}));
  EXPECT_EQ(schema["required"], ordered_json::array({"op"}));
}

TEST(OpenApi, EveryReferenceLeadsSomewhere) {
  const ordered_json document = openapi_document(kRoutes);
  const auto check = [&](const auto& self, const ordered_json& node) -> void {
    if (node.is_object() && node.contains("$ref")) {
      const std::string reference = node["$ref"];
      EXPECT_TRUE(document.contains(ordered_json::json_pointer(reference.substr(1)))) << reference;
    }
    for (const auto& child : node)
      if (child.is_structured()) self(self, child);
  };
  check(check, document);
}

}  // namespace
}  // namespace bitloop::api
