#include "trainer/kernels/team.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "trainer/kernels/spans.h"

namespace bitloop::kernels {
namespace {

using Clock = std::chrono::steady_clock;

thread_local int64_t this_member = 0;
thread_local bool in_team = false;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// How one thread waits: it watches for a while, because waking a sleeper costs as much as a short
// loop takes, and then sleeps. Where watching was in vain it watches for half as long the next
// time, else for twice as long: on a quiet machine the parts of a loop end together, on a busy one
// the other thread may have no core until this one gives up its own.
class Patience {
 public:
  // Until `word` is no longer `old`.
  void wait(const std::atomic<uint32_t>& word, uint32_t old) {
    constexpr int kLooks = 32;  // between two readings of the clock
    const Clock::time_point start = Clock::now();
    do {
      for (int look = 0; look < kLooks; ++look) {
        if (word.load(std::memory_order_acquire) != old) {
          watch_ = std::min(kMost, watch_ * 2);
          return;
        }
        relax();
      }
    } while (Clock::now() - start < watch_);
    watch_ = std::max(kLeast, watch_ / 2);
    word.wait(old, std::memory_order_acquire);
  }

 private:
  static constexpr std::chrono::nanoseconds kLeast{2'000}, kMost{200'000};
  std::chrono::nanoseconds watch_ = kLeast;
};

// Threads that live as long as the process.
class Team {
 public:
  // Requires: called by the one that holds the team. An exception of a part is the caller's, once
  // all parts have ended: until then others may read what it would unwind.
  void run(int64_t threads, const void* object, void (*call)(const void*, int64_t)) {
    while (members_ < threads) add_member();
    job_ = {threads, object, call};
    pending_.store(static_cast<uint32_t>(members_ - 1), std::memory_order_relaxed);
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
    in_team = true;
    do_part(0);
    in_team = false;
    const Span waiting("waiting", "for the other threads");
    for (uint32_t left; (left = pending_.load(std::memory_order_acquire)) != 0;)
      patience_.wait(pending_, left);
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  }

  std::mutex& held() { return held_; }

 private:
  struct Job {
    int64_t threads;
    const void* object;
    void (*call)(const void*, int64_t);
  };

  void do_part(int64_t t) noexcept {
    try {
      job_.call(job_.object, t);
    } catch (...) {
      const std::lock_guard lock(throwing_);
      if (!thrown_) thrown_ = std::current_exception();
    }
  }

  void add_member() {
    std::thread([this, t = members_, seen = round_.load()] { serve(t, seen); }).detach();
    ++members_;
  }

  // Every member takes notice of every round, with a part in it or not: the job is written anew
  // only after all have read it.
  [[noreturn]] void serve(int64_t t, uint32_t seen) {
    this_member = t;
    in_team = true;
    omp_set_num_threads(1);  // what OpenMP is asked to do here is done here
    Patience patience;
    while (true) {
      patience.wait(round_, seen);
      ++seen;
      if (t < job_.threads) do_part(t);
      if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) pending_.notify_one();
    }
  }

  std::mutex held_;
  int64_t members_ = 1;  // the caller is the first
  Patience patience_;    // the caller's
  Job job_{};
  std::mutex throwing_;
  std::exception_ptr thrown_;  // the first of this round
  alignas(64) std::atomic<uint32_t> round_{0};
  alignas(64) std::atomic<uint32_t> pending_{0};
};

Team& team() {
  static Team* const team = new Team;  // never destroyed: its threads run until the process ends
  return *team;
}

}  // namespace

void Barrier::wait() {
  if (threads_ < 2) return;
  thread_local Patience patience;
  const uint32_t round = round_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
    arrived_.store(0, std::memory_order_relaxed);
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
  } else {
    patience.wait(round_, round);
  }
}

int64_t team_size() { return omp_get_max_threads(); }

int64_t team_member() { return this_member; }

bool run_together(int64_t threads, const void* object, void (*call)(const void*, int64_t)) {
  std::unique_lock held(team().held(), std::defer_lock);
  if (threads > 1 && (in_team || !held.try_lock())) return false;
  threads > 1 ? team().run(threads, object, call) : call(object, 0);
  return true;
}

void run_team(int64_t threads, const void* object, void (*call)(const void*, int64_t)) {
  std::unique_lock held(team().held(), std::defer_lock);
  if (threads > 1 && !in_team && held.try_lock()) return team().run(threads, object, call);
  if (threads == 1 || in_team) {
    for (int64_t t = 0; t < threads; ++t) call(object, t);
    return;
  }
  // The team is another caller's: this thread is its members in turn.
  const auto leave = [](void*) {
    this_member = 0;
    in_team = false;
  };
  const std::unique_ptr<bool, decltype(leave)> inside(&in_team, leave);
  in_team = true;
  for (int64_t t = 0; t < threads; ++t) {
    this_member = t;
    call(object, t);
  }
}

void start_threads() {
  run_team(team_size(), [](int64_t) {});
  std::atomic<int> started = 0;  // else there would be nothing to start threads for
#pragma omp parallel
  started.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace bitloop::kernels
