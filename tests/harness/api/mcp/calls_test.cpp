#include "harness/api/mcp/calls.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace bitloop::api::mcp {
namespace {

TEST(Calls, ARouteIsAFunction) {
  const Calls calls(
      {{"POST",
        "/things/{id}",
        "",
        {},
        {},
        200,
        "",
        [](const Request& request) -> Result<Response> {
          if (request.parameters.at("id") == "none") return fail("gone", "No.");
          return json_response({{"id", request.parameters.at("id")}, {"n", *request.number("n")}});
        }}});
  const auto answer = calls.call("POST", "/things/{id}", {{{"id", "7"}}, {}, {{"n", 3}}});
  EXPECT_EQ(answer->dump(), R"({"id":"7","n":3})");
  EXPECT_EQ(calls.call("POST", "/things/{id}", {{{"id", "none"}}}).error().code, "gone");
  EXPECT_THROW(calls.route("GET", "/things/{id}"), std::logic_error);
}

}  // namespace
}  // namespace bitloop::api::mcp
