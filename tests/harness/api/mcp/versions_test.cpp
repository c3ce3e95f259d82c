#include "harness/api/mcp/versions.h"

#include "tests/harness/api/mcp/mcp_fixture.h"

namespace bitloop::api::mcp {
namespace {

TEST(Versions, TheOneAskedForOrTheNewestOfTheFirstEra) {
  for (const std::string_view version : kHandshakeVersions) EXPECT_EQ(negotiate(version), version);
  EXPECT_EQ(negotiate("2023-01-01"), "2025-11-25");
  EXPECT_EQ(negotiate(kModernVersion), "2025-11-25");
  EXPECT_FALSE(is_handshake_version(kModernVersion));
}

TEST(Versions, AnEnvelopeMustBeWhole) {
  EXPECT_FALSE(has_envelope(request("tools/list")));
  const Message whole = modern_request("tools/list");
  EXPECT_TRUE(has_envelope(whole));
  EXPECT_TRUE(check_envelope(whole));
  Message message = whole;
  message.params["_meta"].erase(kClientCapabilitiesKey);
  EXPECT_EQ(check_envelope(message).error().code, kInvalidParams);
  message = whole;
  message.params["_meta"].erase(kClientInfoKey);  // a client need not say who it is
  EXPECT_TRUE(check_envelope(message));
  message.params["_meta"][kVersionKey] = 3;
  EXPECT_EQ(check_envelope(message).error().code, kInvalidParams);
}

TEST(Versions, AnotherVersionIsToldWhichThereAre) {
  Message message = modern_request("tools/list");
  message.params["_meta"][kVersionKey] = "2030-01-01";
  const RpcError error = check_envelope(message).error();
  EXPECT_EQ(error.code, kUnsupportedVersion);
  EXPECT_EQ(error.data["requested"], "2030-01-01");
  EXPECT_EQ(error.data["supported"], ordered_json::array({"2026-07-28"}));
}

}  // namespace
}  // namespace bitloop::api::mcp
