#include "harness/api/verification.h"

#include <memory>
#include <mutex>

#include "harness/baselines/runner.h"
#include "harness/baselines/submission.h"
#include "harness/sessions/cancel.h"

namespace bitloop::api {
namespace {

using sessions::Service;

constexpr int64_t kDefaultSeeds = 3;
constexpr int64_t kMostSeeds = 32;  // in a call: each is a run

Field seeds_field() {
  return {"seeds", FieldType::kInteger, false, "how many hidden seeds; default 3", "",
          1,       kMostSeeds};
}

struct Planned {
  baselines::Submission submission;
  baselines::Plan plan;
};

// Only what was submitted: runs of another test would be tests beyond an agent's budget.
Result<Planned> plan_of(const Service& service, const std::string& id,
                        const nlohmann::json& asked) {
  const sessions::ServiceOptions& options = service.options();
  BITLOOP_ASSIGN(journal, journal::Journal::open_read_only(options.workspace));
  BITLOOP_ASSIGN(submission, baselines::find_submission(*journal, options.workspace,
                                                        options.share_dir, id, std::nullopt));
  BITLOOP_ASSIGN(
      plan, baselines::plan_verification(submission, options.workspace,
                                         static_cast<int>(asked.value("seeds", kDefaultSeeds))));
  return Planned{std::move(submission), std::move(plan)};
}

// Starts the runs that have no score and are not under way.
Status start_runs(Service& service, baselines::Plan& plan) {
  for (baselines::PlannedRun& run : plan.runs)
    if (run.test == 0) BITLOOP_TRY(baselines::start_run(plan, run, service, sessions::kVerifyType));
  return {};
}

// Ends the runs that are under way or wait, and waits for their ends. A run that can't be asked
// (its supervisor just starts, or it ends by itself) is left.
Status end_runs(Service& service, const baselines::Plan& plan) {
  std::vector<const baselines::PlannedRun*> asked;
  for (const baselines::PlannedRun& run : plan.runs)
    if (run.test > 0 && !run.done && service.cancel(run.session, run.test)) asked.push_back(&run);
  for (const baselines::PlannedRun* run : asked)
    BITLOOP_TRY(service.test(run->session, run->test, sessions::kLongestEndMs));
  return {};
}

}  // namespace

void add_verification_routes(std::vector<Route>& routes, Service& service) {
  routes.push_back(
      {"GET",
       "/v1/sessions/{id}/verification",
       "A submission under seeds that its agent did not know, as far as it was trained",
       {seeds_field()},
       {},
       200,
       "application/json",
       [&service](const Request& request) -> Result<Response> {
         BITLOOP_ASSIGN(planned, plan_of(service, request.parameters.at("id"), request.query));
         return json_response(report_on(planned.submission, planned.plan).document);
       }});
  // Of two that ask at a time the second finds the first one's runs.
  const auto one_at_a_time = std::make_shared<std::mutex>();
  routes.push_back(
      {"POST",
       "/v1/sessions/{id}/verification",
       "Train a submission under seeds that its agent did not know: what is left of these runs",
       {},
       {seeds_field()},
       202,
       "application/json",
       [&service, one_at_a_time](const Request& request) -> Result<Response> {
         const std::lock_guard guard(*one_at_a_time);
         BITLOOP_ASSIGN(planned, plan_of(service, request.parameters.at("id"), request.body));
         BITLOOP_TRY(start_runs(service, planned.plan));
         return json_response(report_on(planned.submission, planned.plan).document, 202);
       }});
  routes.push_back(
      {"DELETE",
       "/v1/sessions/{id}/verification",
       "End the runs of a verification that are under way or wait; what has ended stays",
       {seeds_field()},
       {},
       200,
       "application/json",
       [&service, one_at_a_time](const Request& request) -> Result<Response> {
         const std::lock_guard guard(*one_at_a_time);
         const std::string& id = request.parameters.at("id");
         // All that any call may have begun, not only those that this one shows.
         BITLOOP_ASSIGN(all, plan_of(service, id, {{"seeds", kMostSeeds}}));
         BITLOOP_TRY(end_runs(service, all.plan));
         BITLOOP_ASSIGN(planned, plan_of(service, id, request.query));
         return json_response(report_on(planned.submission, planned.plan).document);
       }});
}

}  // namespace bitloop::api
