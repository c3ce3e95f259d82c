#include "trainer/kernels/team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

namespace bitloop::kernels {
namespace {

TEST(Team, EachPartRunsOnceInItsOwnThread) {
  std::vector<std::thread::id> first(4);
  for (int round = 0; round < 2000; ++round) {
    const int64_t threads = round % 4 + 1;
    std::vector<int> calls(static_cast<size_t>(threads));
    run_team(threads, [&](int64_t t) {
      const auto i = static_cast<size_t>(t);
      ++calls[i];
      EXPECT_EQ(team_member(), t);
      if (first[i] == std::thread::id()) first[i] = std::this_thread::get_id();
      EXPECT_EQ(first[i], std::this_thread::get_id());
    });
    EXPECT_EQ(calls, std::vector<int>(calls.size(), 1));
  }
  EXPECT_EQ(first[0], std::this_thread::get_id());
  for (size_t a = 0; a < first.size(); ++a)
    for (size_t b = 0; b < a; ++b) EXPECT_NE(first[a], first[b]);
}

TEST(Team, WhatPartsWroteIsSeenAfterwards) {
  std::vector<int64_t> values(1000);
  for (int64_t round = 0; round < 500; ++round)
    run_team(3, [&](int64_t t) {
      const Range part = part_of(1000, 1, t, 3);
      for (int64_t i = part.begin; i < part.end; ++i) values[static_cast<size_t>(i)] += i;
    });
  for (int64_t i = 0; i < 1000; ++i) EXPECT_EQ(values[static_cast<size_t>(i)], 500 * i);
}

TEST(Team, AWaitLongerThanItsPatienceEnds) {
  std::atomic<int> done = 0;
  for (int round = 0; round < 3; ++round)
    for (const int64_t slow : {0, 1})
      run_team(2, [&](int64_t t) {
        if (t == slow) std::this_thread::sleep_for(std::chrono::milliseconds(5));
        ++done;
      });
  EXPECT_EQ(done, 12);
}

TEST(Team, NobodyPassesABarrierBeforeAllHaveCome) {
  constexpr int64_t kThreads = 3, kRounds = 3000;
  std::vector<int64_t> counts(kThreads);
  Barrier barrier(kThreads);
  std::atomic<int> wrong = 0;
  run_team(kThreads, [&](int64_t t) {
    for (int64_t round = 1; round <= kRounds; ++round) {
      counts[static_cast<size_t>(t)] = round;
      barrier.wait();
      for (const int64_t count : counts) wrong += count != round;
      barrier.wait();
    }
  });
  EXPECT_EQ(wrong, 0);
}

TEST(Team, WithinAPartAllRunsInThatThread) {
  std::vector<int> sums(2);
  run_team(2, [&](int64_t t) {
    const auto here = std::this_thread::get_id();
    run_team(3, [&](int64_t inner) {
      EXPECT_EQ(std::this_thread::get_id(), here);
      EXPECT_EQ(team_member(), t);
      sums[static_cast<size_t>(t)] += static_cast<int>(inner);
    });
  });
  EXPECT_EQ(sums, (std::vector<int>{3, 3}));
}

TEST(Team, EachItemIsDoneOnce) {
  for (const int64_t n : {0, 1, 2, 1000}) {
    std::vector<std::atomic<int>> done(static_cast<size_t>(n));
    run_items(n, [&](int64_t i) { ++done[static_cast<size_t>(i)]; });
    for (const std::atomic<int>& times : done) EXPECT_EQ(times, 1);
  }
}

TEST(Team, SharesAreAllOfItOnceAndBecomeSmaller) {
  for (const int64_t n : {0, 1, 3, 4, 17, 1000})
    for (const int64_t threads : {1, 2, 7}) {
      Shares shares(n, threads);
      std::vector<Range> runs;
      for (int64_t t = 0; t < threads; ++t)
        if (!shares.first(t).empty()) runs.push_back(shares.first(t));
      for (Range run = shares.take(); !run.empty(); run = shares.take()) runs.push_back(run);
      int64_t next = 0, longest = n;
      for (const auto [begin, end] : runs) {
        EXPECT_EQ(begin, next);
        EXPECT_LE(end - begin, longest);
        longest = end - begin;
        next = end;
      }
      EXPECT_EQ(next, n);
      EXPECT_TRUE(n == 0 || longest == 1) << n << " items, " << threads << " threads";
    }
}

TEST(Team, RunsOfSharesAreDoneOnceEach) {
  constexpr int64_t kItems = 1000;
  std::vector<std::atomic<int>> done(kItems);
  run_shares(kItems, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ++done[static_cast<size_t>(i)];
  });
  for (const auto& times : done) EXPECT_EQ(times, 1);
  run_shares(0, [](int64_t begin, int64_t end) { FAIL() << begin << " to " << end; });
}

TEST(Team, WhatAPartThrowsIsTheCallers) {
  std::atomic<int> ended = 0;
  for (const int64_t thrower : {0, 1})
    EXPECT_THROW(run_team(2,
                          [&](int64_t t) {
                            if (t == thrower) throw std::bad_alloc();
                            std::this_thread::sleep_for(std::chrono::milliseconds(20));
                            ++ended;
                          }),
                 std::bad_alloc);
  EXPECT_EQ(ended, 2);  // the other part was waited for
  run_team(2, [&](int64_t) { ++ended; });
  EXPECT_EQ(ended, 4);
}

TEST(Team, TwoCallersAtOnceBothFinish) {
  std::atomic<int64_t> sum = 0;
  const auto work = [&] {
    for (int round = 0; round < 500; ++round)
      run_team(2, [&](int64_t t) {
        EXPECT_EQ(team_member(), t);  // in turn too, where the other caller has the team
        sum += t + 1;
      });
  };
  std::thread other(work);
  work();
  other.join();
  EXPECT_EQ(sum, 2 * 500 * 3);
}

}  // namespace
}  // namespace bitloop::kernels
