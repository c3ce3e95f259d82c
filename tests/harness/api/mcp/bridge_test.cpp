#include "harness/api/mcp/bridge.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string>

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

}  // namespace
}  // namespace bitloop::api::mcp
