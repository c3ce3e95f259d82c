#include "harness/sessions/listener.h"

#include <gtest/gtest.h>

#include "tests/harness/sessions/commit_words.h"

namespace bitloop::sessions {
namespace {

using namespace std::chrono_literals;

// Commits whose name is their kind of event; "broken" can't be read.
Result<EventPtr> read(const FeedCommit& commit) {
  const std::string kind = word_of(commit.commit);
  if (kind == "broken") return fail("unknown_commit", "as the test wants");
  return std::make_shared<const StreamEvent>(StreamEvent{commit.commit, kind, "{}"});
}

std::shared_ptr<Feed> feed_of(const std::vector<std::string>& words) {
  auto feed = std::make_shared<Feed>();
  std::vector<FeedCommit> commits;
  for (const std::string& word : words) commits.push_back({"s", name_of(word)});
  feed->fill(commits);
  return feed;
}

TEST(Listener, IsOverWithTheSubmission) {
  const auto feed = feed_of({"session", "submission"});
  Listener listener(feed, feed->beginning(), true, read);
  EXPECT_FALSE(listener.is_over());
  EXPECT_EQ(listener.next(0ms).size(), 2U);
  EXPECT_TRUE(listener.is_over());
  EXPECT_EQ(listener.last_event(), name_of("submission"));
  EXPECT_TRUE(Listener(feed, feed->now(), true, read).is_over());
  EXPECT_FALSE(Listener(feed, feed->now(), false, read).is_over());  // other sessions go on
}

TEST(Listener, EndsBeforeAnEventThatCannotBeRead) {
  const auto feed = feed_of({"session", "broken", "edit"});
  Listener listener(feed, feed->beginning(), true, read);
  const auto events = listener.next(0ms);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0]->kind, "session");
  EXPECT_TRUE(listener.is_over());
}

TEST(Listener, IsOverWhenTheFeedStops) {
  const auto feed = feed_of({});
  Listener listener(feed, feed->beginning(), true, read);
  feed->stop();
  EXPECT_TRUE(listener.next(60s).empty());
  EXPECT_TRUE(listener.is_over());
}

}  // namespace
}  // namespace bitloop::sessions
