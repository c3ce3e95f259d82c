#include "harness/sessions/budgets.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace bitloop::sessions {
namespace {

TEST(Budgets, AreOfATokenAndATask) {
  Budgets budgets;
  budgets.charge("ada", "quick", 2);
  EXPECT_TRUE(budgets.take("ada", "quick", 3));
  EXPECT_FALSE(budgets.take("ada", "quick", 3));
  EXPECT_TRUE(budgets.take("ada", "tiny", 3));
  EXPECT_TRUE(budgets.take("bob", "quick", 3));
  budgets.give_back("ada", "quick");
  EXPECT_EQ(budgets.used("ada", "quick"), 2);
  EXPECT_TRUE(budgets.take("ada", "quick", 3));
}

TEST(Budgets, WithoutATokenNothingIsCounted) {
  Budgets budgets;
  budgets.charge("", "quick", 9);
  EXPECT_TRUE(budgets.take("", "quick", 0));
  EXPECT_EQ(budgets.used("", "quick"), 0);
}

TEST(Budgets, TheLastTestIsTakenOnce) {
  Budgets budgets;
  std::atomic<int> taken{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back([&] {
        for (int k = 0; k < 1000; ++k) taken += budgets.take("ada", "quick", 100) ? 1 : 0;
      });
  }
  EXPECT_EQ(taken, 100);
}

}  // namespace
}  // namespace bitloop::sessions
