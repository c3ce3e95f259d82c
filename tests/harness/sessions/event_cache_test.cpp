#include "harness/sessions/event_cache.h"

#include <gtest/gtest.h>

namespace bitloop::sessions {
namespace {

TEST(EventCache, MakesAnEventOnceAndForgetsOldOnes) {
  EventCache cache;
  int made = 0;
  const auto make = [&](const FeedCommit& commit) -> Result<EventPtr> {
    ++made;
    return std::make_shared<const StreamEvent>(StreamEvent{commit.commit, "edit", "{}"});
  };
  const auto first = *cache.get({"s", "a"}, make);
  EXPECT_EQ(*cache.get({"s", "a"}, make), first);
  EXPECT_EQ(made, 1);
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(cache.get({"s", std::to_string(i)}, make));
  EXPECT_EQ((*cache.get({"s", "a"}, make))->id, "a");
  EXPECT_EQ(made, 10'002);
}

TEST(EventCache, AFailureIsNotRemembered) {
  EventCache cache;
  const auto broken = [](const FeedCommit&) -> Result<EventPtr> {
    return fail("unknown_commit", "as the test wants");
  };
  const auto good = [](const FeedCommit& commit) -> Result<EventPtr> {
    return std::make_shared<const StreamEvent>(StreamEvent{commit.commit, "edit", "{}"});
  };
  EXPECT_EQ(cache.get({"s", "a"}, broken).error().code, "unknown_commit");
  EXPECT_TRUE(cache.get({"s", "a"}, good));
}

}  // namespace
}  // namespace bitloop::sessions
