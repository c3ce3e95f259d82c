#include "harness/api/mcp/protocol.h"

#include "tests/harness/api/mcp/mcp_fixture.h"

namespace bitloop::api::mcp {
namespace {

class ProtocolTest : public McpFixture {
 protected:
  void SetUp() override {
    McpFixture::SetUp();
    protocol_ = std::make_unique<Protocol>(*service_, routes());
  }
  ordered_json answer(const Message& message) {
    const Peer peer =
        has_envelope(message) ? modern_peer(message) : Peer{"2025-11-25", false, "", nullptr};
    return protocol_->answer(message, peer, {});
  }
  static int code_of(const ordered_json& answer) { return answer["error"]["code"]; }

  std::unique_ptr<Protocol> protocol_;
};

TEST_F(ProtocolTest, InitializeAgreesOnAVersion) {
  const auto opened = protocol_->initialize(
      request("initialize", {{"protocolVersion", "2025-06-18"},
                             {"clientInfo", {{"name", "a\tlong name"}, {"version", "1"}}},
                             {"capabilities", json::object()}}));
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->connection->version(), "2025-06-18");
  EXPECT_EQ(opened->connection->client(), "a long name");
  const ordered_json& result = opened->answer["result"];
  EXPECT_EQ(result["protocolVersion"], "2025-06-18");
  EXPECT_EQ(result["serverInfo"]["name"], "bitloop");
  EXPECT_THAT(result["instructions"], ::testing::HasSubstr("begin("));
  EXPECT_EQ(protocol_->initialize(request("initialize")).error().code, kInvalidParams);
}

TEST_F(ProtocolTest, EveryCapabilityHasItsMethods) {
  for (const char* method :
       {"ping", "tools/list", "resources/list", "resources/templates/list", "prompts/list"})
    EXPECT_TRUE(answer(request(method)).contains("result")) << method;
  EXPECT_EQ(code_of(answer(request("fly"))), kMethodNotFound);
  EXPECT_EQ(code_of(answer(request("tools/list", {{"cursor", "2"}}))), kInvalidParams);
  EXPECT_TRUE(answer(request("tools/list", {{"cursor", nullptr}})).contains("result"));
  EXPECT_EQ(code_of(answer(request("server/discover"))), kMethodNotFound);
}

TEST_F(ProtocolTest, ResultsOfTheSecondEraSayWhatTheyAre) {
  const ordered_json found = answer(modern_request("server/discover"))["result"];
  EXPECT_EQ(found["supportedVersions"], ordered_json::array({"2026-07-28"}));
  EXPECT_EQ(found["resultType"], "complete");
  EXPECT_EQ(found["cacheScope"], "private");
  EXPECT_EQ(found["_meta"][kServerInfoKey]["name"], "bitloop");
  EXPECT_TRUE(answer(modern_request("tools/list"))["result"]["ttlMs"].is_number_integer());
  const ordered_json refused =
      answer(modern_request("tools/call", {{"name", "view"}, {"arguments", json::object()}}));
  EXPECT_EQ(refused["result"]["resultType"], "complete");
  EXPECT_EQ(refused["result"]["_meta"]["bitloop/code"], "session_unclear");
  EXPECT_FALSE(refused["result"].contains("ttlMs"));
  EXPECT_EQ(code_of(answer(modern_request("ping"))), kMethodNotFound);
}

TEST_F(ProtocolTest, TheClientOfTheSecondEraNamesItselfInEveryRequest) {
  const ordered_json begun =
      answer(modern_request("tools/call", {{"name", "begin"}, {"arguments", {{"task", "quick"}}}}));
  EXPECT_EQ(begun["result"]["structuredContent"]["state"]["agent"], "tester");
}

TEST_F(ProtocolTest, ACancelledRequestHasNoAnswer) {
  Pending pending;
  const Message slow = request("ping");
  const Peer peer{"2025-11-25", false, "", nullptr};
  EXPECT_FALSE(
      protocol_->answer_unless_cancelled(slow, peer, {}, pending, pending.begin(1)).is_null());
  const std::string session = create();
  EXPECT_TRUE(service_->edit(
      session,
      {.path = "candidate.lua", .op = "insert", .after_line = 1, .content = "FAKE_SLEEP=9"}));
  Exchange exchange;
  exchange.keep_alive = [&] { pending.cancel(1); };
  EXPECT_TRUE(protocol_
                  ->answer_unless_cancelled(tool_call("test", {{"session", session}}), peer,
                                            exchange, pending, pending.begin(1))
                  .is_null());
  EXPECT_EQ(service_->test(session, 1)->status, "running");
  const CancelFlag early = pending.begin(1);
  pending.cancel(1);
  const std::string untouched = create();
  EXPECT_TRUE(protocol_
                  ->answer_unless_cancelled(tool_call("test", {{"session", untouched}}), peer, {},
                                            pending, early)
                  .is_null());
  EXPECT_TRUE(service_->get(untouched)->tests.empty());
}

TEST_F(ProtocolTest, OnlyTestsAndChecksMayTakeLong) {
  EXPECT_TRUE(Protocol::may_wait(tool_call("test")));
  EXPECT_TRUE(Protocol::may_wait(tool_call("check")));
  EXPECT_FALSE(Protocol::may_wait(tool_call("edit")));
  EXPECT_FALSE(Protocol::may_wait(request("tools/list")));
}

}  // namespace
}  // namespace bitloop::api::mcp
