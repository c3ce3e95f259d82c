#include "harness/api/mcp/batch.h"

#include "tests/harness/api/mcp/mcp_fixture.h"

namespace bitloop::api::mcp {
namespace {

using BatchTest = McpFixture;

TEST(BatchSize, IsLimitedAndOneVersionHasThem) {
  const json ping = wire(request("ping"));
  EXPECT_TRUE(Batch::check(json(std::vector<json>(Batch::kMost, ping)), "2025-03-26"));
  EXPECT_EQ(
      Batch::check(json(std::vector<json>(Batch::kMost + 1, ping)), "2025-03-26").error().code,
      kInvalidRequest);
  EXPECT_FALSE(Batch::check(json::array(), "2025-03-26"));
  EXPECT_FALSE(Batch::check(json::array({ping}), "2025-11-25"));
}

TEST_F(BatchTest, WhatMayTakeLongIsNotBegunWhenTheTimeIsOver) {
  const Protocol protocol(*service_, routes());
  const std::string session = create();
  const Peer peer{"2025-03-26", false, "", std::make_shared<Connection>("2025-03-26", "")};
  Message test = tool_call("test", {{"session", session}});
  test.id = "t";
  const json array = json::array({wire(test), wire(request("ping")), json{{"id", 7}}});
  Batch batch(array, peer.connection->pending());
  EXPECT_TRUE(batch.may_wait());
  Exchange exchange;
  exchange.deadline = std::chrono::steady_clock::now();
  const ordered_json answers = batch.answer(protocol, peer, exchange);
  ASSERT_EQ(answers.size(), 3U);
  EXPECT_EQ(answers[0]["id"], "t");
  EXPECT_TRUE(answers[0].contains("error"));
  EXPECT_TRUE(answers[1].contains("result"));
  EXPECT_EQ(answers[2]["id"], 7);
  EXPECT_TRUE(service_->get(session)->tests.empty());
}

TEST_F(BatchTest, ARequestInItCanBeCancelledFromTheBeginning) {
  const Protocol protocol(*service_, routes());
  const Peer peer{"2025-03-26", false, "", std::make_shared<Connection>("2025-03-26", "")};
  Batch batch(json::array({wire(request("ping"))}), peer.connection->pending());
  EXPECT_FALSE(batch.may_wait());
  peer.connection->pending().cancel(1);
  EXPECT_TRUE(batch.answer(protocol, peer, {}).empty());
}

}  // namespace
}  // namespace bitloop::api::mcp
