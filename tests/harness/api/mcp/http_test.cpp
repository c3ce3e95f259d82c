#include "harness/api/mcp/http.h"

#include <thread>

#include "harness/api/dispatcher.h"
#include "harness/api/mcp/headers.h"
#include "tests/harness/api/mcp/mcp_fixture.h"

namespace bitloop::api::mcp {
namespace {

using Headers = std::map<std::string, std::string>;

class HttpTest : public McpFixture {
 protected:
  void SetUp() override {
    McpFixture::SetUp();
    dispatcher_ = std::make_unique<Dispatcher>(routes());
  }
  Response post_text(const std::string& body, const Headers& headers = {}) {
    RawRequest raw{.method = "POST", .path = "/mcp"};
    raw.content_type = "application/json";
    raw.body = body;
    raw.headers = headers;
    return dispatcher_->dispatch(raw);
  }
  Response post(const Message& message, const Headers& headers = {}) {
    return post_text(wire(message).dump(), headers);
  }
  // A connection's headers.
  Headers connect(const std::string& version = "2025-11-25") {
    const Response opened = post(request("initialize", {{"protocolVersion", version}}));
    EXPECT_EQ(opened.status, 200);
    for (const auto& [name, value] : opened.headers)
      if (name == "Mcp-Session-Id") return {{"mcp-session-id", value}};
    ADD_FAILURE() << "no session id";
    return {};
  }
  static Headers modern_headers(const Message& message) {
    Headers headers;
    for (const auto& [name, value] : repeated_headers(message)) headers[name] = value;
    return headers;
  }
  static int code_of(const Response& response) {
    return json::parse(response.body)["error"]["code"];
  }
  static Message notice(const std::string& method, json params = json::object()) {
    Message message = request(method, std::move(params));
    message.kind = Message::Kind::kNotification;
    return message;
  }

