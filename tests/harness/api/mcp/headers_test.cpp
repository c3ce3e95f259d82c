#include "harness/api/mcp/headers.h"

#include "tests/harness/api/mcp/mcp_fixture.h"

namespace bitloop::api::mcp {
namespace {

TEST(Headers, WhatIsNoPlainTextIsEncoded) {
  EXPECT_EQ(header_form("bitloop://files/lua.md"), "bitloop://files/lua.md");
  EXPECT_EQ(header_form(""), "");
  EXPECT_EQ(header_form(" a"), "=?base64?IGE=?=");
  EXPECT_EQ(header_form("a\n"), "=?base64?YQo=?=");
  EXPECT_EQ(header_form("abé"), "=?base64?YWLDqQ==?=");
  EXPECT_EQ(header_form("ab\t"), "=?base64?YWIJ?=");
  EXPECT_EQ(header_form("=?base64?YQ==?="), "=?base64?PT9iYXNlNjQ/WVE9PT89?=");
}

TEST(Headers, MustSayWhatTheBodySays) {
  const Message message = modern_request("resources/read", {{"uri", "bitloop://tasks"}});
  Request request;
  for (const auto& [name, value] : repeated_headers(message)) request.headers[name] = value;
  EXPECT_EQ(request.headers.size(), 3U);
  EXPECT_TRUE(check_headers(request, message));
  for (const char* name : {kVersionHeader, kMethodHeader, kNameHeader}) {
    Request other = request;
    other.headers[name] = "other";
    EXPECT_EQ(check_headers(other, message).error().code, kHeaderMismatch) << name;
    other.headers.erase(name);
    EXPECT_EQ(check_headers(other, message).error().code, kHeaderMismatch) << name;
  }
  EXPECT_EQ(repeated_headers(modern_request("tools/list")).size(), 2U);
}

TEST(Headers, MayEncodeWhatNeedsNoEncoding) {
  const Message message = modern_request("tools/call", {{"name", "ab"}});
  Request request;
  for (const auto& [name, value] : repeated_headers(message)) request.headers[name] = value;
  request.headers[kNameHeader] = "=?base64?YWI=?=";
  EXPECT_TRUE(check_headers(request, message));
  for (const char* other : {"=?base64?YWJ=?=", "=?base64?YWI?=", "=?base64?YWM=?=", "=?base64?="}) {
    request.headers[kNameHeader] = other;
    EXPECT_FALSE(check_headers(request, message)) << other;
  }
}

}  // namespace
}  // namespace bitloop::api::mcp
