#include "harness/sessions/feeds.h"

#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <stdexcept>
#include <thread>

#include "tests/harness/sessions/commit_words.h"

namespace bitloop::sessions {
namespace {

using namespace std::chrono_literals;

Result<std::vector<PastEvent>> no_past() { return std::vector<PastEvent>(); }

std::string heard(Feed& feed, Feed::Position& position) {
  std::string words;
  for (const Feed::Item& item : feed.next(position, 1000, 0ms))
    words += item.commit.session + ":" + word_of(item.commit.commit) + " ";
  return words;
}

TEST(Feeds, HeardIsWhatWasPublished) {
  Feeds feeds;
  feeds.continue_after(7);
  const auto feed = *feeds.open("s", no_past);
  Feed::Position position = feed->beginning();
  {
    auto ticket = feeds.take();
    EXPECT_EQ(ticket.sequence(), 8U);
    ticket.published("s", name_of("a"));
    EXPECT_EQ(heard(*feed, position), "");  // not yet
  }
  { auto given_up = feeds.take(); }
  {
    auto other = feeds.take();
    other.published("t", name_of("b"));
  }
  EXPECT_EQ(heard(*feed, position), "s:a ");
}

TEST(Feeds, AllSessionsAreHeardInTheOrderOfTheirNumbers) {
  Feeds feeds;
  const auto all = *feeds.open(Feeds::kAll, no_past);
  const auto own = *feeds.open("t", no_past);
  Feed::Position position = all->beginning(), own_position = own->beginning();
  std::optional<Feeds::Ticket> first, second, third;
  const auto take = [&](std::optional<Feeds::Ticket>& ticket) {
    struct Take {
      Feeds& feeds;
      operator Feeds::Ticket() const { return feeds.take(); }
    };
    ticket.emplace(Take{feeds});
  };
  take(first);
  take(second);
  take(third);
  second->published("t", name_of("b"));
  second.reset();
  EXPECT_EQ(heard(*own, own_position), "t:b ");  // its session needs not wait
  EXPECT_EQ(heard(*all, position), "");
  first.reset();  // its commit failed
  EXPECT_EQ(heard(*all, position), "t:b ");
  third->published("s", name_of("c"));
  third.reset();
  EXPECT_EQ(heard(*all, position), "s:c ");
}

TEST(Feeds, WhatIsHeldBackIsNotHeardFromThePastEither) {
  Feeds feeds;
  auto first = feeds.take();  // 1, still being written
  {
    auto second = feeds.take();
    second.published("s", name_of("b"));
  }
  const auto all = *feeds.open(Feeds::kAll, [&]() -> Result<std::vector<PastEvent>> {
    // On disk are one from before there were numbers, and the one with number 2.
    return std::vector<PastEvent>{{0, {"s", name_of("old")}}, {2, {"s", name_of("b")}}};
  });
  Feed::Position position = all->beginning();
  EXPECT_EQ(heard(*all, position), "s:old ");
}

TEST(Feeds, AnEventIsHeardOnceThoughItIsPublishedWhileThePastIsRead) {
  Feeds feeds;
  const auto all = *feeds.open(Feeds::kAll, [&]() -> Result<std::vector<PastEvent>> {
    auto ticket = feeds.take();
    ticket.published("s", name_of("b"));
    return std::vector<PastEvent>{{0, {"s", name_of("a")}}, {1, {"s", name_of("b")}}};
  });
  Feed::Position position = all->beginning();
  EXPECT_EQ(heard(*all, position), "s:a s:b ");
}

// A session's listener that came between a commit and the end of its ticket heard it twice.
TEST(Feeds, AnEventThatIsWrittenButNotSettledIsHeardOnceOnItsSessionsStream) {
  Feeds feeds;
  { feeds.take().published("s", name_of("a")); }
  std::shared_ptr<Feed> feed;
  Feed::Position position;
  {
    auto ticket = feeds.take();
    ticket.published("s", name_of("b"));
    feed = *feeds.open("s", [&]() -> Result<std::vector<PastEvent>> {
      return std::vector<PastEvent>{{1, {"s", name_of("a")}},
                                    {ticket.sequence(), {"s", name_of("b")}}};
    });
    position = feed->beginning();
    EXPECT_EQ(heard(*feed, position), "s:a ");
  }
  EXPECT_EQ(heard(*feed, position), "s:b ");
}

TEST(Feeds, AFeedIsMadeOnceAndGoesWithItsListeners) {
  Feeds feeds;
  int reads = 0;
  const auto read = [&] { return ++reads, no_past(); };
  auto one = *feeds.open("s", read);
  auto two = *feeds.open("s", read);
  EXPECT_EQ(one, two);
  EXPECT_EQ(reads, 1);
  EXPECT_TRUE(feeds.is_heard("s"));
  EXPECT_FALSE(feeds.is_heard("t"));
  one.reset();
  two.reset();
  EXPECT_FALSE(feeds.is_heard("s"));
  EXPECT_TRUE(feeds.open("s", read));
  EXPECT_EQ(reads, 2);
}

TEST(Feeds, APastThatCannotBeReadIsAnErrorAndTheNextOneTriesAgain) {
  Feeds feeds;
  const auto broken = feeds.open("s", []() -> Result<std::vector<PastEvent>> {
    return fail("journal_failed", "as the test wants");
  });
  EXPECT_EQ(broken.error().code, "journal_failed");
  EXPECT_TRUE(feeds.open("s", no_past));
}

TEST(Feeds, ThePastOfAllSessionsIsReadOnce) {
  Feeds feeds;
  int reads = 0;
  const auto read = [&] { return ++reads, no_past(); };
  auto all = *feeds.open(Feeds::kAll, read);
  EXPECT_TRUE(feeds.is_heard("s"));
  all.reset();
  EXPECT_FALSE(feeds.is_heard("s"));  // though the feed is kept
  { feeds.take().published("s", name_of("a")); }
  all = *feeds.open(Feeds::kAll, read);
  EXPECT_EQ(reads, 1);
  Feed::Position position = all->beginning();
  EXPECT_EQ(heard(*all, position), "s:a ");
}

TEST(Feeds, APastThatThrowsLeavesNobodyWaiting) {
  for (const char* name : {"s", Feeds::kAll}) {
    Feeds feeds;
    std::jthread other;
    std::atomic<bool> entered{false};
    const auto broken = [&]() -> Result<std::vector<PastEvent>> {
      other = std::jthread([&] {
        entered = true;
        feeds.open(name, no_past).value_or(nullptr);  // waits for the past, or comes after it
      });
      while (!entered) std::this_thread::yield();
      throw std::runtime_error("as the test wants");
    };
    EXPECT_THROW((void)feeds.open(name, broken), std::runtime_error);
    other.join();
    EXPECT_TRUE(feeds.open(name, no_past));
  }
}

TEST(Feeds, NothingOpensAfterTheEnd) {
  Feeds feeds;
  const auto feed = *feeds.open("s", no_past);
  feeds.stop();
  EXPECT_TRUE(feed->stopped());
  EXPECT_EQ(feeds.open("s", no_past).error().code, "stopping");
}

// Many sessions commit at once: the order is that of the numbers, and nothing is missing.
TEST(Feeds, UnderManyWriters) {
  Feeds feeds;
  const auto all = *feeds.open(Feeds::kAll, no_past);
  {
    std::vector<std::jthread> writers;
    for (int w = 0; w < 8; ++w)
      writers.emplace_back([&feeds, w] {
        for (int i = 0; i < 200; ++i) {
          auto ticket = feeds.take();
          if (i % 7 != 0)
            ticket.published(std::to_string(w), name_of(std::to_string(ticket.sequence())));
        }
      });
  }
  Feed::Position position = all->beginning();
  uint64_t last = 0;
  size_t count = 0;
  for (const Feed::Item& item : all->next(position, 10'000, 0ms)) {
    const uint64_t sequence = std::stoull(word_of(item.commit.commit));
    EXPECT_GT(sequence, last);
    last = sequence;
    ++count;
  }
  EXPECT_EQ(count, 8U * (200 - 29));
}

}  // namespace
}  // namespace bitloop::sessions
