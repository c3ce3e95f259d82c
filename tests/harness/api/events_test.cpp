#include "harness/api/events.h"

#include <gtest/gtest.h>

namespace bitloop::api {
namespace {

TEST(Events, AnEventInTheStandardsForm) {
  EXPECT_EQ(render_event({"c1", "edit", "{\"a\":1}"}), "id: c1\nevent: edit\ndata: {\"a\":1}\n\n");
  EXPECT_EQ(render_event({"", "step", "{}"}), "event: step\ndata: {}\n\n");
}

}  // namespace
}  // namespace bitloop::api
