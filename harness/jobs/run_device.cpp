#include "harness/jobs/run_device.h"

#include <fstream>
#include <string>

namespace bitloop::jobs {

using Json = nlohmann::ordered_json;

void pin_device(const std::filesystem::path& run_dir, Job& job) {
  if (job.device != "auto") return;
  std::ifstream events(run_dir / "events.jsonl");
  for (std::string line; std::getline(events, line);) {
    if (line.find("\"machine\"") == std::string::npos) continue;  // a look before the parser
    const Json record = Json::parse(line, nullptr, false);
    if (!record.is_object() || record.value("type", Json()) != "machine") continue;
    const Json device = record.value("device", Json());
    if (!device.is_string()) continue;
    job.device = device == "cpu" ? "cpu" : "cuda";  // a GPU has a name of its own
    job.document["preset"]["train"]["device"] = job.device;
    return;
  }
}

}  // namespace bitloop::jobs
