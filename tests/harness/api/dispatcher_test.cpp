#include "harness/api/dispatcher.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>

namespace bitloop::api {
namespace {

class DispatcherTest : public ::testing::Test {
 protected:
  DispatcherTest() : dispatcher_(routes()) {}

  std::vector<Route> routes() {
    std::vector<Route> list;
    list.push_back({"GET",
                    "/things/{id}",
                    "",
                    {{"wait", FieldType::kInteger, false, ""}},
                    {},
                    200,
                    "",
                    [](const Request& request) {
                      return json_response({{"id", request.parameters.at("id")}});
                    }});
    list.push_back({"POST",
                    "/things",
                    "",
                    {},
                    {{"name", FieldType::kString, false, ""}},
                    201,
                    "",
                    [this](const Request& request) -> Result<Response> {
                      const int call = ++calls_;
                      if (request.text("name") == "throw") throw std::runtime_error("a bug");
                      if (request.text("name") == "stream") {
                        Response response;
                        response.stream = [](const auto&) {};
                        return response;
                      }
                      if (request.text("name") == "refuse") return fail("no_tests_left", "No.");
                      if (request.text("name") == "full") return fail("too_many_checks", "No.");
                      return json_response({{"call", call}, {"if_match", request.if_match}}, 201);
                    }});
    Route raw{"POST", "/raw", "", {}, {}, 200, "", [this](const Request& request) {
                return json_response({{"body", request.raw_body},
                                      {"header", request.header("x-name")},
                                      {"call", ++calls_}});
              }};
    raw.raw_body = true;
    list.push_back(std::move(raw));
    return list;
  }
  Response post(const std::string& body, const std::string& key = "",
                const std::string& type = "application/json") {
    return dispatcher_.dispatch({"POST", "/things", {}, type, "W/\"abc\"", key, body});
  }
  static std::string code_of(const Response& response) {
    EXPECT_EQ(response.content_type, "application/problem+json");
    return nlohmann::json::parse(response.body)["code"];
  }

