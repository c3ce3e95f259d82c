#include "harness/api/gate.h"

#include <gtest/gtest.h>

#include "harness/api/dispatcher.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::api {
namespace {

std::string refusal(const Gate& gate, const std::string& host, const std::string& origin = "") {
  const Status status = gate.check_names({.host = host, .origin = origin});
  return status ? "" : status.error().code;
}

TEST(Gate, ByItselfIsAskedAsLoopback) {
  const Gate gate(GateOptions{});
  for (const char* host : {"", "localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:1", "[::1]:8"})
    EXPECT_EQ(refusal(gate, host), "") << host;
  for (const char* host : {"evil", "localhost.evil", "127.0.0.1.evil", "[::1", "[::1]evil", "::1",
                           "192.0.2.1", "[::2]"})
    EXPECT_EQ(refusal(gate, host), "host_not_allowed") << host;
  EXPECT_EQ(refusal(gate, "localhost", "http://localhost:3000"), "");
  EXPECT_EQ(refusal(gate, "localhost", "null"), "origin_not_allowed");
  EXPECT_EQ(refusal(gate, "localhost", "http://evil"), "origin_not_allowed");
}

TEST(Gate, IsAskedAsWhatItListensOn) {
  const Gate one({.listens_on = "192.0.2.1", .names = {"Lab.example"}});
  EXPECT_EQ(refusal(one, "192.0.2.1:80"), "");
  EXPECT_EQ(refusal(one, "lab.EXAMPLE"), "");
  EXPECT_EQ(refusal(one, "192.0.2.2"), "host_not_allowed");
  const Gate all({.listens_on = "0.0.0.0"});
  EXPECT_EQ(refusal(all, "192.0.2.2"), "");
  EXPECT_EQ(refusal(all, "[2001:db8::1]:80"), "");
  EXPECT_EQ(refusal(all, "evil.example"), "host_not_allowed");
}

TEST(Gate, KnowsLoopback) {
  for (const char* address : {"127.0.0.1", "127.9.9.9", "::1", "localhost", "LocalHost"})
    EXPECT_TRUE(is_loopback(address)) << address;
  for (const char* address : {"0.0.0.0", "::", "", "128.0.0.1", "localhost.evil", "10.0.0.1"})
    EXPECT_FALSE(is_loopback(address)) << address;
}

TEST(Gate, IdentifiesByTheHeader) {
  const test_support::ScratchFolder folder;
  Gate gate({.workspace = folder / "workspace"});
  EXPECT_FALSE(gate.identify({})->has_value());
  const std::string token = *TokenFile(folder / "workspace").add("eve", Role::kReviewer);
  const auto with = [&](const std::string& header) {
    return gate.identify({.headers = {{"authorization", header}}});
  };
  EXPECT_EQ(gate.identify({}).error().code, "token_missing");
  EXPECT_EQ(with(token).error().code, "token_missing");
  EXPECT_EQ(with("Basic " + token).error().code, "token_missing");
  EXPECT_EQ(with("Bearer ").error().code, "token_unknown");
  EXPECT_EQ(with("Bearer " + token + "x").error().code, "token_unknown");
  for (const char* scheme : {"Bearer ", "bearer ", "BEARER  "}) {
    const auto caller = with(scheme + token);
    ASSERT_TRUE(caller && *caller) << scheme;
    EXPECT_EQ((*caller)->role, Role::kReviewer);
  }
}

}  // namespace
}  // namespace bitloop::api
