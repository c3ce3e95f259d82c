#include "harness/jobs/run_device.h"

#include "harness/jobs/find_record.h"

namespace bitloop::jobs {

using Json = nlohmann::ordered_json;

void pin_device(const std::filesystem::path& run_dir, Job& job) {
  if (job.device != "auto") return;
  find_record(run_dir / "events.jsonl", "machine", [&](const Json& record) {
    const Json device = record.value("device", Json());
    if (!device.is_string()) return false;
    job.device = device == "cpu" ? "cpu" : "cuda";  // a GPU has a name of its own
    job.document["preset"]["train"]["device"] = job.device;
    return true;
  });
}

}  // namespace bitloop::jobs
