// How far a running test is, and waiting for its end while saying so.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "harness/api/mcp/exchange.h"
#include "harness/sessions/service.h"

namespace bitloop::api::mcp {

struct RunProgress {
  double done = 0;   // of `total`, in steps; the last one is the evaluation
  double total = 0;  // 0: not known yet
  std::string message;
};

// From a run's events.jsonl, whose last line may be half written. Lines that are no records are
// passed over.
RunProgress run_progress(std::string_view events);

// Waits up to `wait_ms` for the end of a test; less when nobody waits for the answer any more, or
// when the service ends. With a progress token (not null), every step forward is notified.
// Errors: those of Service::test.
Result<sessions::TestView> wait_for_test(sessions::Service& service, const std::string& session,
                                         int64_t test, int64_t wait_ms, const Exchange& exchange,
                                         const nlohmann::json& progress_token);

}  // namespace bitloop::api::mcp
