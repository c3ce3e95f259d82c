#include "harness/sessions/job.h"

#include <fmt/format.h>

#include <array>
#include <random>

#include "harness/base/text.h"
#include "harness/journal/journal.h"
#include "harness/tasks/benchmarks.h"
#include "harness/tasks/data_files.h"

namespace bitloop::sessions {

int64_t default_seed(const tasks::Task& task, const nlohmann::json& preset) {
  return task.rules.seed ? *task.rules.seed : preset.at("train").at("seed").get<int64_t>();
}

std::string fingerprint(std::string_view candidate, const tasks::Task& task,
                        const nlohmann::json& preset, int64_t seed) {
  nlohmann::json trained = preset;
  trained.erase("description");
  trained.erase("checkpoint");
  trained.erase("limits");  // they say where it may run; threads change the rounding of sums only
  trained["train"].erase("ranks");  // as do ranks
  trained.erase("ranks");
  nlohmann::json all = {{"candidate", candidate},
                        {"preset", std::move(trained)},
                        {"rules", tasks::job_rules(task)},
                        {"seed", seed}};
  if (task.initial_model.is_object()) all["init_from"] = task.initial_model.at("sha256");
  return journal::content_id(all.dump());
}

std::filesystem::path run_dir(const std::filesystem::path& workspace, std::string_view session,
                              int64_t test) {
  return workspace / "runs" / fmt::format("{}-{}", session, test);
}

nlohmann::json make_job(const JobRequest& request) {
  const nlohmann::json& eval = request.preset.at("eval");
  const bool asked = request.kind == std::string_view("train") && !request.task.benchmarks.empty();
  nlohmann::json job = {
      {"schema_version", 1},
      {"kind", request.kind},
      {"session", request.session},
      {"test", request.test},
      {"candidate", {{"path", "candidate.lua"}, {"content", request.candidate}}},
      {"preset", request.preset},
      {"rules", tasks::job_rules(request.task)},
      {"seed", request.seed},
      {"data_dir", (request.share_dir / "data").string()},
      {"data_files", tasks::data_files(request.preset, request.share_dir / "data")},
      {"allow_degraded", request.allow_degraded},
      {"benchmarks",
       asked ? tasks::job_benchmarks(request.task.benchmark_files, request.share_dir,
                                     request.benchmarks, eval.value("documents", int64_t{0}))
             : nlohmann::json()},
      {"early_stop", request.may_stop_early && request.task.early_stop
                         ? tasks::job_early_stop(*request.task.early_stop)
                         : nlohmann::json()},
      {"init_from", request.task.initial_model},
  };
  // Where a launcher started ranks on several machines, the command line leaves it in the preset,
  // which is of this run alone.
  if (const auto ranks = job["preset"].find("ranks"); ranks != job["preset"].end()) {
    job["ranks"] = *ranks;
    job["preset"].erase("ranks");
  }
  return job;
}

std::string make_session_id() {
  constexpr std::array kAdjectives = {"amber",   "brave",  "calm",   "clever", "deft",  "eager",
                                      "fair",    "gentle", "keen",   "lively", "merry", "nimble",
                                      "patient", "quiet",  "steady", "wise"};
  constexpr std::array kAnimals = {"badger", "crane", "dolphin", "falcon", "gecko", "heron",
                                   "ibex",   "lynx",  "marten",  "newt",   "otter", "puffin",
                                   "raven",  "seal",  "tern",    "wren"};
  std::random_device random;
  return std::string(kAdjectives[random() % kAdjectives.size()]) + "-" +
         kAnimals[random() % kAnimals.size()] + "-" + random_hex(2);
}

}  // namespace bitloop::sessions
