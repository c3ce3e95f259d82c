// Where a step's time goes: whoever does a piece of work says so with a Span, and while a
// SpanRecorder is in place it is noted, for each thread of the team apart. Without one a Span is a
// look at a pointer: no number that is computed depends on it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace bitloop::kernels {

class SpanRecorder {
 public:
  using Clock = std::chrono::steady_clock;
  // What the work is part of ("forward"), and what it is ("attention").
  struct Name {
    std::string part, name;
  };
  // One span, in nanoseconds since the recorder was made.
  struct Event {
    uint32_t name;  // index into names
    int64_t start, length;
  };
  // All spans of one name.
  struct Total {
    int64_t self = 0;  // nanoseconds, without what spans inside of them took
    int64_t calls = 0;
  };
  // One thread's. A thread's spans nest, so their own times add up to the outermost ones' length.
  struct alignas(64) Lane {
    std::vector<Name> names;
    std::vector<Total> totals;  // one a name
    std::vector<Event> events;  // by their ends
    int64_t dropped = 0;        // spans beyond `most_events`, which the totals have all the same

   private:
    friend class SpanRecorder;
    struct Open {
      uint32_t name;
      int64_t start, inside;
    };
    std::vector<Open> open_;
    std::map<std::pair<const char*, const char*>, uint32_t> known_;  // by address
  };

  // For so many threads, team_member() counting them; of each thread `most_events` spans are kept
  // one by one.
  SpanRecorder(int64_t threads, size_t most_events);

  // Texts must outlive the recorder.
  void enter(const char* part, const char* name);
  void leave();
  // To be read while nobody is at work. Lane 0 is the thread that leads.
  const std::vector<Lane>& lanes() const { return lanes_; }

 private:
  int64_t now() const {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin_).count();
  }
  static uint32_t index_of(Lane& lane, const char* part, const char* name);

  Clock::time_point begin_ = Clock::now();
  size_t most_events_;
  std::vector<Lane> lanes_;
};

// The recorder in place, or null. Set and taken away while no thread of the team is at work.
inline std::atomic<SpanRecorder*> span_recorder{nullptr};

// Work from here to the end of the scope. Both texts must outlive the recorder.
class Span {
 public:
  Span(const char* part, const char* name)
      : recorder_(span_recorder.load(std::memory_order_relaxed)) {
    if (recorder_ != nullptr) recorder_->enter(part, name);
  }
  ~Span() {
    if (recorder_ != nullptr) recorder_->leave();
  }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

 private:
  SpanRecorder* recorder_;
};

// Puts a recorder in place for as long as it lives.
class RecordingSpans {
 public:
  explicit RecordingSpans(SpanRecorder& recorder) { span_recorder = &recorder; }
  ~RecordingSpans() { span_recorder = nullptr; }
  RecordingSpans(const RecordingSpans&) = delete;
  RecordingSpans& operator=(const RecordingSpans&) = delete;
};

}  // namespace bitloop::kernels
