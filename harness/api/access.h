// What a caller may do and see: the one place that says so, for HTTP and MCP alike. A route that is
// not named here may be called by reviewers when it reads, and by agents when it is about one of
// their sessions; so a new route is closed rather than forgotten.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/api/caller.h"
#include "harness/api/route.h"
#include "harness/sessions/service.h"

namespace bitloop::api {

using MaybeCaller = std::optional<Caller>;

// Sets `open` and `may` of every route, which must be done before they are dispatched or copied.
// The service must outlive them.
void guard_routes(std::vector<Route>& routes, const sessions::Service& service);

// Whether a session that this token made ("": none) is the caller's to see.
bool sees(const MaybeCaller& caller, std::string_view token);
// The same by the session's id; an unknown one is nobody's.
bool sees_session(const MaybeCaller& caller, const sessions::Service& service, std::string_view id);
// The same for an event of that session.
bool sees_event(const MaybeCaller& caller, const sessions::Service& service,
                const sessions::StreamEvent& event);

// The ledger as the caller sees it: an agent the rows of its own sessions and of baselines.
std::vector<ledger::StoredRow> visible_results(const MaybeCaller& caller,
                                               const sessions::Service& service);
std::string visible_results_tsv(const MaybeCaller& caller, const sessions::Service& service);

}  // namespace bitloop::api
