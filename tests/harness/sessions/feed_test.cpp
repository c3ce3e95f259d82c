#include "harness/sessions/feed.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/harness/sessions/commit_words.h"

namespace bitloop::sessions {
namespace {

using namespace std::chrono_literals;

// A feed whose commits are named by one word each.
class FeedTest : public ::testing::Test {
 protected:
  static FeedCommit commit(const std::string& word) { return {"s", name_of(word)}; }
  void add(const std::string& name) { feed_.add(commit(name)); }
  void record(const std::string& text) {
    feed_.add_progress(std::make_shared<const StreamEvent>(StreamEvent{"", "step", text}));
  }
  std::string heard(Feed::Position& position, size_t most = 100) {
    std::string words;
    for (const Feed::Item& item : feed_.next(position, most, 0ms))
      words += (item.progress ? item.progress->data : word_of(item.commit.commit)) + " ";
    return words;
  }
  Feed feed_;
};

TEST_F(FeedTest, ThePastComesBeforeWhatWasAddedMeanwhile) {
  add("c");
  add("d");
  feed_.fill({commit("a"), commit("b"), commit("c")});
  Feed::Position position = feed_.beginning();
  EXPECT_EQ(heard(position), "a b c d ");
  EXPECT_EQ(heard(position), "");
  add("e");
  EXPECT_EQ(heard(position), "e ");
}

TEST_F(FeedTest, AListenerBeginsAfterACommitItKnows) {
  feed_.fill({commit("a"), commit("b"), commit("c")});
  auto position = *feed_.after(name_of("b"));
  EXPECT_EQ(word_of(feed_.before(position)->commit), "b");
  EXPECT_EQ(heard(position), "c ");
  EXPECT_FALSE(feed_.after("nothing"));
  EXPECT_FALSE(feed_.after(name_of("nothing")));
  EXPECT_FALSE(feed_.after(""));
  EXPECT_FALSE(feed_.before(feed_.beginning()));
  position = feed_.now();
  EXPECT_EQ(heard(position), "");
}

TEST_F(FeedTest, NoMoreThanAskedFor) {
  feed_.fill({commit("a"), commit("b"), commit("c")});
  Feed::Position position = feed_.beginning();
  EXPECT_EQ(heard(position, 2), "a b ");
  EXPECT_EQ(heard(position, 2), "c ");
}

TEST_F(FeedTest, RecordsComeBetweenTheirCommits) {
  feed_.fill({commit("started")});
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
