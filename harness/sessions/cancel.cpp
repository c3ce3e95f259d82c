#include "harness/sessions/cancel.h"

#include <fmt/format.h>

#include <string>

#include "harness/sessions/state.h"

namespace bitloop::sessions {
namespace {

constexpr int64_t kLastWordsMs = 1000;

}  // namespace

Result<TestView> cancel_test(Service& service, std::string_view id, int64_t number,
                             const Terms& terms) {
  BITLOOP_ASSIGN(test, service.test(id, number));
  if (is_of_command_line(std::string(id)))
    return fail(
        "session_read_only",
        fmt::format("Session {} holds the command line's runs and can only be read here.", id));
  if (test.status == kCancelled) return test;
  if (!terms.expected.empty()) {
    BITLOOP_ASSIGN(session, service.get(id));
    BITLOOP_TRY(check_expected(terms, session.commit));
  }
  if (test.status != kRunning)
    return fail("test_ended", fmt::format("Test #{} has ended as {} already; there is nothing to "
                                          "cancel.",
                                          number, test.status));
  if (!service.cancel(id, number)) {
    BITLOOP_ASSIGN(now, service.test(id, number, kLastWordsMs));  // it may be ending right now
    if (now.status == kRunning)
      return fail("infrastructure", fmt::format("Test #{} cannot be asked to end at the moment; "
                                                "try again, or wait for its end.",
                                                number));
    return now;
  }
  return service.test(id, number, kLongestEndMs);
}

}  // namespace bitloop::sessions
