#include "harness/jobs/fair_order.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "harness/jobs/fair_slots.h"

namespace bitloop::jobs {
namespace {

using Order = FairOrder<std::string>;

std::string all_of(Order& order) {
  std::string text;
  while (!order.empty()) text += order.pop() + " ";
  return text;
}

TEST(FairOrder, OneOwnersItemsComeInTheirOrder) {
  Order order;
  for (const char* item : {"c", "a", "b"}) order.push("x", item);
  EXPECT_EQ(all_of(order), "c a b ");
}

TEST(FairOrder, AnOwnerWithManyHoldsBackNobody) {
  Order order;
  for (const char* item : {"x1", "x2", "x3", "x4"}) order.push("x", item);
  order.push("y", "y1");
  order.push("z", "z1");
  EXPECT_EQ(all_of(order), "x1 y1 z1 x2 x3 x4 ");
}

TEST(FairOrder, WhoWaitsIsNotOvertakenForEver) {
  Order order;
  order.push("x", "x1");
  order.push("x", "x2");
  order.push("x", "x3");
  int before = 0;
  for (int i = 0;; ++i) {  // a newcomer a turn
    order.push("new" + std::to_string(i), "n");
    if (order.pop() == "x3") break;
    ASSERT_LT(++before, 20);
  }
}

TEST(FairOrder, AnOwnerThatWasServedTakesItsPlaceBehindOthers) {
  Order order;
  order.push("x", "x1");
  EXPECT_EQ(order.pop(), "x1");
  order.push("y", "y1");
  order.push("x", "x2");
  EXPECT_EQ(all_of(order), "y1 x2 ");
}

TEST(FairOrder, TellsThePlaceAndTakesOut) {
  Order order;
  for (const char* item : {"x1", "x2"}) order.push("x", item);
  order.push("y", "y1");
  const auto is = [](const char* wanted) {
    return [wanted](const std::string& item) { return item == wanted; };
  };
  EXPECT_EQ(order.ahead_of(is("x2")), 2u);
  EXPECT_EQ(order.remove(is("y1")), "y1");
  EXPECT_EQ(order.ahead_of(is("x2")), 1u);
  EXPECT_EQ(order.remove(is("y1")), std::nullopt);
  EXPECT_EQ(order.ahead_of(is("y1")), std::nullopt);
}

TEST(FairOrder, WhatIsTakenOutCountsForNothing) {
  const auto is = [](const char* wanted) {
    return [wanted](const std::string& item) { return item == wanted; };
  };
  Order order;
  for (const char* item : {"x1", "x2", "x3"}) order.push("x", item);
  for (const char* item : {"y1", "y2", "y3"}) order.push("y", item);
  (void)order.remove(is("x1"));
  order.push("x", "x4");
  EXPECT_EQ(all_of(order), "y1 x2 y2 x3 y3 x4 ");

  for (const char* item : {"x1", "x2", "x3"}) order.push("x", item);
  for (const char* item : {"x3", "x2", "x1"}) (void)order.remove(is(item));
  order.push("y", "y1");
  order.push("x", "x4");
  order.push("y", "y2");
  EXPECT_EQ(all_of(order), "y1 x4 y2 ");
}

TEST(FairSlots, AsManyAsThereAreAtATime) {
  FairSlots slots(2);
  std::atomic<int> inside{0}, most{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      const auto place = slots.enter(std::to_string(i % 3));
      const int now = ++inside;
      int seen = most;
      while (now > seen && !most.compare_exchange_weak(seen, now)) {
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      --inside;
    });
  threads.clear();
  EXPECT_LE(most, 2);
  EXPECT_EQ(inside, 0);
}

}  // namespace
}  // namespace bitloop::jobs
