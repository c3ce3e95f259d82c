#include "harness/api/mcp/tools.h"

#include <set>

#include "tests/harness/api/mcp/mcp_fixture.h"

namespace bitloop::api::mcp {
namespace {

class ToolsTest : public McpFixture {
 protected:
  void SetUp() override {
    McpFixture::SetUp();
    tools_ = std::make_unique<Tools>(*service_, routes());
    connection_ = std::make_shared<Connection>("2025-11-25", "tester");
  }
  Peer peer() { return {"2025-11-25", false, "tester", connection_}; }
  ordered_json call(const std::string& tool, json arguments = json::object()) {
    return *tools_->call(tool_call(tool, std::move(arguments)), peer(), {});
  }
  // The text of an answer; a test that expects a refusal says so.
  std::string text(const ordered_json& answer, bool refused = false) {
    EXPECT_EQ(answer["isError"], refused) << answer.dump(1);
    return answer["content"][0]["text"];
  }

  std::unique_ptr<Tools> tools_;
  std::shared_ptr<Connection> connection_;
};

TEST_F(ToolsTest, EachSaysWhatItTakesAndGives) {
  std::set<std::string> names;
  for (const ordered_json& tool : tools_->list(false)) {
    names.insert(tool["name"]);
    EXPECT_EQ(tool["inputSchema"]["type"], "object");
    EXPECT_EQ(tool["inputSchema"]["additionalProperties"], false);
    EXPECT_TRUE(tool["inputSchema"]["properties"].contains("session")) << tool["name"];
    EXPECT_EQ(tool["outputSchema"]["type"], "object");
    EXPECT_GT(tool["description"].get<std::string>().size(), 30U);
    EXPECT_EQ(tool["annotations"].size(), 4U);
  }
  EXPECT_EQ(names, (std::set<std::string>{"begin", "view", "edit", "undo", "revert", "check",
                                          "test", "submit", "results", "summary"}));
}

TEST_F(ToolsTest, InTheSecondEraTheSessionIsRequired) {
  for (const ordered_json& tool : tools_->list(true)) {
    const std::set<std::string> free = {"begin", "results"};
    const ordered_json required = tool["inputSchema"].value("required", ordered_json::array());
    const bool has = std::ranges::find(required, "session") != required.end();
    EXPECT_NE(has, free.contains(tool["name"])) << tool["name"];
  }
}

TEST_F(ToolsTest, TheFieldsAreThoseOfTheRoutes) {
  for (const ordered_json& tool : tools_->list(false)) {
    const ordered_json& properties = tool["inputSchema"]["properties"];
    if (tool["name"] == "edit") {
      EXPECT_EQ(properties["op"]["enum"].size(), 4U);
      EXPECT_TRUE(properties.contains("path") && properties.contains("filename"));
    }
    if (tool["name"] == "submit" || tool["name"] == "test") {
      EXPECT_TRUE(properties.contains("test") && properties.contains("n")) << tool["name"];
    }
  }
}

TEST_F(ToolsTest, AWholeSession) {
  const ordered_json begun = call("begin", {{"task", "quick"}});
  const std::string session = begun["structuredContent"]["session"];
  EXPECT_THAT(text(begun), ::testing::HasSubstr("begin(session=\"" + session + "\")"));
  EXPECT_EQ(service_->get(session)->agent, "tester");
  EXPECT_THAT(text(call("view")), ::testing::StartsWith("[Current file: candidate.lua"));
  EXPECT_EQ(call("view", {{"filename", "lua.md"}})["structuredContent"]["path"], "lua.md");
  EXPECT_THAT(text(call("edit", {{"op", "replace"},
                                 {"filename", "candidate.lua"},
                                 {"start_line", 2},
                                 {"end_line", 2},
                                 {"content", "uno\n"}})),
              ::testing::StartsWith("OK: Replaced lines 2..2 with 1 line(s) in candidate.lua. "
                                    "Editable range: 2–3.\n[Current file"));
  EXPECT_THAT(text(call("undo")), ::testing::HasSubstr("one"));
  EXPECT_THAT(text(call("check")), ::testing::StartsWith("[check] ok"));
  EXPECT_THAT(text(call("test", {{"description", "as it is"}})),
              ::testing::StartsWith("[Test #1] (2 tests remaining; call submit(n=N)"));
  EXPECT_EQ(text(call("test", {{"n", 1}})), text(call("test", {{"test", 1}, {"wait", 0}})));
  EXPECT_THAT(text(call("revert", {{"n", 1}})), ::testing::HasSubstr("one"));
  EXPECT_THAT(text(call("results")), ::testing::HasSubstr("test #1: ok, val_loss=2.3178"));
  EXPECT_EQ(text(call("submit", {{"n", 1}})), "[submit] Submitting result from test #1 as final.");
  EXPECT_THAT(
      text(call("edit", {{"op", "rewrite"}, {"region", "quantizer"}, {"content", ""}}), true),
      ::testing::EndsWith("begin(task=…) starts a new one."));
}

TEST_F(ToolsTest, ARefusalSaysWhatToDoAndHasTheCode) {
  const ordered_json lost = call("view");
  EXPECT_THAT(text(lost, true), ::testing::StartsWith("Which session? Call begin(task=…)"));
  EXPECT_EQ(lost["_meta"]["bitloop/code"], "session_unclear");
  EXPECT_FALSE(lost.contains("structuredContent"));
  EXPECT_EQ(text(call("begin"), true),
            "Say in `task` what to optimise (quick), or in `session` which session to go on with.");
  call("begin", {{"task", "quick"}});
  EXPECT_EQ(
      text(call("edit", {{"op", "replace"}, {"start_line", 1}, {"end_line", 9}, {"content", ""}}),
           true),
      "ERROR: Lines 1..9 exceed the editable range. You may only edit lines 2–3.");
  EXPECT_EQ(text(call("undo", {{"n", "two"}}), true), "'n' must be an integer, got string.");
  EXPECT_THAT(text(call("check", {{"deep", true}}), true),
              ::testing::StartsWith("There is no field 'deep' here; leave it out."));
  EXPECT_EQ(
      text(call("view", {{"session", "no"}}), true),
      "There is no session 'no'; results() lists the sessions, and begin(task=…) starts one.");
  EXPECT_THAT(text(call("view", {{"path", "x.lua"}}), true),
              ::testing::EndsWith("; begin(session=…) lists the files."));
  EXPECT_THAT(text(call("test", {{"n", 1}, {"description", "x"}}), true),
              ::testing::StartsWith("Give `n` alone"));
  EXPECT_THAT(text(call("begin", {{"session", "x"}, {"task", "quick"}}), true),
              ::testing::StartsWith("Give `session` alone"));
}

TEST_F(ToolsTest, WhatIsWrittenAsNullIsLeftOut) {
  call("begin", {{"task", "quick"}, {"quantizer", nullptr}, {"session", nullptr}});
  EXPECT_THAT(text(call("view", {{"start_line", 2}, {"end_line", nullptr}})),
              ::testing::HasSubstr("     2  one"));
}

TEST_F(ToolsTest, OnlyAnUnknownToolAndNoObjectAreErrorsOfTheProtocol) {
  EXPECT_EQ(tools_->call(tool_call("fly"), peer(), {}).error().code, kInvalidParams);
  EXPECT_EQ(tools_->call(tool_call("view", json::array()), peer(), {}).error().code,
            kInvalidParams);
  EXPECT_EQ(tools_->call(request("tools/call"), peer(), {}).error().code, kInvalidParams);
}

TEST_F(ToolsTest, ARunningTestIsWaitedForByItsNumber) {
  call("begin", {{"task", "quick"}});
  call("edit", {{"op", "insert"}, {"after_line", 1}, {"content", "FAKE_SLEEP=9"}});
  const ordered_json started = call("test", {{"wait", 0}});
  EXPECT_EQ(started["structuredContent"]["status"], "running");
  EXPECT_THAT(text(started), ::testing::HasSubstr("call test(n=1) to wait for its end"));
  EXPECT_THAT(text(call("undo"), true), ::testing::HasSubstr("wait for it with test(n=N)"));
}

TEST_F(ToolsTest, TwoAgentsOnOneConnectionMustNameTheirSessions) {
  const std::string mine = call("begin", {{"task", "quick"}})["structuredContent"]["session"];
  call("begin", {{"task", "quick"}});
  EXPECT_THAT(text(call("undo"), true), ::testing::StartsWith("This connection has several"));
  EXPECT_EQ(call("view", {{"session", mine}})["structuredContent"]["session"], mine);
}

TEST_F(ToolsTest, ASessionIsTakenUpFromAnotherConnection) {
  const std::string session = call("begin", {{"task", "quick"}})["structuredContent"]["session"];
  connection_ = std::make_shared<Connection>("2025-11-25", "");
  EXPECT_EQ(call("begin", {{"session", session}})["structuredContent"]["session"], session);
  EXPECT_EQ(call("view")["structuredContent"]["session"], session);
  connection_ = nullptr;  // the second era
  text(call("view"), true);
  text(call("view", {{"session", session}}));
}

TEST_F(ToolsTest, ResultsWithoutASessionListAllOfThem) {
  const std::string session = create();
  const ordered_json answer = call("results", {{"limit", 1}})["structuredContent"];
  EXPECT_EQ(answer["sessions"][0]["id"], session);
  EXPECT_FALSE(answer.contains("state"));
}

}  // namespace
}  // namespace bitloop::api::mcp
