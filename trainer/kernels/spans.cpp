#include "trainer/kernels/spans.h"

#include <algorithm>

#include "trainer/kernels/team.h"

namespace bitloop::kernels {

SpanRecorder::SpanRecorder(int64_t threads, size_t most_events)
    : most_events_(most_events), lanes_(static_cast<size_t>(std::max<int64_t>(1, threads))) {}

uint32_t SpanRecorder::index_of(Lane& lane, const char* part, const char* name) {
  const auto [known, fresh] =
      lane.known_.try_emplace({part, name}, static_cast<uint32_t>(lane.names.size()));
  if (!fresh) return known->second;
  // The same text may stand at several places.
  for (size_t i = 0; i < lane.names.size(); ++i)
    if (lane.names[i].part == part && lane.names[i].name == name)
      return known->second = static_cast<uint32_t>(i);
  lane.names.push_back({part, name});
  lane.totals.emplace_back();
  return known->second;
}

void SpanRecorder::enter(const char* part, const char* name) {
  const auto t = static_cast<size_t>(team_member());
  if (t >= lanes_.size()) return;
  Lane& lane = lanes_[t];
  const uint32_t index = index_of(lane, part, name);
  lane.open_.push_back({index, now(), 0});
}

void SpanRecorder::leave() {
  const auto t = static_cast<size_t>(team_member());
  if (t >= lanes_.size()) return;
  Lane& lane = lanes_[t];
  const auto [name, start, inside] = lane.open_.back();
  lane.open_.pop_back();
  const int64_t length = now() - start;
  lane.totals[name].self += length - inside;
  ++lane.totals[name].calls;
  if (!lane.open_.empty()) lane.open_.back().inside += length;
  if (lane.events.size() < most_events_)
    lane.events.push_back({name, start, length});
  else
    ++lane.dropped;
}

}  // namespace bitloop::kernels
