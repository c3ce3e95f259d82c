#include "harness/sessions/feed.h"

#include <gtest/gtest.h>

#include <thread>

namespace bitloop::sessions {
namespace {

using namespace std::chrono_literals;

// A feed whose commits are named by one word each.
class FeedTest : public ::testing::Test {
 protected:
  void add(const std::string& name) { feed_.add({"s", name}); }
  void record(const std::string& text) {
    feed_.add_progress(std::make_shared<const StreamEvent>(StreamEvent{"", "step", text}));
  }
  std::string heard(Feed::Position& position, size_t most = 100) {
    std::string words;
    for (const Feed::Item& item : feed_.next(position, most, 0ms))
      words += (item.progress ? item.progress->data : item.commit.commit) + " ";
    return words;
  }
  Feed feed_;
};

TEST_F(FeedTest, ThePastComesBeforeWhatWasAddedMeanwhile) {
  add("c");
  add("d");
  feed_.fill({{"s", "a"}, {"s", "b"}, {"s", "c"}});
  Feed::Position position = feed_.beginning();
  EXPECT_EQ(heard(position), "a b c d ");
  EXPECT_EQ(heard(position), "");
  add("e");
  EXPECT_EQ(heard(position), "e ");
}

TEST_F(FeedTest, AListenerBeginsAfterACommitItKnows) {
  feed_.fill({{"s", "a"}, {"s", "b"}, {"s", "c"}});
  auto position = *feed_.after("b");
  EXPECT_EQ(feed_.before(position)->commit, "b");
  EXPECT_EQ(heard(position), "c ");
  EXPECT_FALSE(feed_.after("nothing"));
  EXPECT_FALSE(feed_.after(""));
  EXPECT_FALSE(feed_.before(feed_.beginning()));
  position = feed_.now();
  EXPECT_EQ(heard(position), "");
}

TEST_F(FeedTest, NoMoreThanAskedFor) {
  feed_.fill({{"s", "a"}, {"s", "b"}, {"s", "c"}});
  Feed::Position position = feed_.beginning();
  EXPECT_EQ(heard(position, 2), "a b ");
  EXPECT_EQ(heard(position, 2), "c ");
}

TEST_F(FeedTest, RecordsComeBetweenTheirCommits) {
  feed_.fill({{"s", "started"}});
  Feed::Position here = feed_.beginning();
  record("1");
  record("2");
  add("finished");
  record("3");
  EXPECT_EQ(heard(here), "started 1 2 finished 3 ");
  Feed::Position late = feed_.beginning();  // records are live or not at all
  EXPECT_EQ(heard(late), "started finished ");
}

TEST_F(FeedTest, ASlowListenerMissesRecordsButNoCommit) {
  feed_.fill({});
  Feed::Position slow = feed_.beginning();
  for (int i = 0; i < 2000; ++i) record(std::to_string(i));
  add("end");
  const std::string words = heard(slow, 10'000);
  EXPECT_TRUE(words.ends_with("1999 end ")) << words.substr(0, 100);
  EXPECT_FALSE(words.starts_with("0 "));
}

TEST_F(FeedTest, WaitsForNewsAndForTheEnd) {
  feed_.fill({});
  std::jthread other([this] {
    std::this_thread::sleep_for(5ms);
    add("late");
  });
  Feed::Position position = feed_.beginning();
  EXPECT_EQ(feed_.next(position, 1, 60s).size(), 1U);
  std::jthread end([this] { feed_.stop(); });
  EXPECT_TRUE(feed_.next(position, 1, 60s).empty());
  EXPECT_TRUE(feed_.stopped());
  EXPECT_FALSE(feed_.wait_filled());
}

}  // namespace
}  // namespace bitloop::sessions
