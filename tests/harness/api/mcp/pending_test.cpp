#include "harness/api/mcp/pending.h"

#include <gtest/gtest.h>

namespace bitloop::api::mcp {
namespace {

Message notice(const char* method, nlohmann::json params) {
  return {Message::Kind::kNotification, nullptr, method, std::move(params)};
}

TEST(Pending, ANoticeCancelsTheRequestItNames) {
  Pending pending;
  const CancelFlag number = pending.begin(1);
  const CancelFlag text = pending.begin("1");
  pending.take_notice(notice("notifications/initialized", {{"requestId", 1}}));
  EXPECT_FALSE(*number);
  pending.take_notice(notice("notifications/cancelled", {{"requestId", 1}}));
  EXPECT_TRUE(*number);
  EXPECT_FALSE(*text);
  pending.take_notice(notice("notifications/cancelled", nlohmann::json::object()));
  pending.take_notice(notice("notifications/cancelled", {{"requestId", {1, 2}}}));
}

TEST(Pending, AnEndedRequestIsForgottenButNotItsSuccessor) {
  Pending pending;
  const CancelFlag first = pending.begin(1);
  const CancelFlag second = pending.begin(1);
  pending.end(1, first);
  pending.cancel(1);
  EXPECT_FALSE(*first);
  EXPECT_TRUE(*second);
  pending.end(1, second);
  pending.cancel_all();
  EXPECT_FALSE(*first);
}

}  // namespace
}  // namespace bitloop::api::mcp
