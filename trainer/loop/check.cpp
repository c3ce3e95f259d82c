#include <ATen/ATen.h>

#include <chrono>

#include "trainer/loop/modes.h"
#include "trainer/loop/prepare.h"

namespace bitloop::trainer {

using nlohmann::json;

Status check(Job job, const Records& records) {
  const auto start = std::chrono::steady_clock::now();
  BITLOOP_ASSIGN(run, prepare(std::move(job), records));
  Preflight preflight;
  if (const Status loaded = load_candidate(*run); !loaded) {
    preflight.findings.push_back({"loads", false, loaded.error().message, loaded.error().code});
    records.finding("loads", false, loaded.error().message);
  } else {
    records.finding("loads", true, "parses, returns a quantizer, config within bounds");
    Preflight audits = run_preflight(*run);
    preflight.bits_per_weight = audits.bits_per_weight;
    preflight.leaks = audits.leaks;
    preflight.findings.push_back(
        {"loads", true, "parses, returns a quantizer, config within bounds", ""});
    preflight.findings.insert(preflight.findings.end(), audits.findings.begin(),
                              audits.findings.end());
  }
  const Finding* failure = preflight.failure();
  const double ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  records.send("result",
               {{"status", failure ? failure->status : "ok"},
                {"message", failure ? failure->detail : "no objection"},
                {"stages", json::array()},
                {"metrics",
                 {{"bits_per_weight",
                   preflight.bits_per_weight ? json(*preflight.bits_per_weight) : json(nullptr)},
                  {"ms", ms}}},
                {"flags", preflight.leaks ? json::array({"leaks"}) : json::array()},
                {"findings", preflight.findings}});
  return {};
}

}  // namespace bitloop::trainer
