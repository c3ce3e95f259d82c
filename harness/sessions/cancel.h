// Ends a test before its end.
#pragma once

#include <cstdint>
#include <string_view>

#include "harness/base/result.h"
#include "harness/sessions/service.h"

namespace bitloop::sessions {

// A supervisor that is asked to end a run has killed it long before.
inline constexpr int64_t kLongestEndMs = 10'000;

// Ends a running or waiting test as `cancelled`, which stays charged, and waits for its end. A test
// that ended by itself meanwhile says so; one that was cancelled before is answered as it was then.
// Errors: "session_not_found", "test_not_found", "session_read_only", "commit_mismatch",
// "test_ended" (by itself, before), "infrastructure" (its supervisor cannot be asked).
Result<TestView> cancel_test(Service& service, std::string_view id, int64_t number,
                             const Terms& terms = {});

}  // namespace bitloop::sessions
