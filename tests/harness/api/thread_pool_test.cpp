#include "harness/api/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <new>
#include <system_error>

namespace bitloop::api {
namespace {

TEST(GrowingPool, RunsAsManyAtOnceAsItMay) {
  GrowingPool pool(8);
  std::latch all_here(8);
  for (int i = 0; i < 8; ++i) pool.enqueue([&all_here] { all_here.arrive_and_wait(); });
  all_here.wait();  // hangs unless all eight run at the same time
}

TEST(GrowingPool, WhatIsTooMuchWaits) {
  std::atomic<int> active{0};
  std::atomic<int> most{0};
  std::atomic<int> done{0};
  {
    GrowingPool pool(3);
    for (int i = 0; i < 100; ++i)
      pool.enqueue([&] {
        const int now = ++active;
        int seen = most;
        while (now > seen && !most.compare_exchange_weak(seen, now)) {
        }
        --active;
        ++done;
      });
  }
  EXPECT_EQ(done, 100);  // shutdown ran all that was enqueued
  EXPECT_LE(most, 3);
}

// A pool on a machine that gives two threads.
class SmallPool : public GrowingPool {
 public:
  using GrowingPool::GrowingPool;
  ~SmallPool() override { shutdown(); }

 protected:
  std::thread make_thread() override {
    if (made_++ == 2)
      throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
    return GrowingPool::make_thread();
  }

 private:
  int made_ = 0;
};

TEST(GrowingPool, AThreadThatCannotBeMadeIsReported) {
  size_t limit = 0;
  std::atomic<int> done{0};
  std::latch three(1);
  {
    SmallPool pool(8, [&](size_t threads) { limit = threads; });
    for (int i = 0; i < 3; ++i)
      pool.enqueue([&] {
        three.wait();
        ++done;
      });
    EXPECT_EQ(limit, 2U);
    three.count_down();
  }
  EXPECT_EQ(done, 3);
}

TEST(GrowingPool, AnUnusedPoolEnds) {
  GrowingPool pool(4);
  pool.shutdown();
}

// A pool on a machine that has memory for one thread.
class PoorPool : public GrowingPool {
 public:
  using GrowingPool::GrowingPool;
  ~PoorPool() override { shutdown(); }

 protected:
  std::thread make_thread() override {
    if (made_++ == 1) throw std::bad_alloc();
    return GrowingPool::make_thread();
  }

 private:
  int made_ = 0;
};

TEST(GrowingPool, NoMemoryForAThreadEndsNothing) {
  std::atomic<int> done{0};
  std::latch busy(1);
  {
    PoorPool pool(8);
    pool.enqueue([&] { busy.wait(); });
    pool.enqueue([&] { ++done; });  // no second thread: it waits for the first
    busy.count_down();
  }
  EXPECT_EQ(done, 1);
}

}  // namespace
}  // namespace bitloop::api
