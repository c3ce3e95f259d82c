// The job `profile`: some steps of training, timed in detail, and no score.
#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <fmt/format.h>

#include <mutex>
#include <set>
#include <string>

#include "trainer/device/device.h"
#include "trainer/kernels/spans.h"
#include "trainer/kernels/team.h"
#include "trainer/loop/clock.h"
#include "trainer/loop/modes.h"
#include "trainer/loop/peak.h"
#include "trainer/loop/step.h"

namespace bitloop::trainer {
namespace {

using kernels::SpanRecorder;
using nlohmann::json;

constexpr int64_t kWarmSteps = 2;
constexpr size_t kMostEvents = 100'000;  // of each thread
constexpr size_t kEventsARecord = 2'000;

// "torch::autograd::CppNode<bitloop::(…)::QuantizedProduct>" is of a QuantizedProduct.
std::string short_name(std::string name) {
  if (const size_t end = name.rfind('>'); end != std::string::npos) name.resize(end);
  if (const size_t begin = name.rfind("::"); begin != std::string::npos) name.erase(0, begin + 2);
  return name;
}

// Names of autograd's operations, which must outlive the recorder: kept for good.
const char* kept(std::string name) {
  static std::mutex mutex;
  static std::set<std::string> names;
  const std::lock_guard lock(mutex);
  return names.insert(std::move(name)).first->c_str();
}

// What autograd goes back through, operation by operation, as spans of this thread and of those
// that autograd passes its work to.
class BackwardSpans {
 public:
  BackwardSpans()
      : handle_(at::addThreadLocalCallback(
            at::RecordFunctionCallback(
                [](const at::RecordFunction& function) -> std::unique_ptr<at::ObserverContext> {
                  if (SpanRecorder* recorder = kernels::span_recorder)
                    recorder->enter("backward", kept(short_name(function.name())));
                  return nullptr;
                },
                [](const at::RecordFunction&, at::ObserverContext*) {
                  if (SpanRecorder* recorder = kernels::span_recorder) recorder->leave();
                })
                .scopes({at::RecordScope::BACKWARD_FUNCTION}))) {}
  ~BackwardSpans() { at::removeCallback(handle_); }
  BackwardSpans(const BackwardSpans&) = delete;
  BackwardSpans& operator=(const BackwardSpans&) = delete;

 private:
  at::CallbackHandle handle_;
};

// `count` steps from step `first` on; the schedule begins anew after its last one.
Status run_steps(Run& run, AdamW& optimizer, int64_t first, int64_t count) {
  for (int64_t i = first; i < first + count; ++i) {
    const kernels::Span span("step", "rest");
    BITLOOP_TRY(train_step(run, optimizer, i % run.job.train.steps));
  }
  return {};
}

constexpr double kNsAMs = 1e6, kNsAnUs = 1e3;

json parts_of(const SpanRecorder::Lane& lane, int64_t steps) {
  json parts = json::array();
  for (size_t i = 0; i < lane.names.size(); ++i)
    parts.push_back(
        {{"part", lane.names[i].part},
         {"name", lane.names[i].name},
         {"ms", static_cast<double>(lane.totals[i].self) / kNsAMs / static_cast<double>(steps)},
         {"calls", static_cast<double>(lane.totals[i].calls) / static_cast<double>(steps)}});
  return parts;
}

// One thread's spans, some a record.
void send_spans(const Records& records, size_t thread, const SpanRecorder::Lane& lane) {
  json names = json::array();
  for (const auto& [part, name] : lane.names) names.push_back({part, name});
  for (size_t begin = 0; begin < lane.events.size(); begin += kEventsARecord) {
    json spans = json::array();
    for (size_t i = begin; i < std::min(lane.events.size(), begin + kEventsARecord); ++i) {
      const SpanRecorder::Event& event = lane.events[i];
      spans.push_back({event.name, static_cast<double>(event.start) / kNsAnUs,
                       static_cast<double>(event.length) / kNsAnUs});
    }
    records.send("spans", {{"thread", thread}, {"names", names}, {"spans", std::move(spans)}});
  }
}

Status time_steps(Run& run, const Records& records) {
  AdamW optimizer = make_optimizer(run);
  const int64_t steps = run.job.profile_steps;
  BITLOOP_TRY(run_steps(run, optimizer, 0, kWarmSteps));
  // As training is, without a look at the clock: what the tokens a second are of.
  const Clock::time_point begin = Clock::now();
  BITLOOP_TRY(run_steps(run, optimizer, kWarmSteps, steps));
  const double plain = seconds_since(begin);

  SpanRecorder recorder(kernels::team_size(), kMostEvents);
  Clock::time_point timed_begin;
  {
    const kernels::RecordingSpans recording(recorder);
    const BackwardSpans backward;
    timed_begin = Clock::now();
    BITLOOP_TRY(run_steps(run, optimizer, kWarmSteps + steps, steps));
  }
  const double timed = seconds_since(timed_begin), n = static_cast<double>(steps);
  int64_t dropped = 0;
  for (const SpanRecorder::Lane& lane : recorder.lanes()) dropped += lane.dropped;
  const double tokens = static_cast<double>(run.job.train.batch * run.job.sequence());
  records.send("profile", {{"steps", steps},
                           {"step_ms", plain * 1e3 / n},
                           {"timed_step_ms", timed * 1e3 / n},
                           {"tokens_per_s", tokens * n / plain},
                           {"peak_flops", run.peak_flops},
                           {"peak_memory_mb", static_cast<double>(peak_memory(run.device)) /
                                                  static_cast<double>(1 << 20)},
                           {"device", device_name(run.device)},
                           {"threads", run.job.threads},
                           {"execution", run.fused ? "fused" : "eager"},
                           {"dropped", dropped},
                           {"parts", parts_of(recorder.lanes().front(), steps)}});
  for (size_t t = 0; t < recorder.lanes().size(); ++t) send_spans(records, t, recorder.lanes()[t]);
  return {};
}

Status profile_run(Run& run, const Records& records) {
  BITLOOP_TRY(load_candidate(run));
  const Preflight preflight = run_preflight(run);
  if (const Finding* failure = preflight.failure()) return fail(failure->status, failure->detail);
  records.stage("train");
  return time_steps(run, records);
}

}  // namespace

Status profile(Job job, const Records& records) {
  BITLOOP_ASSIGN(run, prepare(std::move(job), records));
  const Status done = profile_run(*run, records);
  records.send("result", done ? bare_result("ok", "profiled")
                              : bare_result(done.error().code, done.error().message));
  return {};
}

}  // namespace bitloop::trainer
