#include <ATen/ATen.h>
#include <fmt/format.h>

#include <chrono>

#include "trainer/loop/modes.h"
#include "trainer/loop/prepare.h"
#include "trainer/model/candidate.h"

namespace bitloop::trainer {
namespace {

// How training would run a function: as a program, or operation by operation and why.
Result<std::string> execution_of(Run& run, const char* name, BitLinear& layer,
                                 const at::Tensor& tensor) {
  const bool weights = std::string_view(name) == "weight_quant";
  const ForwardContext context = run.context(0, true);
  const lua::Context script = script_context(layer, context);
  Capture capture;
  BITLOOP_TRY(try_capture(
      capture,
      [&](const at::Tensor& t, lua::Recording* recording) {
        return weights ? run.quantizer->weight_quant(t, script, recording)
                       : run.quantizer->activation_quant(t, script, recording);
      },
      tensor, layer.params, layer.state));
  if (capture.state == Capture::kCaptured) return fmt::format("{} as a fused kernel", name);
  return fmt::format("{} operation by operation ({})", name, capture.reason);
}

// On the first layer: functions of other layers may differ, which costs speed and nothing else.
Finding execution(Run& run) {
  BitLinear& layer = *run.model->bitlinears().front();
  std::string detail = "training runs ";
  bool first = true;
  for (const char* name : {"weight_quant", "activation_quant"}) {
    if (!run.quantizer->has(name)) continue;
    const auto text = execution_of(run, name, layer, layer.latent.detach());
    if (!text) return {"execution", false, text.error().message, text.error().code};
    detail += (first ? "" : ", ") + *text;
    first = false;
  }
  return {"execution", true, first ? "training runs float layers" : detail, ""};
}

}  // namespace

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
    if (audits.failure() == nullptr) {
      audits.findings.push_back(execution(*run));
      const Finding& added = audits.findings.back();
      records.finding(added.rule, added.ok, added.detail);
    }
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
