// What ranks say to each other, in real processes: the same bits everywhere, and words for the one
// that has ended or does not come.
#include "trainer/distributed/ranks.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <bit>
#include <cstring>
#include <thread>

#include "tests/trainer/distributed/processes.h"

namespace bitloop::trainer {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

// Sizes around a cache line, a thread's share and the memory's slots of 2^20 floats.
constexpr int64_t kSizes[] = {1, 0, 31, 16, 1000, 65'537, (1 << 20) + 77};

// The same on every call, other numbers for each rank, of magnitudes that make rounding show.
std::vector<at::Tensor> numbers_of(int64_t rank) {
  uint32_t random = 2463534242U + static_cast<uint32_t>(rank);
  std::vector<at::Tensor> tensors;
  for (const int64_t size : kSizes) {
    tensors.push_back(at::empty({size}, at::kFloat));
    auto* out = tensors.back().data_ptr<float>();
    for (int64_t i = 0; i < size; ++i) {
      random ^= random << 13;  // Marsaglia's xorshift
      random ^= random >> 17;
      random ^= random << 5;
      const float mantissa = static_cast<float>(random >> 8) - 8388608.0f;
      out[i] = mantissa * ((random & 1) != 0 ? 0x1p-20f : 0x1p-37f);
    }
  }
  return tensors;
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.nbytes() == b.nbytes() &&
         std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

class RanksTest : public ::testing::TestWithParam<unsigned> {};

TEST_P(RanksTest, ASumIsAddedInTheOrderOfTheRanksAndTheSameEverywhere) {
  const auto statuses = run_ranks(GetParam(), 60, [](Ranks& ranks) {
    std::vector<at::Tensor> wanted = numbers_of(0);
    for (int64_t other = 1; other < ranks.count(); ++other) {
      const std::vector<at::Tensor> theirs = numbers_of(other);
      for (size_t i = 0; i < wanted.size(); ++i) wanted[i].add_(theirs[i]);
    }
    for (int round = 0; round < 2; ++round) {
      const std::vector<at::Tensor> mine = numbers_of(ranks.rank());
      const Status summed = ranks.sum(mine);
      EXPECT_TRUE(summed) << (summed ? "" : summed.error().message);
      for (size_t i = 0; i < mine.size(); ++i) EXPECT_TRUE(same_bits(mine[i], wanted[i])) << i;
    }
    return true;
  });
  EXPECT_THAT(statuses, Each(0));
}

// Lists of tensors one after the other, while this process goes on; prepared, and without.
TEST_P(RanksTest, SumsThatBeginEarlyAreTheSameSums) {
  for (const bool prepared : {true, false}) {
    const auto statuses = run_ranks(GetParam(), 60, [prepared](Ranks& ranks) {
      if (prepared) {
        EXPECT_TRUE(ranks.prepare_early_sums(at::kCPU));
      }
      const std::vector<at::Tensor> wanted = numbers_of(ranks.rank());
      EXPECT_TRUE(ranks.sum(wanted));
      for (int round = 0; round < 3; ++round) {
        const std::vector<at::Tensor> mine = numbers_of(ranks.rank());
        for (size_t i = 0; i < mine.size(); ++i) EXPECT_TRUE(ranks.begin_sum({{mine[i]}}));
        const Status finished = ranks.finish_sums();
        EXPECT_TRUE(finished) << (finished ? "" : finished.error().message);
        for (size_t i = 0; i < mine.size(); ++i) EXPECT_TRUE(same_bits(mine[i], wanted[i])) << i;
        EXPECT_TRUE(ranks.exchange("between"));
      }
      return true;
    });
    EXPECT_THAT(statuses, Each(0));
  }
}

TEST_P(RanksTest, ABroadcastKeepsEveryBit) {
  const auto statuses = run_ranks(GetParam(), 60, [](Ranks& ranks) {
    std::vector<at::Tensor> tensors = numbers_of(ranks.rank());
    const std::vector<at::Tensor> wanted = numbers_of(0);
    for (const auto& of : {tensors, wanted}) {
      auto* first = of[4].data_ptr<float>();
      first[0] = ranks.first() || of[4].is_same(wanted[4]) ? -0.0f : 0.0f;
      first[1] = std::bit_cast<float>(0x7fc01234U);  // a NaN with something to say
    }
    EXPECT_TRUE(ranks.broadcast(tensors));
    for (size_t i = 0; i < tensors.size(); ++i) EXPECT_TRUE(same_bits(tensors[i], wanted[i])) << i;
    return true;
  });
  EXPECT_THAT(statuses, Each(0));
}

TEST_P(RanksTest, WordsOfAllReachAll) {
  const auto statuses = run_ranks(GetParam(), 60, [](Ranks& ranks) {
    const auto words_of = [](int64_t rank) {
      return rank == 1 ? std::string() : std::string(static_cast<size_t>(rank * 3000 + 3), 'a');
    };
    const auto said = ranks.exchange(words_of(ranks.rank()));
    if (!said || std::ssize(*said) != ranks.count()) return false;
    for (int64_t rank = 0; rank < ranks.count(); ++rank)
      EXPECT_EQ((*said)[static_cast<size_t>(rank)], words_of(rank).substr(0, Ranks::kMostWords));
    return true;
  });
  EXPECT_THAT(statuses, Each(0));
}

INSTANTIATE_TEST_SUITE_P(Counts, RanksTest, ::testing::Values(2U, 3U, 5U));

TEST(RanksFaultTest, TheEndOfOneIsNoticedByAllAtOnce) {
  std::vector<int> statuses;
  const double seconds = seconds_of([&] {
    statuses = run_ranks(3, 60, [](Ranks& ranks) {
      const std::vector<at::Tensor> mine = numbers_of(ranks.rank());
      EXPECT_TRUE(ranks.sum(mine));
      if (ranks.rank() == 2) ::kill(::getpid(), SIGKILL);
      const Status summed = ranks.sum(mine);
      if (summed) return false;
      EXPECT_EQ(summed.error().code, "infrastructure");
      // Rank 1 hears of it by the end of rank 0, which is the one that is connected with rank 2.
      EXPECT_THAT(summed.error().message,
                  HasSubstr(ranks.first() ? "rank 2 has ended" : "rank 0 has ended"));
      return true;
    });
  });
  EXPECT_EQ(statuses[0], 0);
  EXPECT_EQ(statuses[1], 0);
  EXPECT_TRUE(WIFSIGNALED(statuses[2]) && WTERMSIG(statuses[2]) == SIGKILL);
  EXPECT_LT(seconds, 30);  // not the 60 s that one is waited for
}

TEST(RanksFaultTest, TheEndOfOneIsNoticedByThoseWhoseSumsBeganEarly) {
  const auto statuses = run_ranks(2, 60, [](Ranks& ranks) {
    EXPECT_TRUE(ranks.prepare_early_sums(at::kCPU));
    const std::vector<at::Tensor> mine = numbers_of(ranks.rank());
    for (const at::Tensor& tensor : mine) EXPECT_TRUE(ranks.begin_sum({{tensor}}));
    EXPECT_TRUE(ranks.finish_sums());
    if (ranks.rank() == 1) ::kill(::getpid(), SIGKILL);
    for (const at::Tensor& tensor : mine) EXPECT_TRUE(ranks.begin_sum({{tensor}}));
    const Status finished = ranks.finish_sums();
    if (finished) return false;
    EXPECT_EQ(finished.error().code, "infrastructure");
    EXPECT_THAT(finished.error().message, HasSubstr("rank 1 has ended"));
    return true;
  });
  EXPECT_EQ(statuses[0], 0);
}

TEST(RanksFaultTest, TheEndOfTheFirstIsNoticedByWhoWaitsWithoutALimit) {
  const auto statuses = run_ranks(2, 1, [](Ranks& ranks) {
    if (ranks.first()) return true;
    const Status waited = ranks.wait_for_first();
    return !waited && waited.error().message.find("rank 0 has ended") != std::string::npos;
  });
  EXPECT_THAT(statuses, Each(0));
}

TEST(RanksFaultTest, OneThatIsStoppedIsNamedAfterTheTimeGiven) {
  const auto statuses = run_ranks(2, 2, [](Ranks& ranks) {
    if (ranks.rank() == 1) ::raise(SIGSTOP);
    const auto said = ranks.exchange("here");
    if (said) return false;
    EXPECT_EQ(said.error().code, "infrastructure");
    EXPECT_THAT(said.error().message,
                AllOf(HasSubstr("rank 1 did not come within 2 s"), HasSubstr("rank_wait_s")));
    return true;
  });
  EXPECT_EQ(statuses[0], 0);
}

TEST(RanksFaultTest, RanksThatWaitForTheFirstTakeLongerThanTheLimitAndNoProcessorTime) {
  const auto statuses = run_ranks(2, 1, [](Ranks& ranks) {
    if (ranks.first()) std::this_thread::sleep_for(2500ms);
    rusage before{}, after{};
    ::getrusage(RUSAGE_SELF, &before);
    EXPECT_TRUE(ranks.wait_for_first());
    ::getrusage(RUSAGE_SELF, &after);
    const auto micros = [](const timeval& time) { return time.tv_sec * 1'000'000 + time.tv_usec; };
    EXPECT_LT(micros(after.ru_utime) - micros(before.ru_utime), 500'000);
    return true;
  });
  EXPECT_THAT(statuses, Each(0));
}

TEST(RanksFaultTest, AJobThatDoesNotFitIsRefused) {
  RankConfig config;
  config.count = 3;
  config.memory_bytes = 1 << 20;
  EXPECT_EQ(open_ranks(config).error().code, "bad_job");
  const auto alone = open_ranks(RankConfig{});
  ASSERT_TRUE(alone);
  EXPECT_EQ(*alone, nullptr);
}

}  // namespace
}  // namespace bitloop::trainer
