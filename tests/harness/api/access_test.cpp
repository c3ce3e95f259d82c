#include "harness/api/access.h"

#include <gtest/gtest.h>

#include "tests/harness/api/mcp/mcp_fixture.h"

namespace bitloop::api {
namespace {

class AccessTest : public mcp::McpFixture {
 protected:
  std::string may(const MaybeCaller& caller, const char* method, const char* pattern,
                  const std::string& id = "") {
    std::vector<Route> routes = {Route{method, pattern, "", {}, {}, 200, "", {}}};
    guard_routes(routes, *service_);
    Request request;
    request.caller = caller;
    if (!id.empty()) request.parameters["id"] = id;
    const Status status = routes[0].may(request);
    return status ? "" : status.error().code;
  }

  const Caller ada_{"ada", Role::kAgent}, bob_{"bob", Role::kAgent}, eve_{"eve", Role::kReviewer};
};

TEST_F(AccessTest, ASessionIsItsAgentsAlone) {
  const std::string id = service_->create({.task = "quick", .token = "ada"})->id;
  const std::string old = service_->create({.task = "quick"})->id;  // from before there were tokens
  for (const char* method : {"GET", "POST", "DELETE"}) {
    EXPECT_EQ(may(ada_, method, "/v1/sessions/{id}/new", id), "");
    EXPECT_EQ(may(bob_, method, "/v1/sessions/{id}/new", id), "session_not_found");
    EXPECT_EQ(may(ada_, method, "/v1/sessions/{id}/new", old), "session_not_found");
    EXPECT_EQ(may(ada_, method, "/v1/sessions/{id}/new", "none"), "session_not_found");
    EXPECT_EQ(may({}, method, "/v1/sessions/{id}/new", id), "");
  }
  EXPECT_EQ(may(eve_, "GET", "/v1/sessions/{id}/new", id), "");
  EXPECT_EQ(may(eve_, "POST", "/v1/sessions/{id}/new", id), "role_not_allowed");
}

TEST_F(AccessTest, ANewRouteIsClosed) {
  EXPECT_EQ(may(ada_, "GET", "/v1/new"), "role_not_allowed");
  EXPECT_EQ(may(ada_, "POST", "/v1/new"), "role_not_allowed");
  EXPECT_EQ(may(eve_, "GET", "/v1/new"), "");
  EXPECT_EQ(may(eve_, "POST", "/v1/new"), "role_not_allowed");
  EXPECT_EQ(may({}, "POST", "/v1/new"), "");
}

TEST_F(AccessTest, EventsAreThoseOfTheOwnSessions) {
  const std::string id = service_->create({.task = "quick", .token = "ada"})->id;
  const sessions::StreamEvent event{"", "step", R"({"session":")" + id + R"("})"};
  EXPECT_TRUE(sees_event(ada_, *service_, event));
  EXPECT_TRUE(sees_event(eve_, *service_, event));
  EXPECT_TRUE(sees_event({}, *service_, event));
  EXPECT_FALSE(sees_event(bob_, *service_, event));
  EXPECT_FALSE(sees_event(ada_, *service_, {"", "step", "not JSON"}));
}

}  // namespace
}  // namespace bitloop::api
