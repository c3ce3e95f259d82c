// A commit of the journal as its listeners hear it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "harness/journal/event.h"
#include "harness/sessions/feed.h"

namespace bitloop::sessions {

// The commit's number in the order of all sessions' events, 0 when it has none.
uint64_t sequence_of(const journal::Commit& commit);

// {session, commit, time, event, message, test, description}; where the commit tells it also
// status; of a session's first event task, quantizer and agent; of a check bits_per_weight; of the
// end of a test its `metrics`.
StreamEvent stream_event_of(const journal::Commit& commit, const std::string& session,
                            const nlohmann::json& metrics);

}  // namespace bitloop::sessions
