#include "harness/api/route.h"

#include <gtest/gtest.h>

namespace bitloop::api {
namespace {

const std::vector<Field> kFields = {
    {"path", FieldType::kString, true, "a file", "filename"},
    {"n", FieldType::kInteger, false, "how many", "", 1, 9},
};

std::string code_of(std::string_view body) {
  const auto parsed = parse_body(body, kFields);
  return parsed ? "ok" : parsed.error().code;
}

TEST(MatchPath, ParametersAreTaken) {
  const auto match = match_path("/v1/sessions/{id}/tests/{n}", "/v1/sessions/a-b/tests/2");
  ASSERT_TRUE(match);
  EXPECT_EQ(match->at("id"), "a-b");
  EXPECT_EQ(match->at("n"), "2");
}

TEST(MatchPath, TheLastMayTakeTheRest) {
  EXPECT_EQ(match_path("/files/{path...}", "/files/quantizers/a.lua")->at("path"),
            "quantizers/a.lua");
  EXPECT_EQ(match_path("/files/{path...}", "/files/../../etc")->at("path"), "../../etc");
  EXPECT_FALSE(match_path("/files/{path...}", "/files/"));
}

TEST(MatchPath, OtherPathsDoNotMatch) {
  EXPECT_TRUE(match_path("/", "/"));
  for (const char* path :
       {"/v1", "/v1/", "/v1/sessions", "/v1/sessions/", "/v1/sessions/a/b", "v1/sessions/a", ""})
    EXPECT_FALSE(match_path("/v1/sessions/{id}", path)) << path;
}

TEST(ParseBody, FieldsAreTyped) {
  const auto parsed = parse_body(R"({"filename": "x", "n": 3})", kFields);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(*parsed, nlohmann::json({{"path", "x"}, {"n", 3}}));
  EXPECT_EQ(*parse_body(" \n", {}), nlohmann::json::object());
}

TEST(ParseBody, EachMistakeHasItsCode) {
  EXPECT_EQ(code_of("{\"path\":"), "invalid_json");
  EXPECT_EQ(code_of("{\"path\":\"\xff\"}"), "invalid_json");
  EXPECT_EQ(code_of(std::string(1'000'000, '[')), "invalid_json");
  EXPECT_EQ(code_of("{\"path\":\"[[[[[[[[[[[[[[[[[[[[[[[[[\"}"),
            "ok");  // brackets in a string nest nothing
  EXPECT_EQ(code_of("[1]"), "invalid_type");
  EXPECT_EQ(code_of("null"), "invalid_type");
  EXPECT_EQ(code_of("{}"), "missing_field");
  EXPECT_EQ(code_of(R"({"path":"x","m":1})"), "unknown_field");
  EXPECT_EQ(code_of(R"({"path":1})"), "invalid_type");
  EXPECT_EQ(code_of(R"({"path":null})"), "invalid_type");
  EXPECT_EQ(code_of(R"({"path":"x","filename":"y"})"), "invalid_value");
  EXPECT_EQ(code_of(R"({"path":"x","n":"3"})"), "invalid_type");
  EXPECT_EQ(code_of(R"({"path":"x","n":3.5})"), "invalid_type");
  EXPECT_EQ(code_of(R"({"path":"x","n":true})"), "invalid_type");
  EXPECT_EQ(code_of(R"({"path":"x","n":0})"), "invalid_value");
  EXPECT_EQ(code_of(R"({"path":"x","n":10})"), "invalid_value");
  EXPECT_EQ(code_of(R"({"path":"x","n":18446744073709551615})"), "invalid_value");
  EXPECT_EQ(code_of(R"({"path":"x","n":1e400})"), "invalid_value");
}

TEST(ParseBody, ANumberIsRefusedForWhatIsWrongWithIt) {
  const auto message = [](const std::string& number) {
    return parse_body("{\"path\":\"x\",\"n\":" + number + "}", kFields).error().message;
  };
  EXPECT_EQ(message("3.5"), "'n' must be an integer, got a fraction.");
  EXPECT_EQ(message("3.0"),
            "'n' must be an integer, got 3.0; write it without point and exponent.");
  EXPECT_EQ(message("1e30"), "'n' must be between 1 and 9, got 1e+30.");
  EXPECT_EQ(message("9223372036854775808"),
            "'n' must be between 1 and 9, got 9223372036854775808.");
  EXPECT_EQ(message("-9223372036854775809"),
            "'n' must be between 1 and 9, got -9.223372036854776e+18.");
  EXPECT_EQ(message("10"), "'n' must be between 1 and 9, got 10.");
}

TEST(ParseJson, IsBoundInDepth) {
  EXPECT_EQ((*parse_json("[1]", 1))[0], 1);
  EXPECT_EQ(parse_json("[[1]]", 1).error().code, "invalid_json");
  EXPECT_EQ(parse_json("", 1).error().code, "invalid_json");
  EXPECT_EQ(parse_json("1e999", 1).error().code, "invalid_value");
}

TEST(CheckMembers, AreThoseOfTheFields) {
  EXPECT_EQ((*check_members({{"path", "x"}, {"n", 3}}, kFields))["n"], 3);
  EXPECT_EQ(check_members(nlohmann::json::array(), kFields).error().code, "invalid_type");
  EXPECT_EQ(check_members({{"n", 3}}, kFields).error().code, "missing_field");
}

TEST(ParseQuery, NumbersAreReadWhole) {
  EXPECT_EQ((*parse_query({{"path", "x"}, {"n", "3"}}, kFields))["n"], 3);
  for (const char* text : {"", "3x", " 3", "3.0", "0x3"})
    EXPECT_EQ(parse_query({{"path", "x"}, {"n", text}}, kFields).error().code, "invalid_type")
        << text;
  EXPECT_EQ(parse_query({{"path", "x"}, {"n", "99999999999999999999"}}, kFields).error().code,
            "invalid_value");
  EXPECT_EQ(parse_query({{"path", "x"}, {"path", "y"}}, kFields).error().code, "invalid_value");
  EXPECT_EQ(parse_query({{"path", "x"}, {"z", ""}}, kFields).error().code, "unknown_field");
}

}  // namespace
}  // namespace bitloop::api
