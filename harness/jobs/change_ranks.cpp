#include "harness/jobs/change_ranks.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "harness/base/fd.h"

namespace bitloop::jobs {

using Json = nlohmann::ordered_json;

Status change_ranks(const std::filesystem::path& run_dir, int64_t ranks) {
  BITLOOP_ASSIGN(text, read_file(run_dir / "job.json"));
  Json job = Json::parse(text, nullptr, false);
  const Json::json_pointer train("/preset/train");
  if (job.is_discarded() || !job.contains(train) || !job[train].contains("batch"))
    return fail("bad_job", "job.json: not valid");
  const Json& batch = job[train]["batch"];
  if (!batch.is_number_integer() || batch.get<int64_t>() % ranks != 0)
    return fail("bad_preset", fmt::format("{} ranks must divide train.batch ({} sequences a step)",
                                          ranks, batch.dump()));
  // The repetition makes the first steps as they were made.
  if (!job.contains("first_ranks")) job["first_ranks"] = job[train].value("ranks", int64_t{1});
  job[train]["ranks"] = ranks;
  return write_file_atomic(run_dir / "job.json", job.dump(1) + "\n");
}

}  // namespace bitloop::jobs
