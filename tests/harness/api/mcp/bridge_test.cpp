#include "harness/api/mcp/bridge.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "harness/api/dispatcher.h"
#include "harness/api/server.h"

namespace bitloop::api::mcp {
namespace {

TEST(ServerUrl, IsWhatServePrints) {
  for (const char* url : {"http://127.0.0.1:8321", "http://127.0.0.1:8321/",
                          "http://127.0.0.1:8321/mcp", "http://127.0.0.1:8321/mcp/"}) {
    const auto address = parse_server_url(url);
    ASSERT_TRUE(address) << url;
    EXPECT_EQ(address->host, "127.0.0.1");
    EXPECT_EQ(address->port, 8321);
  }
  for (const char* url : {"", "8321", "127.0.0.1:8321", "https://127.0.0.1:8321", "http://:1",
                          "http://localhost", "http://localhost:0", "http://localhost:99999",
                          "http://localhost:1x", "http://localhost:8321/v1"})
    EXPECT_EQ(parse_server_url(url).error().code, "bad_value") << url;
}

// With a server it is tested in tests/e2e/mcp_test.py.
TEST(Bridge, WithoutAServerTheClientIsToldSo) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  {
    Bridge bridge({"127.0.0.1", 1}, ends[1]);
    bridge.take(R"({"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"test"}})");
  }
  Bridge bridge({"127.0.0.1", 1}, ends[1]);
  bridge.take(R"({"jsonrpc":"2.0","id":"b","method":"ping"})");
  bridge.take(R"({"jsonrpc":"2.0","method":"notifications/initialized"})");
  bridge.take("{");
  ::close(ends[1]);
  std::string text(65536, '\0');
  text.resize(static_cast<size_t>(::read(ends[0], text.data(), text.size())));
  EXPECT_NE(text.find("\"id\":\"a\",\"error\""), std::string::npos) << text;
  EXPECT_NE(text.find("\"id\":\"b\",\"error\""), std::string::npos) << text;
  EXPECT_NE(text.find("is `bitloop serve` running there?"), std::string::npos) << text;
  EXPECT_NE(text.find("-32700"), std::string::npos) << text;
  ::close(ends[0]);
}

// The end took as long as the server's answer: up to 90 seconds.
TEST(Bridge, TheEndOfInputWaitsForNoAnswer) {
  std::atomic<bool> release{false};
  std::atomic<int> held{0};
  Route post{"POST", "/mcp", "", {}, {}, 200, "application/json", [&](const Request&) {
               ++held;
               while (!release) std::this_thread::sleep_for(std::chrono::milliseconds(2));
               return json_response({});
             }};
  post.raw_body = true;
  Dispatcher dispatcher({post});
  Server server(dispatcher, {});
  const int port = server.bind().value();
  std::thread serving([&] { server.run(); });
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  {
    Bridge bridge({"127.0.0.1", port}, ends[1]);
    const auto call = [&](int id) {
      bridge.take(fmt::format(
          R"({{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{{"name":"test"}}}})", id));
    };
    for (int i = 0; i < 64; ++i) call(i);
    while (held < 64) std::this_thread::yield();
    call(64);  // queues, and is never sent
  }
  EXPECT_FALSE(release);
  EXPECT_EQ(held, 64);
  ::close(ends[1]);
  std::string text(65536, '\0');
  text.resize(static_cast<size_t>(::read(ends[0], text.data(), text.size())));
  EXPECT_NE(text.find("The input ended before the answer came."), std::string::npos) << text;
  ::close(ends[0]);
  release = true;
  server.stop();
  serving.join();
}

}  // namespace
}  // namespace bitloop::api::mcp
