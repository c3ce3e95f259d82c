// How far a running test is, and waiting for its end while saying so.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "harness/api/mcp/exchange.h"
#include "harness/sessions/progress.h"
#include "harness/sessions/service.h"

namespace bitloop::api::mcp {

struct RunProgress {
  double done = 0;   // of `total`, in steps; the last one is the evaluation
  double total = 0;  // 0: not known yet
  std::string message;
};

// Follows a run's events.jsonl: each call reads what was added since the last one. Lines that are
// no records are passed over, and so is a last one that is half written.
class RunFollower {
 public:
  explicit RunFollower(std::filesystem::path events)
      : file_(std::move(events), sessions::GrowingFile::From::kBeginning) {}
  RunProgress look();

 private:
  void take(std::string_view line);

  sessions::GrowingFile file_;
  bool began_ = false;      // the first line was read
  bool evaluates_ = false;  // since the newest step
  double steps_ = 0;        // of the whole run; 0: not known
  nlohmann::json newest_;   // step, or null
};

// Waits up to `wait_ms` for the end of a test; less when nobody waits for the answer any more, or
// when the service ends. With a progress token (not null), every step forward is notified.
// Errors: those of Service::test.
Result<sessions::TestView> wait_for_test(sessions::Service& service, const std::string& session,
                                         int64_t test, int64_t wait_ms, const Exchange& exchange,
                                         const nlohmann::json& progress_token);

}  // namespace bitloop::api::mcp
