#include "harness/api/mcp/resources.h"

#include <set>

#include "tests/harness/api/mcp/mcp_fixture.h"

namespace bitloop::api::mcp {
namespace {

using ResourcesTest = McpFixture;

TEST_F(ResourcesTest, WhatIsListedCanBeRead) {
  std::set<std::string> uris;
  const ordered_json listed = list_resources(*service_);
  for (const ordered_json& resource : listed["resources"]) {
    uris.insert(resource["uri"]);
    const auto read =
        read_resource(*service_, request("resources/read", {{"uri", resource["uri"]}}), false);
    ASSERT_TRUE(read) << resource.dump();
    EXPECT_EQ((*read)["contents"][0]["uri"], resource["uri"]);
    EXPECT_EQ((*read)["contents"][0]["mimeType"], resource["mimeType"]);
    EXPECT_FALSE((*read)["contents"][0]["text"].get<std::string>().empty());
  }
  EXPECT_TRUE(uris.contains("bitloop://files/program.md"));
  EXPECT_TRUE(uris.contains("bitloop://files/quantizers/ternary.lua"));
}

TEST_F(ResourcesTest, TemplatesNameATaskAndACandidate) {
  EXPECT_EQ(list_resource_templates()["resourceTemplates"].size(), 2U);
  const auto read = [&](const std::string& uri) {
    return read_resource(*service_, request("resources/read", {{"uri", uri}}), false);
  };
  EXPECT_TRUE(read("bitloop://tasks/quick"));
  const std::string candidate = "bitloop://sessions/" + create() + "/candidate.lua";
  EXPECT_THAT((*read(candidate))["contents"][0]["text"], ::testing::HasSubstr("one\ntwo\n"));
}

TEST_F(ResourcesTest, WhatIsNotThereHasTheCodeOfItsEra) {
  for (const char* uri : {"bitloop://files/../quantizers", "bitloop://files/", "file:///etc/passwd",
                          "bitloop://tasks/none", "bitloop://sessions/none/candidate.lua", "x"}) {
    const Message message = request("resources/read", {{"uri", uri}});
    EXPECT_EQ(read_resource(*service_, message, false).error().code, kResourceNotFound) << uri;
    EXPECT_EQ(read_resource(*service_, message, true).error().code, kInvalidParams) << uri;
  }
  EXPECT_EQ(read_resource(*service_, request("resources/read", {{"uri", 3}}), false).error().code,
            kInvalidParams);
}

TEST_F(ResourcesTest, ThePromptIsProgramMdWithATask) {
  EXPECT_EQ(list_prompts()["prompts"][0]["name"], "program");
  const auto get = [&](const json& params) {
    return get_prompt(*service_, request("prompts/get", params));
  };
  const auto prompt = get({{"name", "program"}, {"arguments", {{"task", "quick"}}}});
  const std::string text = (*prompt)["messages"][0]["content"]["text"];
  EXPECT_THAT(text, ::testing::StartsWith("program.md\n"));
  EXPECT_THAT(text, ::testing::HasSubstr("begin(task=\"quick\")"));
  EXPECT_TRUE(get({{"name", "program"}}));
  EXPECT_EQ(get({{"name", "other"}}).error().code, kInvalidParams);
  EXPECT_EQ(get({{"name", "program"}, {"arguments", {{"task", "none"}}}}).error().code,
            kInvalidParams);
  EXPECT_EQ(get({{"name", "program"}, {"arguments", 3}}).error().code, kInvalidParams);
}

TEST_F(ResourcesTest, NamesAreCompleted) {
  const auto values = [&](const std::string& name, const std::string& typed) {
    const auto done = complete(
        *service_,
        request("completion/complete", {{"ref", {{"type", "ref/prompt"}, {"name", "program"}}},
                                        {"argument", {{"name", name}, {"value", typed}}}}));
    return (*done)["completion"]["values"];
  };
  EXPECT_EQ(values("task", "qu"), ordered_json::array({"quick"}));
  EXPECT_TRUE(values("task", "x").empty());
  const std::string session = create();
  EXPECT_EQ(values("session", session.substr(0, 2)), ordered_json::array({session}));
  EXPECT_EQ(complete(*service_, request("completion/complete")).error().code, kInvalidParams);
}

}  // namespace
}  // namespace bitloop::api::mcp