  std::atomic<int> calls_{0};
  Dispatcher dispatcher_;
};

TEST_F(DispatcherTest, FindsTheRoute) {
  EXPECT_EQ(dispatcher_.dispatch({.method = "GET", .path = "/things/7"}).body, "{\"id\":\"7\"}\n");
  EXPECT_EQ(dispatcher_.dispatch({.method = "HEAD", .path = "/things/7"}).status, 200);
  EXPECT_EQ(nlohmann::json::parse(post("{}").body)["if_match"], "abc");
}

TEST_F(DispatcherTest, ProblemsOfRouting) {
  EXPECT_EQ(code_of(dispatcher_.dispatch({.method = "GET", .path = "/nothing"})),
            "route_not_found");
  const Response response = dispatcher_.dispatch({.method = "DELETE", .path = "/things/7"});
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.headers,
            (std::vector<std::pair<std::string, std::string>>{{"Allow", "GET, HEAD"}}));
  EXPECT_EQ(
      code_of(dispatcher_.dispatch({.method = "GET", .path = "/things/7", .query = {{"x", "1"}}})),
      "unknown_field");
}

TEST_F(DispatcherTest, ABodyMustSayThatItIsJson) {
  EXPECT_EQ(code_of(post("{}", "", "text/plain")), "unsupported_media_type");
  EXPECT_EQ(code_of(post("{}", "", "")), "unsupported_media_type");
  EXPECT_EQ(post("{}", "", "Application/JSON; charset=utf-8").status, 201);
  EXPECT_EQ(post("", "", "").status, 201);
}

TEST_F(DispatcherTest, AnExceptionIsAProblemAndTheServerLives) {
  const Response response = post(R"({"name":"throw"})");
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(code_of(response), "internal");
  EXPECT_EQ(response.body.find("a bug"), std::string::npos);  // the log has it, not the client
  EXPECT_EQ(post("{}").status, 201);
}

TEST_F(DispatcherTest, AKeyIsAnsweredOnce) {
  const Response first = post("{}", "k");
  EXPECT_EQ(post("{}", "k").body, first.body);
  EXPECT_EQ(calls_, 1);
  EXPECT_EQ(code_of(post(R"({"name":"x"})", "k")), "key_reused");
  EXPECT_NE(post("{}", "other").body, first.body);
}

TEST_F(DispatcherTest, ARouteMayReadItsBodyItself) {
  RawRequest raw{.method = "POST", .path = "/raw", .content_type = "application/json"};
  raw.body = "[1";
  raw.headers = {{"x-name", "a"}};
  EXPECT_EQ(dispatcher_.dispatch(raw).body, "{\"body\":\"[1\",\"header\":\"a\",\"call\":1}\n");
}

TEST_F(DispatcherTest, AStreamIsNotGivenTwice) {
  post(R"({"name":"stream"})", "s");
  EXPECT_TRUE(post(R"({"name":"stream"})", "s").stream);
  EXPECT_EQ(calls_, 2);
}

TEST_F(DispatcherTest, AKeyIsNoneOfARoutesThatReadsItsBodyItself) {
  RawRequest raw{.method = "POST", .path = "/raw", .content_type = "application/json"};
  raw.idempotency_key = "k";
  raw.body = "{}";
  dispatcher_.dispatch(raw);
  EXPECT_EQ(nlohmann::json::parse(dispatcher_.dispatch(raw).body)["call"], 2);
}

TEST_F(DispatcherTest, AKeyIsVisibleAscii) {
  EXPECT_EQ(post("{}", std::string(255, '~')).status, 201);
  for (const std::string& key : {std::string(256, 'k'), std::string("a b"), std::string("\xc3\xa9"),
                                 std::string("a\tb"), std::string("\x7f")}) {
    const Response refused = post("{}", key);
    EXPECT_EQ(refused.status, 422) << key;
    EXPECT_EQ(code_of(refused), "invalid_idempotency_key") << key;
  }
  EXPECT_EQ(calls_, 1);
}

TEST_F(DispatcherTest, FewLargeAnswersAreKept) {
  const std::string large(700'000, ' ');
  for (int i = 0; i < 60; ++i) post(large, "k" + std::to_string(i));
  EXPECT_EQ(calls_, 60);
  post(large, "k59");
  EXPECT_EQ(calls_, 60);
  post(large, "k0");  // pushed out: the service's own memory is in the journal
  EXPECT_EQ(calls_, 61);
}

TEST_F(DispatcherTest, IfMatchMayBeAList) {
  const Response response = dispatcher_.dispatch(
      {.method = "POST", .path = "/things", .if_match = R"( "a" , W/"b","c")", .body = {}});
  EXPECT_EQ(nlohmann::json::parse(response.body)["if_match"], "a,b,c");
}

TEST_F(DispatcherTest, ARefusalIsKeptButAFailureIsNot) {
  post(R"({"name":"refuse"})", "r");
  post(R"({"name":"refuse"})", "r");
  EXPECT_EQ(calls_, 1);
  post(R"({"name":"throw"})", "t");
  post(R"({"name":"throw"})", "t");
  EXPECT_EQ(calls_, 3);
  post(R"({"name":"full"})", "f");
  post(R"({"name":"full"})", "f");
  EXPECT_EQ(calls_, 5);
}

TEST(DispatcherLimits, TooManyCallsAtATime) {
  std::atomic<bool> release{false};
  std::atomic<int> held{0};
  std::vector<Route> routes;
  routes.push_back({"GET", "/held", "", {}, {}, 200, "", [&](const Request&) {
                      ++held;
                      while (!release) std::this_thread::yield();
                      return json_response({});
                    }});
  Dispatcher dispatcher(std::move(routes), {}, {.calls = 2});
  const auto call = [&] { return dispatcher.dispatch({.method = "GET", .path = "/held"}); };
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 2; ++i) threads.emplace_back([&] { EXPECT_EQ(call().status, 200); });
    while (held < 2) std::this_thread::yield();
    const Response refused = call();
    EXPECT_EQ(refused.status, 429);
    EXPECT_EQ(refused.headers,
              (std::vector<std::pair<std::string, std::string>>{{"Retry-After", "1"}}));
    release = true;
  }
  EXPECT_EQ(call().status, 200);
}

TEST(DispatcherLimits, AServerMayWantIfMatch) {
  std::vector<Route> routes;
  for (const char* method : {"GET", "POST"})
    routes.push_back({method, "/sessions/{id}/edits", "", {}, {}, 200, "", [](const Request&) {
                        return json_response({});
                      }});
  Dispatcher dispatcher(std::move(routes), {}, {.require_if_match = true});
  RawRequest raw{.method = "POST", .path = "/sessions/a/edits"};
  EXPECT_EQ(dispatcher.dispatch(raw).status, 428);
  raw.if_match = "\"*\"";
  EXPECT_EQ(dispatcher.dispatch(raw).status, 200);
  EXPECT_EQ(dispatcher.dispatch({.method = "GET", .path = "/sessions/a/edits"}).status, 200);
}

TEST_F(DispatcherTest, RepeatsAtTheSameTimeAreDoneOnce) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([this] { EXPECT_EQ(post("{}", "same").status, 201); });
  threads.clear();
  EXPECT_EQ(calls_, 1);
}

}  // namespace
}  // namespace bitloop::api
