#include <ATen/ATen.h>
#include <fmt/format.h>

#include <chrono>

#include "trainer/audit/behaviour.h"
#include "trainer/audit/gradients.h"
#include "trainer/loop/modes.h"
#include "trainer/loop/prepare.h"
#include "trainer/model/candidate.h"
#include "trainer/model/captured_inputs.h"

namespace bitloop::trainer {
namespace {

// How training would run a function: as a program, or operation by operation and why.
Result<std::string> execution_of(Run& run, const char* name, BitLinear& layer,
                                 const at::Tensor& tensor) {
  const bool weights = std::string_view(name) == "weight_quant";
  // Functions are captured on this processor, for whichever device.
  std::unique_ptr<lua::Quantizer> on_cpu;
  if (!run.device.is_cpu()) {
    std::string why = DeviceTraining::refuses(run.job.model, run.job.train.micro_batch);
    if (why.empty()) why = DeviceTraining::refuses(*run.quantizer);
    if (!why.empty()) return fmt::format("{} operation by operation ({})", name, why);
    BITLOOP_ASSIGN(loaded, lua::Quantizer::load(run.job.candidate, run.job.candidate_path, {}));
    on_cpu = std::move(loaded);
  }
  lua::Quantizer& quantizer = on_cpu != nullptr ? *on_cpu : *run.quantizer;
  const NamedTensorMap params = on_cpu_of(layer.params), state = on_cpu_of(layer.state);
  const ForwardContext context = run.context(0, true);
  const lua::Context script = script_context(layer, context, params, state);
  Capture capture;
  BITLOOP_TRY(try_capture(
      capture,
      [&](const at::Tensor& t, lua::Recording* recording) {
        return weights ? quantizer.weight_quant(t, script, recording)
                       : quantizer.activation_quant(t, script, recording);
      },
      tensor.to(at::kCPU), params, state));
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

// On the first layer, too; the run itself refuses what no gradient reaches in another.
Finding gradients(Run& run) {
  ForwardContext context = run.context(0, true);
  const auto lambda = run.lambda(0);
  if (!lambda) return {"gradients", false, lambda.error().message, lambda.error().code};
  context.lambda = *lambda;
  context.captured = false;
  return audit_gradients(*run.model->bitlinears().front(), context);
}

// A quantizer of our own that uses what most do.
constexpr const char* kRehearsal = R"(
local Q = {name = "rehearsal", levels = {-1, 0, 1}}
function Q.weight_quant(w, ctx)
  local scale = w:abs():mean():clamp{min = 1e-5}
  return (w / scale):round():clamp{min = -1, max = 1}, scale
end
function Q.activation_quant(x, ctx)
  local scale = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 127
  return (x / scale):round():clamp{min = -128, max = 127}, scale
end
return Q
)";

// The whole check once, while there is time: memory is touched, code is paged in. On a quantizer, a
// Lua state and a model that are thrown away, so that nothing of it is left for the candidate.
void rehearse(const Run& run) {
  const Records nobody(-1, "");
  Run other;
  other.job = run.job;
  other.job.candidate = kRehearsal;
  other.job.candidate_path = "rehearsal.lua";
  other.records = &nobody;
  other.data = run.data;
  other.device = run.device;
  other.model =
      std::make_unique<Transformer>(run.job.model, run.job.rules.quantize_head, run.job.train.seed);
  other.model->to(run.device);
  if (!load_candidate(other)) return;
  (void)run_preflight(other);
  (void)execution(other);
  (void)gradients(other);
  (void)behaviour_digest(other);
}

}  // namespace

using nlohmann::json;

Status check(Job job, const Records& records) {
  auto start = std::chrono::steady_clock::now();
  BITLOOP_ASSIGN(run, prepare(std::move(job), records));
  if (run->job.candidate_fd >= 0) {
    rehearse(*run);
    BITLOOP_TRY(receive_candidate(run->job));
    start = std::chrono::steady_clock::now();
  }
  Preflight preflight;
  if (const Status loaded = load_candidate(*run); !loaded) {
    preflight.findings.push_back({"loads", false, loaded.error().message, loaded.error().code});
    records.finding("loads", false, loaded.error().message);
  } else {
    records.finding("loads", true, "parses, returns a quantizer, config within bounds");
    Preflight audits = run_preflight(*run);
    for (const auto ask : {execution, gradients}) {
      if (audits.failure() != nullptr) break;
      audits.findings.push_back(ask(*run));
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
  const auto behaviour = failure ? std::nullopt : behaviour_digest(*run);
  const double ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  records.send("result",
               {{"status", failure ? failure->status : "ok"},
                {"message", failure ? failure->detail : "no objection"},
                {"stages", json::array()},
                {"metrics",
                 {{"bits_per_weight",
                   preflight.bits_per_weight ? json(*preflight.bits_per_weight) : json(nullptr)},
                  {"behaviour", behaviour ? json(*behaviour) : json(nullptr)},
                  {"ms", ms}}},
                {"flags", preflight.leaks ? json::array({"leaks"}) : json::array()},
                {"findings", preflight.findings}});
  return {};
}

}  // namespace bitloop::trainer
