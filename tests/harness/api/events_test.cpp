#include "harness/api/events.h"

#include <gtest/gtest.h>

namespace bitloop::api {
namespace {

TEST(Events, AnEventInTheStandardsForm) {
  EXPECT_EQ(render_event({"c1", "edit", "{\"a\":1}"}), "id: c1\nevent: edit\ndata: {\"a\":1}\n\n");
  EXPECT_EQ(render_event({"", "step", "{}"}), "event: step\ndata: {}\n\n");
}

TEST(StreamLimit, CallsKeepTheirThreads) {
  StreamLimit limit(1500);
  limit.fit(5000);
  EXPECT_EQ(limit.most(), 1500U);
  limit.fit(1600);
  EXPECT_EQ(limit.most(), 1088U);
  limit.fit(100);
  EXPECT_EQ(limit.most(), 50U);
  limit.fit(1600);
  EXPECT_EQ(limit.most(), 50U);
}

}  // namespace
}  // namespace bitloop::api
