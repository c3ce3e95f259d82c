// What listeners hear: the past from the journal, what is committed from the feeds.
#include <algorithm>
#include <tuple>

#include "harness/sessions/service_impl.h"
#include "harness/sessions/session_event.h"

namespace bitloop::sessions {

Result<std::vector<PastEvent>> Service::Impl::past_of(std::string_view name) const {
  struct Past {
    PastEvent event;
    int64_t time_s = 0;
    size_t index = 0;  // in its session
  };
  std::vector<std::string> names = {std::string(name)};
  if (name == Feeds::kAll) {
    BITLOOP_ASSIGN(all, journal->sessions());
    names = std::move(all);
  }
  std::vector<Past> past;
  for (const std::string& session : names) {
    BITLOOP_ASSIGN(commits, journal->history(session));
    for (size_t i = 0; i < commits.size(); ++i)
      past.push_back({{sequence_of(commits[i]), {session, commits[i].id}}, commits[i].time_s, i});
  }
  // Commits without a number come first, by their time.
  std::ranges::sort(past, {}, [](const Past& item) {
    return std::tuple(item.event.sequence, item.event.sequence == 0 ? item.time_s : 0,
                      std::string_view(item.event.commit.session), item.index);
  });
  std::vector<PastEvent> events;
  events.reserve(past.size());
  for (Past& item : past) events.push_back(std::move(item.event));
  return events;
}

Result<EventPtr> Service::Impl::stream_event(const FeedCommit& commit) const {
  BITLOOP_ASSIGN(event, journal->event(commit.commit));
  nlohmann::json metrics;
  if (event.kind == "test-finished") {
    // From the commit itself: a listener that hears the past must not wake every session.
    BITLOOP_ASSIGN(snapshot, journal->read(commit.commit));
    BITLOOP_ASSIGN(state, parse_state(snapshot.session_json));
    const std::string number = event.trailer("Bitloop-Test");
    const auto test = state.find_test(std::strtoll(number.c_str(), nullptr, 10));
    if (test && !(*test)->running()) metrics = ledger::metrics_json((*test)->row);
  }
  return std::make_shared<const StreamEvent>(stream_event_of(event, commit.session, metrics));
}

Result<Listener> Service::listen(std::string_view id, std::string_view last_event) {
  const bool is_all = id == Feeds::kAll;
  if (!is_all) BITLOOP_TRY(impl_->find(id));
  BITLOOP_ASSIGN(feed, impl_->feeds.open(id, [&] { return impl_->past_of(id); }));
  impl_->progress->wake();
  Feed::Position start = feed->beginning();
  if (last_event == kFromNow) {
    start = feed->now();
  } else if (const auto known = feed->after(last_event)) {
    start = *known;
  }
  return Listener(feed, start, /*ends=*/!is_all, [impl = impl_.get()](const FeedCommit& commit) {
    return impl->event_cache.get(
        commit, [impl](const FeedCommit& missing) { return impl->stream_event(missing); });
  });
}

}  // namespace bitloop::sessions
