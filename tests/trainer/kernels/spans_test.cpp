#include "trainer/kernels/spans.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

#include "trainer/kernels/team.h"

namespace bitloop::kernels {
namespace {

using namespace std::chrono_literals;

int64_t self_of(const SpanRecorder::Lane& lane, const std::string& name) {
  for (size_t i = 0; i < lane.names.size(); ++i)
    if (lane.names[i].name == name) return lane.totals[i].self;
  return -1;
}

TEST(Spans, WithoutARecorderNothingIsNoted) {
  { const Span span("part", "name"); }
  SpanRecorder recorder(1, 10);
  EXPECT_TRUE(recorder.lanes()[0].names.empty());
}

TEST(Spans, OwnTimesAddUpToTheOutermostSpan) {
  const std::string texts[] = {"inner", "inner"};  // one text at two addresses
  SpanRecorder recorder(1, 100);
  {
    const RecordingSpans recording(recorder);
    const Span step("step", "rest");
    for (int i = 0; i < 3; ++i) {
      const Span outer("forward", "outer");
      const Span inner("forward", i == 1 ? texts[0].c_str() : texts[1].c_str());
      std::this_thread::sleep_for(2ms);
    }
  }
  const SpanRecorder::Lane& lane = recorder.lanes()[0];
  ASSERT_EQ(lane.names.size(), 3u);
  ASSERT_EQ(lane.events.size(), 7u);
  int64_t all = 0;
  for (const SpanRecorder::Total& total : lane.totals) all += total.self;
  EXPECT_EQ(all, lane.events.back().length);  // the step ends last
  EXPECT_GE(self_of(lane, "inner"), 6'000'000);
  EXPECT_LT(self_of(lane, "outer"), self_of(lane, "inner"));
  for (const SpanRecorder::Event& event : lane.events) EXPECT_GE(event.length, 0);
}

TEST(Spans, EachThreadHasItsOwnLane) {
  constexpr int64_t kThreads = 3;
  SpanRecorder recorder(kThreads, 100);
  {
    const RecordingSpans recording(recorder);
    run_team(kThreads, [](int64_t t) {
      for (int64_t i = 0; i <= t; ++i) const Span span("part", "work");
    });
  }
  for (size_t t = 0; t < kThreads; ++t) {
    const SpanRecorder::Lane& lane = recorder.lanes()[t];
    ASSERT_FALSE(lane.totals.empty());
    EXPECT_EQ(lane.totals[0].calls, static_cast<int64_t>(t) + 1);
  }
  // The thread that leads waits for the others, and that is told.
  EXPECT_GE(self_of(recorder.lanes()[0], "for the other threads"), 0);
}

TEST(Spans, WhatIsTooMuchForTheTraceIsInTheTotals) {
  SpanRecorder recorder(1, 5);
  const RecordingSpans recording(recorder);
  for (int i = 0; i < 8; ++i) const Span span("part", "work");
  const SpanRecorder::Lane& lane = recorder.lanes()[0];
  EXPECT_EQ(lane.events.size(), 5u);
  EXPECT_EQ(lane.dropped, 3);
  EXPECT_EQ(lane.totals[0].calls, 8);
}

}  // namespace
}  // namespace bitloop::kernels