  std::unique_ptr<Dispatcher> dispatcher_;
};

TEST_F(HttpTest, AConnectionBeginsWithInitializeAndEndsWithDelete) {
  const Headers headers = connect();
  EXPECT_EQ(post(notice("notifications/initialized"), headers).status, 202);
  EXPECT_EQ(post(request("ping"), headers).body, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n");
  RawRequest end{.method = "DELETE", .path = "/mcp"};
  end.headers = headers;
  EXPECT_EQ(dispatcher_->dispatch(end).status, 204);
  EXPECT_EQ(dispatcher_->dispatch(end).status, 404);
  EXPECT_EQ(post(request("ping"), headers).status, 404);
}

TEST_F(HttpTest, WithoutAConnectionAClientIsToldToInitialize) {
  const Response missing = post(request("tools/list"));
  EXPECT_EQ(missing.status, 400);
  EXPECT_EQ(code_of(missing), kInvalidRequest);
  const Response unknown = post(request("tools/list"), {{"mcp-session-id", "x"}});
  EXPECT_EQ(unknown.status, 404);
  EXPECT_THAT(unknown.body, ::testing::HasSubstr("begin(session=…)"));
}

TEST_F(HttpTest, ConnectionsDoNotKnowEachOthersSessions) {
  const Headers mine = connect();
  const Headers other = connect();
  const Response begun = post(tool_call("begin", {{"task", "quick"}}), mine);
  const auto view = [&](const Headers& headers) {
    return json::parse(post(tool_call("view"), headers).body)["result"]["isError"].get<bool>();
  };
  EXPECT_EQ(begun.status, 200);
  EXPECT_FALSE(view(mine));
  EXPECT_TRUE(view(other));
}

TEST_F(HttpTest, WhatIsNoMessageIsAnErrorOfJsonRpc) {
  for (const auto& [body, code] :
       std::vector<std::pair<std::string, int>>{{"{", kParseError},
                                                {"", kParseError},
                                                {"\xff", kParseError},
                                                {std::string(5000, '['), kParseError},
                                                {"3", kInvalidRequest},
                                                {"{}", kInvalidRequest}}) {
    const Response refused = post_text(body);
    EXPECT_EQ(refused.status, 400) << body;
    EXPECT_EQ(code_of(refused), code) << body.substr(0, 20);
    EXPECT_TRUE(json::parse(refused.body)["id"].is_null());
  }
  EXPECT_EQ(post(request("initialize")).status, 400);
}

TEST_F(HttpTest, OnlyOneVersionHasBatches) {
  const std::string batch = json::array({wire(request("ping")), wire(notice("x")),
                                         wire(request("fly", json::object(), "b")), 3})
                                .dump();
  EXPECT_EQ(post_text(batch).status, 400);
  EXPECT_EQ(code_of(post_text(batch, connect("2025-06-18"))), kInvalidRequest);
  const Headers headers = connect("2025-03-26");
  const json answers = json::parse(post_text(batch, headers).body);
  ASSERT_EQ(answers.size(), 3U);
  EXPECT_EQ(answers[0]["id"], 1);
  EXPECT_EQ(answers[1]["error"]["code"], kMethodNotFound);
  EXPECT_EQ(answers[2]["error"]["code"], kInvalidRequest);
  EXPECT_EQ(post_text("[]", headers).status, 400);
  EXPECT_EQ(post_text(json(std::vector<json>(51, wire(request("ping")))).dump(), headers).status,
            400);
  EXPECT_EQ(post_text(json::array({wire(notice("x"))}).dump(), headers).status, 202);
}

TEST_F(HttpTest, ABatchThatMayWaitEndsWithItsClient) {
  const Headers headers = connect("2025-03-26");
  const std::string session = create();
  Message test = tool_call("test", {{"session", session}});
  test.id = "t";
  const std::string batch = json::array({wire(request("ping")), wire(test)}).dump();
  const Response gone = post_text(batch, headers);
  ASSERT_TRUE(gone.stream);
  gone.stream([](std::string_view) { return false; });
  EXPECT_TRUE(service_->get(session)->tests.empty());
  std::string text;
  post_text(batch, headers).stream([&](std::string_view piece) { return text += piece, true; });
  const json answers = json::parse(text);
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_EQ(answers[1]["id"], "t");
  EXPECT_EQ(answers[1]["result"]["structuredContent"]["status"], "ok");
}

// The second connection was given the first one's answer.
TEST_F(HttpTest, AKeyDoesNotMixConnections) {
  const auto begin = [&](const Headers& headers) {
    RawRequest raw{.method = "POST", .path = "/mcp"};
    raw.content_type = "application/json";
    raw.idempotency_key = "same";
    raw.body = wire(tool_call("begin", {{"task", "quick"}})).dump();
    raw.headers = headers;
    return json::parse(dispatcher_->dispatch(raw).body)["result"]["structuredContent"]["session"];
  };
  const Headers mine = connect(), other = connect();
  EXPECT_NE(begin(mine), begin(other));
  EXPECT_FALSE(json::parse(post(tool_call("view"), other).body)["result"]["isError"]);
}

TEST_F(HttpTest, ARequestOfTheSecondEraStandsAlone) {
  const Message list = modern_request("tools/list");
  const Response listed = post(list, modern_headers(list));
  EXPECT_EQ(listed.status, 200);
  EXPECT_TRUE(listed.headers.empty());
  const Message unknown = modern_request("fly");
  EXPECT_EQ(post(unknown, modern_headers(unknown)).status, 404);
  const Message wrong = modern_request("tools/call", {{"name", "fly"}});
  EXPECT_EQ(post(wrong, modern_headers(wrong)).status, 400);
  EXPECT_EQ(post(notice("x"), {{kVersionHeader, "2026-07-28"}}).status, 202);
}

TEST_F(HttpTest, HeadersThatContradictTheBodyAreRefused) {
  const Message list = modern_request("tools/list");
  EXPECT_EQ(code_of(post(list)), kHeaderMismatch);
  Headers headers = modern_headers(list);
  headers[kMethodHeader] = "ping";
  EXPECT_EQ(code_of(post(list, headers)), kHeaderMismatch);
  EXPECT_EQ(code_of(post(request("tools/list"), {{kVersionHeader, "2026-07-28"}})), kInvalidParams);
}

TEST_F(HttpTest, AnotherVersionIsToldWhichThereAre) {
  Message list = modern_request("tools/list");
  list.params["_meta"][kVersionKey] = "2030-01-01";
  const Response refused = post(list, modern_headers(list));
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(code_of(refused), kUnsupportedVersion);
  Headers headers = connect();
  headers[kVersionHeader] = "1999-01-01";
  const Response older = post(request("ping"), headers);
  EXPECT_EQ(older.status, 400);
  EXPECT_EQ(code_of(older), kInvalidRequest);
  EXPECT_THAT(older.body, ::testing::HasSubstr("2024-11-05, 2025-03-26, 2025-06-18, 2025-11-25"));
}

TEST_F(HttpTest, ProgressComesAsEventsAndTheAnswerLast) {
  const Headers headers = connect();
  post(tool_call("begin", {{"task", "quick"}}), headers);
  post(tool_call("edit", {{"op", "insert"}, {"after_line", 1}, {"content", "FAKE_SLEEP=3"}}),
       headers);
  Message test = tool_call("test");
  test.params["_meta"] = {{"progressToken", 5}};
  Headers accepting = headers;
  accepting["accept"] = "application/json, text/event-stream";
  const Response streamed = post(test, accepting);
  EXPECT_EQ(streamed.content_type, "text/event-stream");
  ASSERT_TRUE(streamed.stream);
  std::string text;
  streamed.stream([&](std::string_view chunk) {
    text += chunk;
    return true;
  });
  EXPECT_THAT(text,
              ::testing::HasSubstr("event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":"
                                   "\"notifications/progress\",\"params\":{\"progressToken\":5"));
  const std::string last = text.substr(text.rfind("data: ") + 6);
  EXPECT_EQ(json::parse(last)["result"]["structuredContent"]["status"], "ok");
  EXPECT_FALSE(post(test, headers).stream);  // this client takes no events
}

TEST_F(HttpTest, AClientThatIsGoneEndsTheStream) {
  const Headers headers = connect();
  post(tool_call("begin", {{"task", "quick"}}), headers);
  post(tool_call("edit", {{"op", "insert"}, {"after_line", 1}, {"content", "FAKE_SLEEP=9"}}),
       headers);
  Message test = tool_call("test", {{"wait", 60}});
  test.params["_meta"] = {{"progressToken", 5}};
  Headers accepting = headers;
  accepting["accept"] = "text/event-stream";
  int writes = 0;
  post(test, accepting).stream([&](std::string_view) {
    ++writes;
    return false;
  });
  EXPECT_EQ(writes, 1);
}

TEST_F(HttpTest, ACancelledRequestIsAcceptedAndNotAnswered) {
  const Headers headers = connect();
  post(tool_call("begin", {{"task", "quick"}}), headers);
  post(tool_call("edit", {{"op", "insert"}, {"after_line", 1}, {"content", "FAKE_SLEEP=9"}}),
       headers);
  std::jthread waiting([&] {
    Message test = tool_call("test", {{"wait", 60}});
    test.id = "slow";
    const Response response = post(test, headers);
    EXPECT_EQ(response.status, 202);
    EXPECT_TRUE(response.body.empty());
  });
  while (service_->get(service_->list()[0].id)->tests.empty()) std::this_thread::yield();
  EXPECT_EQ(post(notice("notifications/cancelled", {{"requestId", "slow"}}), headers).status, 202);
}

TEST_F(HttpTest, ItIsAmongTheRoutesAndHasNoGet) {
  RawRequest get{.method = "GET", .path = "/mcp"};
  const Response refused = dispatcher_->dispatch(get);
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.headers[0].second, "DELETE, POST");
  const ordered_json api = openapi_document(dispatcher_->routes());
  EXPECT_TRUE(api["paths"]["/mcp"]["post"].contains("requestBody"));
  RawRequest foreign{.method = "POST", .path = "/mcp"};
  foreign.origin = "http://evil.example";
  EXPECT_EQ(dispatcher_->dispatch(foreign).status, 403);
}

}  // namespace
}  // namespace bitloop::api::mcp
