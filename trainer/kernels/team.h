// Threads that each own a fixed part of the rows: what they sum apart is added in their order, so
// results depend on the number of threads but never on timing. They are not OpenMP's, whose waiting
// is either too short for the gaps of a training step or ruinous where other programs want the
// cores.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace bitloop::kernels {

// OpenMP's number of threads: at::set_num_threads sets it.
int64_t team_size();

// Which of a team's threads this is: the `t` of the outermost run_team's call.
int64_t team_member();

// Creates the threads of run_team and those of OpenMP, which LibTorch uses, while that is possible:
// the jail allows none after the candidate's file was read.
void start_threads();

struct Range {
  int64_t begin, end;
  bool empty() const { return begin >= end; }
};

// The part of [0, n) that thread `t` of `threads` owns: a multiple of `grain` long but at the end.
inline Range part_of(int64_t n, int64_t grain, int64_t t, int64_t threads) {
  const int64_t grains = (n + grain - 1) / grain, piece = (grains + threads - 1) / threads * grain;
  return {std::min(n, t * piece), std::min(n, (t + 1) * piece)};
}

// call(object, t) for each t in [0, threads), each in a thread of its own: the same t is the same
// thread every time. Within such a call, and while another caller's runs, one after the other in
// the calling thread. What a part throws is thrown here, when all have ended.
void run_team(int64_t threads, const void* object, void (*call)(const void*, int64_t));

// The same for parts that wait for each other: all run at the same time, or false is returned and
// none was called.
bool run_together(int64_t threads, const void* object, void (*call)(const void*, int64_t));

template <typename Body>
bool run_together(int64_t threads, const Body& body) {
  return run_together(threads, &body, [](const void* object, int64_t t) {
    (*static_cast<const Body*>(object))(t);
  });
}

template <typename Body>
void run_team(int64_t threads, const Body& body) {
  run_team(threads, &body,
           [](const void* object, int64_t t) { (*static_cast<const Body*>(object))(t); });
}

// body(begin, end) on the part of [0, n) of each thread, in parallel.
template <typename Body>
void run_parts(int64_t n, int64_t grain, const Body& body) {
  const int64_t threads = std::max<int64_t>(1, std::min(team_size(), (n + grain - 1) / grain));
  run_team(threads, [&](int64_t t) {
    const Range part = part_of(n, grain, t, threads);
    if (!part.empty()) body(part.begin, part.end);
  });
}

// body(i) for each i in [0, n), in parallel and in any order: each thread takes the next one that
// is left.
template <typename Body>
void run_items(int64_t n, const Body& body) {
  std::atomic<int64_t> next = 0;
  run_team(std::min(team_size(), n), [&](int64_t) {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) body(i);
  });
}

// Items [0, n) shared out among threads, long runs first and single items last: what one thread
// reads lies together, and all end at about the same time, however fast each of them is.
class Shares {
 public:
  Shares(int64_t n, int64_t threads)
      : n_(n), threads_(threads), each_(n / (2 * threads)), next_(each_ * threads) {}
  // The run that thread `t` begins with, known before; may be empty.
  Range first(int64_t t) const { return {t * each_, (t + 1) * each_}; }
  // The next run of the others; empty when none is left.
  Range take() {
    int64_t begin = next_.load(std::memory_order_relaxed), end;
    do {
      end = begin + std::max<int64_t>(1, (n_ - begin) / (2 * threads_));
      if (begin >= n_) return {n_, n_};
    } while (!next_.compare_exchange_weak(begin, end, std::memory_order_relaxed));
    return {begin, end};
  }

 private:
  const int64_t n_, threads_, each_;
  alignas(64) std::atomic<int64_t> next_;
};

// body(begin, end) on runs of [0, n) that are together all of it, in parallel and in any order.
template <typename Body>
void run_shares(int64_t n, const Body& body) {
  const int64_t threads = std::clamp<int64_t>(n, 1, team_size());
  Shares shares(n, threads);
  run_team(threads, [&](int64_t t) {
    if (const Range run = shares.first(t); !run.empty()) body(run.begin, run.end);
    for (Range run = shares.take(); !run.empty(); run = shares.take()) body(run.begin, run.end);
  });
}

// Where all threads of a team wait for each other, as often as they like. One that throws before it
// comes leaves the others waiting. Requires: run_together.
class Barrier {
 public:
  explicit Barrier(int64_t threads) : threads_(static_cast<uint32_t>(threads)) {}
  // What was written before is seen by all afterwards.
  void wait();

 private:
  const uint32_t threads_;
  alignas(64) std::atomic<uint32_t> arrived_{0};
  alignas(64) std::atomic<uint32_t> round_{0};
};

}  // namespace bitloop::kernels
