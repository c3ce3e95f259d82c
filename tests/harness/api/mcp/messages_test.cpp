#include "harness/api/mcp/messages.h"

#include <gtest/gtest.h>

namespace bitloop::api::mcp {
namespace {

using nlohmann::json;

Message::Kind kind_of(const char* text) { return parse_message(json::parse(text))->kind; }

TEST(Messages, AreToldApart) {
  EXPECT_EQ(kind_of(R"({"jsonrpc":"2.0","id":1,"method":"ping"})"), Message::Kind::kRequest);
  EXPECT_EQ(kind_of(R"({"jsonrpc":"2.0","method":"x","params":{}})"), Message::Kind::kNotification);
  EXPECT_EQ(kind_of(R"({"jsonrpc":"2.0","id":"a","result":{}})"), Message::Kind::kResponse);
}

TEST(Messages, WhatIsNoneIsAnInvalidRequest) {
  for (const char* text :
       {"1", "null", "[]", "{}", R"({"jsonrpc":"1.0","id":1,"method":"ping"})",
        R"({"jsonrpc":"2.0","id":null,"method":"ping"})",
        R"({"jsonrpc":"2.0","id":1.5,"method":"ping"})",
        R"({"jsonrpc":"2.0","id":{},"method":"ping"})", R"({"jsonrpc":"2.0","id":1,"method":3})",
        R"({"jsonrpc":"2.0","id":1,"method":"ping","params":[1]})",
        R"({"jsonrpc":"2.0","id":1})"}) {
    const auto message = parse_message(json::parse(text));
    ASSERT_FALSE(message) << text;
    EXPECT_EQ(message.error().code, kInvalidRequest) << text;
  }
}

TEST(Messages, NullParamsAreAbsentOnes) {
  const auto message =
      parse_message(json::parse(R"({"jsonrpc":"2.0","id":1,"method":"ping","params":null})"));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->params, json::object());
}

TEST(Messages, AnIdIsReadWhateverElseIsWrong) {
  EXPECT_EQ(readable_id(json::parse(R"({"id":7,"method":3})")), 7);
  EXPECT_EQ(readable_id(json::parse(R"({"jsonrpc":"1.0","id":"a"})")), "a");
  for (const char* text : {"[1]", "3", "{}", R"({"id":null})", R"({"id":{}})", R"({"id":1.5})"})
    EXPECT_TRUE(readable_id(json::parse(text)).is_null()) << text;
}

TEST(Messages, MetaIsReadWhereItIsAnObject) {
  Message message;
  message.params = {{"_meta", {{"progressToken", 7}}}};
  EXPECT_EQ(message.meta("progressToken"), 7);
  EXPECT_TRUE(message.meta("other").is_null());
  message.params = {{"_meta", 3}};
  EXPECT_TRUE(message.meta("progressToken").is_null());
}

TEST(Messages, AnswersCarryTheIdAsItWas) {
  EXPECT_EQ(to_line(result_message("1", {{"a", 1}})),
            R"({"jsonrpc":"2.0","id":"1","result":{"a":1}})");
  EXPECT_EQ(to_line(error_message(nullptr, {kParseError, "no"})),
            R"({"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}})");
  EXPECT_EQ(to_line(error_message(2, {kInvalidParams, "no", {{"x", 1}}})),
            R"({"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"no","data":{"x":1}}})");
}

TEST(Messages, ALineHoldsNoLineEndAndOnlyUtf8) {
  EXPECT_EQ(to_line(notification_message("x", {{"a", "1\n\xff"}})),
            "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{\"a\":\"1\\n\xef\xbf\xbd\"}}");
}

}  // namespace
}  // namespace bitloop::api::mcp
