#include "harness/api/mcp/stdio.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "harness/api/dispatcher.h"
#include "harness/base/text.h"
#include "tests/harness/api/mcp/mcp_fixture.h"

namespace bitloop::api::mcp {
namespace {

// A conversation over a pair of sockets; the server's end is served by a thread.
class StdioTest : public McpFixture {
 protected:
  void SetUp() override {
    McpFixture::SetUp();
    protocol_ = std::make_unique<Protocol>(*service_, routes());
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    client_ = ends[0];
    server_ = ends[1];
    thread_ = std::thread([this] {
      serve_stdio(*protocol_, server_, server_);
      ::shutdown(server_, SHUT_WR);
    });
  }
  void TearDown() override {
    hang_up();
    thread_.join();
    ::close(client_);
    ::close(server_);
    McpFixture::TearDown();
  }
  void hang_up() { ::shutdown(client_, SHUT_WR); }
  void send_text(const std::string& text) {
    ASSERT_EQ(::write(client_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void send(const Message& message) { send_text(wire(message).dump() + "\n"); }
  // The next line, or null at the end.
  json receive() {
    std::string line;
    char c = 0;
    while (::read(client_, &c, 1) == 1 && c != '\n') line += c;
    return line.empty() ? json() : json::parse(line);
  }
  void connect(const std::string& version = "2025-11-25") {
    send(request("initialize", {{"protocolVersion", version}}, 0));
    EXPECT_EQ(receive()["result"]["protocolVersion"], version);
  }

  std::unique_ptr<Protocol> protocol_;
  int client_ = -1;
  int server_ = -1;
  std::thread thread_;
};

TEST_F(StdioTest, AConversationOfTheFirstEra) {
  send(request("tools/list"));
  EXPECT_EQ(receive()["error"]["message"], "Send initialize first.");
  connect();
  send_text("\n  \r\n");
  send(request("ping", json::object(), "a"));
  EXPECT_EQ(receive()["id"], "a");
  send(tool_call("begin", {{"task", "quick"}}));
  EXPECT_FALSE(receive()["result"]["isError"]);
  send(tool_call("view"));
  EXPECT_FALSE(receive()["result"]["isError"]);
}

TEST_F(StdioTest, RequestsOfTheSecondEraNeedNoInitialize) {
  send(modern_request("server/discover"));
  EXPECT_EQ(receive()["result"]["resultType"], "complete");
  Message other = modern_request("tools/list");
  other.params["_meta"][kVersionKey] = "2030-01-01";
  send(other);
  EXPECT_EQ(receive()["error"]["code"], kUnsupportedVersion);
}

TEST_F(StdioTest, WhatIsNoMessageIsAnError) {
  send_text("{\n");
  EXPECT_EQ(receive()["error"]["code"], kParseError);
  send_text("[]\n");
  EXPECT_EQ(receive()["error"]["code"], kInvalidRequest);
  send_text("{\"id\":1}\n");
  json answer = receive();
  EXPECT_EQ(answer["error"]["code"], kInvalidRequest);
  EXPECT_EQ(answer["id"], 1);
  std::thread writer([this] { send_text(std::string(2 * kMaxBodyBytes, '1').append("\n")); });
  EXPECT_EQ(receive()["error"]["code"], kParseError);
  writer.join();
  send(request("initialize"));
  EXPECT_EQ(receive()["error"]["code"], kInvalidParams);
}

TEST_F(StdioTest, ABatchIsAnsweredInTheOneVersionThatHasThem) {
  connect("2025-03-26");
  send_text(json::array({wire(request("ping")), wire(request("fly")), 1}).dump().append("\n"));
  EXPECT_EQ(receive().size(), 3U);
}

TEST_F(StdioTest, AWaitingTestLeavesRoomAndCanBeCancelled) {
  connect();
  send(tool_call("begin", {{"task", "quick"}}));
  receive();
  send(tool_call("edit", {{"op", "insert"}, {"after_line", 1}, {"content", "FAKE_SLEEP=9"}}));
  receive();
  Message test = tool_call("test", {{"wait", 60}});
  test.id = "slow";
  test.params["_meta"] = {{"progressToken", "p"}};
  send(test);
  EXPECT_EQ(receive()["params"]["progressToken"], "p");
  send(request("ping", json::object(), "between"));
  json answer = receive();
  while (answer.contains("method")) answer = receive();
  EXPECT_EQ(answer["id"], "between");
  Message cancel = request("notifications/cancelled", {{"requestId", "slow"}});
  cancel.kind = Message::Kind::kNotification;
  send(cancel);
  hang_up();
  while (!(answer = receive()).is_null()) EXPECT_NE(answer.value("id", json()), "slow");
}

TEST_F(StdioTest, TheEndOfInputEndsTheWaitButNotTheAnswer) {
  const std::string session = create();
  EXPECT_TRUE(service_->edit(
      session,
      {.path = "candidate.lua", .op = "insert", .after_line = 1, .content = "FAKE_SLEEP=9"}));
  connect();
  send(tool_call("test", {{"session", session}, {"wait", 60}}));
  hang_up();
  EXPECT_EQ(receive()["result"]["structuredContent"]["status"], "running");
  EXPECT_TRUE(receive().is_null());
}

// Both lines were read before a thread had begun the request: nobody knew what to cancel.
TEST_F(StdioTest, ACancellationThatFollowsAtOnceCounts) {
  const std::string session = create();
  EXPECT_TRUE(service_->edit(
      session,
      {.path = "candidate.lua", .op = "insert", .after_line = 1, .content = "FAKE_SLEEP=9"}));
  connect();
  Message cancel = request("notifications/cancelled", {{"requestId", 1}});
  cancel.kind = Message::Kind::kNotification;
  send_text(wire(tool_call("test", {{"session", session}, {"wait", 60}})).dump() + "\n" +
            wire(cancel).dump() + "\n");
  hang_up();
  EXPECT_TRUE(receive().is_null());
}

TEST_F(StdioTest, ABatchThatWaitsLeavesRoomAndCanBeCancelled) {
  const std::string session = create();
  EXPECT_TRUE(service_->edit(
      session,
      {.path = "candidate.lua", .op = "insert", .after_line = 1, .content = "FAKE_SLEEP=9"}));
  connect("2025-03-26");
  Message test = tool_call("test", {{"session", session}, {"wait", 60}});
  test.id = "slow";
  send_text(json::array({wire(test)}).dump() + "\n");
  send(request("ping", json::object(), "between"));
  EXPECT_EQ(receive()["id"], "between");
  Message cancel = request("notifications/cancelled", {{"requestId", "slow"}});
  cancel.kind = Message::Kind::kNotification;
  send(cancel);
  hang_up();
  EXPECT_TRUE(receive().is_null());
}

TEST_F(StdioTest, ABatchIsNotTooLong) {
  connect("2025-03-26");
  send_text(json(std::vector<json>(51, wire(request("ping")))).dump() + "\n");
  EXPECT_EQ(receive()["error"]["code"], kInvalidRequest);
}

TEST_F(StdioTest, WhatStillQueuesAtTheEndOfInputIsNotBegun) {
  const std::string session = create(), other = create();
  EXPECT_TRUE(service_->edit(
      session,
      {.path = "candidate.lua", .op = "insert", .after_line = 1, .content = "FAKE_SLEEP=9"}));
  EXPECT_TRUE(service_->start_test(session, ""));
  connect();
  for (int i = 0; i < 64; ++i) {
    Message poll = tool_call("test", {{"session", session}, {"n", 1}, {"wait", 60}});
    poll.id = i;
    send(poll);
  }
  Message late = tool_call("test", {{"session", other}});
  late.id = "late";
  send(late);
  hang_up();
  int answers = 0;
  for (json answer; !(answer = receive()).is_null(); ++answers)
    EXPECT_EQ(answer.contains("error"), answer["id"] == "late") << answer;
  EXPECT_EQ(answers, 65);
  EXPECT_TRUE(service_->get(other)->tests.empty());
}

TEST(LineWriter, NobodyToReadIsNoticed) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  ::signal(SIGPIPE, SIG_IGN);
  LineWriter writer(ends[0]);
  EXPECT_TRUE(writer.write("a"));
  ::close(ends[1]);
  EXPECT_FALSE(writer.write("b"));
  ::close(ends[0]);
}

}  // namespace
}  // namespace bitloop::api::mcp
