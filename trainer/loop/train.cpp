#include <ATen/ATen.h>

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "harness/base/version.h"
#include "trainer/audit/behaviour.h"
#include "trainer/audit/probes.h"
#include "trainer/data/watched_files.h"
#include "trainer/device/device.h"
#include "trainer/distributed/meeting.h"
#include "trainer/eval/evaluate.h"
#include "trainer/loop/benchmark_score.h"
#include "trainer/loop/checkpoints.h"
#include "trainer/loop/clock.h"
#include "trainer/loop/codebook_use.h"
#include "trainer/loop/early_stop.h"
#include "trainer/loop/modes.h"
#include "trainer/loop/packed_run.h"
#include "trainer/loop/peak.h"
#include "trainer/loop/progress.h"
#include "trainer/loop/step.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

// The status of a test that ended with this error: what else goes wrong (a full disk) is the
// machine's.
std::string status_of(const Error& error) {
  for (const char* status :
       {"script_error", "rejected", "diverged", "timeout", "out_of_memory", "stopped_early"})
    if (error.code == status) return status;
  return "infrastructure";
}

// What the result record is made of, filled as the run goes on.
struct Outcome {
  json metrics = json::object();
  json stages = json::array();
  std::vector<Finding> findings;
  std::vector<std::string> flags;

  void send(const Records& records, const std::string& status, const std::string& message) const {
    records.send("result", {{"status", status},
                            {"message", message},
                            {"stages", stages},
                            {"metrics", metrics},
                            {"flags", flags},
                            {"findings", findings}});
  }
  // Adds the failed stage, with what it measured before, and sends the result.
  Status fail_stage(const Records& records, const char* stage, const Error& error,
                    const json& measured = nullptr) {
    const std::string status = status_of(error);
    stages.push_back({{"name", stage},
                      {"metrics", measured},
                      {"failure", {{"status", status}, {"detail", error.message}}}});
    send(records, status, error.message);
    return {};
  }
};

json share_fields(const std::optional<CodeShares>& shares) {
  if (!shares) return {{"q_neg1", nullptr}, {"q_zero", nullptr}, {"q_pos1", nullptr}};
  return {{"q_neg1", shares->negative}, {"q_zero", shares->zero}, {"q_pos1", shares->positive}};
}

json or_null(const std::optional<double>& number) { return number ? json(*number) : json(); }

EvalOptions quick_look(const Job& job, double lambda = 1.0) {
  return {.batches = job.eval.batches,
          .batch = evaluation_batch(job),
          .window = job.window(),
          .lambda = lambda};
}

// Before the first step, at lambda 1; of a model that was trained before also as it came.
Status send_first_look(Run& run, const Records& records) {
  ForwardContext context = run.context(0, false);
  BITLOOP_ASSIGN(first, evaluate(*run.model, run.data.validation, quick_look(run.job), context));
  json record = {
      {"step", 0}, {"val_loss", first.loss}, {"val_bpb", or_null(first.bits_per_byte())}};
  record.update(codebook_use(run));
  if (!run.job.init_from.is_null()) {
    context.quantizer = nullptr;
    BITLOOP_ASSIGN(given, evaluate(*run.model, run.data.validation, quick_look(run.job), context));
    record["float_val_loss"] = given.loss;
    record["float_val_bpb"] = or_null(given.bits_per_byte());
  }
  records.send("init_eval", record);
  return {};
}

// What the header says of the weights to begin with: {path, sha256}, or null.
json origin_of(const Job& job) {
  if (job.init_from.is_null()) return nullptr;
  return {{"path", job.init_from.at("path")}, {"sha256", job.init_from.value("sha256", json())}};
}

// The training loop. Errors are the candidate's; "stopped_early" where it falls too far behind.
Status run_steps(Run& run, const Records& records, Progress& progress) {
  const Job& job = run.job;
  AdamW optimizer = make_optimizer(run);
  EarlyStopWatch watch(job.early_stop);
  Checkpoints checkpoints(run, optimizer, watch, progress);
  BITLOOP_TRY(checkpoints.resume());
  if (run.ranks) BITLOOP_TRY(run.ranks->wait_for_first());
  if (run.ranks && job.resume) BITLOOP_TRY(share_state(run, optimizer, progress));
  if (run.ranks) {
    BITLOOP_ASSIGN(early, all_sum_early(run));
    run.sums_early = early;
  }
  const bool leads = is_first(run);
  if (progress.steps == 0 && leads) BITLOOP_TRY(send_first_look(run, records));

  const double tokens_per_step = static_cast<double>(job.train.batch * job.sequence());
  const double elapsed_before = progress.elapsed;
  const Clock::time_point start = Clock::now();
  bool first_was_away = true;
  for (int64_t step = progress.steps; step < job.train.steps; ++step) {
    if (run.ranks && std::exchange(first_was_away, false)) BITLOOP_TRY(run.ranks->wait_for_first());
    const Clock::time_point step_start = Clock::now();
    BITLOOP_ASSIGN(result, train_step(run, optimizer, step));
    progress.seconds += seconds_since(step_start);
    progress.train_loss = result.loss;
    if (step < kRepeatedSteps) progress.first_losses.push_back(result.loss);
    const int64_t done = progress.steps = step + 1;
    progress.elapsed = elapsed_before + seconds_since(start);
    const bool last = done == job.train.steps;
    if (leads && (done % job.eval.log_every == 0 || last)) {
      json record = {
          {"step", done},
          {"lambda", result.lambda},
          {"train_loss", result.loss},
          {"train_ppl", std::exp(result.loss)},
          {"lr", result.learning_rate},
          {"time_s", progress.elapsed},
          {"tokens_per_s", tokens_per_step * static_cast<double>(done) / progress.seconds},
          {"memory_mb", static_cast<double>(peak_memory(run.device)) / (1 << 20)}};
      record.update(share_fields(code_shares(run)));
      record.update(codebook_use(run));
      records.send("step", record);
      checkpoints.report();
    }
    // A rank of another machine has files of its own.
    if ((leads || !job.ranks.address.empty()) && (done % job.eval.log_every == 0 || last))
      BITLOOP_TRY(check_watched_files());
    first_was_away = job.eval.every > 0 && (done % job.eval.every == 0 || last);
    if (leads && first_was_away) {
      BITLOOP_ASSIGN(score, evaluate(*run.model, run.data.validation, quick_look(job),
                                     run.context(done, false)));
      progress.val_loss = score.loss;
      json record = {{"step", done},
                     {"lambda", result.lambda},
                     {"val_loss", score.loss},
                     {"val_bpb", or_null(score.bits_per_byte())}};
      record.update(codebook_use(run));
      if (result.lambda < 1.0) {
        BITLOOP_ASSIGN(current, evaluate(*run.model, run.data.validation,
                                         quick_look(job, result.lambda), run.context(done, false)));
        record["lambda_val_loss"] = current.loss;
        record["lambda_val_bpb"] = or_null(current.bits_per_byte());
      }
      records.send("val", record);
      if (!last && watch.is_hopeless(done, result.lambda, score.loss))
        return fail("stopped_early", watch.sentence(job.train.steps));
    }
    BITLOOP_TRY(checkpoints.after_step());
  }
  if (run.ranks) BITLOOP_TRY(run.ranks->wait_for_first());
  if (run.ranks) BITLOOP_TRY(same_weights(run, job.train.steps));
  checkpoints.finish();
  return check_variables(run);
}

// Training as a stage of the result. Errors as those of run_steps; the result has been sent then.
Status train_stage(Run& run, const Records& records, Outcome& outcome) {
  Progress progress;
  const Status trained = run_steps(run, records, progress);
  if (!trained) {
    // Only of a run that was ended on purpose are the numbers whole.
    const bool stopped = trained.error().code == "stopped_early";
    if (stopped) outcome.metrics.update(progress.costs(run.job));
    BITLOOP_TRY(outcome.fail_stage(records, "train", trained.error(),
                                   stopped ? progress.stage_metrics() : json()));
    return trained;
  }
  outcome.metrics.update(progress.costs(run.job));
  outcome.metrics.update(
      {{"train_loss", progress.train_loss}, {"first_losses", progress.first_losses}});
  outcome.stages.push_back(
      {{"name", "train"}, {"metrics", progress.stage_metrics()}, {"failure", nullptr}});
  return {};
}

// Whether the model that was scored works at all (trainer/audit/probes.h).
Status probe(Run& run, const ScoredValues& scored_values, double loss, Outcome& outcome) {
  BITLOOP_ASSIGN(probes, probe_score(*run.model, run.data.validation,
                                     run.context(run.job.train.steps, false), loss));
  probes.findings.push_back(scored_values.compare(*run.model));
  for (const Finding& finding : probes.findings) {
    run.records->finding(finding.rule, finding.ok, finding.detail);
    outcome.findings.push_back(finding);
    if (!finding.ok) return fail(finding.status, finding.detail);
  }
  outcome.flags.insert(outcome.flags.end(), probes.flags.begin(), probes.flags.end());
  return {};
}

// The final score: a fresh Lua state, the whole split, and the audits again on the trained weights.
Status score(Run& run, const Records& records, Outcome& outcome) {
  if (run.weights_file.valid())
    BITLOOP_TRY(write_safetensors(run.weights_file.get(), run.state_tensors()));
  BITLOOP_ASSIGN(fresh, load_fresh(run));
  run.quantizer = std::move(fresh);
  BITLOOP_ASSIGN(final_score,
                 evaluate(*run.model, run.data.validation, score_options(run.job, false),
                          run.context(run.job.train.steps, false)));
  if (!std::isfinite(final_score.loss))
    return fail("diverged", "the validation loss is not finite");

  json shares = share_fields(code_shares(run));
  shares.update(codebook_use(run));
  const ScoredValues scored_values(*run.model);
  const Preflight audits = audit_score(run);
  outcome.findings = audits.findings;
  if (const Finding* failure = audits.failure()) return fail(failure->status, failure->detail);
  if (audits.leaks &&
      std::find(outcome.flags.begin(), outcome.flags.end(), "leaks") == outcome.flags.end())
    outcome.flags.push_back("leaks");
  // Once more, since the audits may have quantised other things; of a pure function the tensors are
  // those that were scored, and the repetition, which scores this file, compares.
  BITLOOP_TRY(run.model->quantize_weights(run.context(run.job.train.steps, false)));
  BITLOOP_TRY(probe(run, scored_values, final_score.loss, outcome));
  BITLOOP_ASSIGN(packed_bits, write_packed_run(run.packed_file.get(), run, at::kFloat));
  json metrics = {{"val_loss", final_score.loss},
                  {"val_bpb", or_null(final_score.bits_per_byte())},
                  {"bits_per_weight", *audits.bits_per_weight},
                  {"packed_bits_per_weight", packed_bits}};
  metrics.update(shares);
  outcome.metrics.update(metrics);
  outcome.stages.push_back({{"name", "eval"}, {"metrics", metrics}, {"failure", nullptr}});
  records.send(
      "eval",
      {{"task", "validation"}, {"val_loss", final_score.loss}, {"tokens", final_score.tokens}});
  return {};
}

// The model as it came, on the whole split: what quantisation without training is compared with.
Status score_float(Run& run, Outcome& outcome) {
  EvalOptions options = score_options(run.job, false);
  options.guarded = false;
  ForwardContext context = run.context(run.job.train.steps, false);
  context.quantizer = nullptr;
  BITLOOP_ASSIGN(score, evaluate(*run.model, run.data.validation, options, context));
  outcome.metrics["float_val_loss"] = score.loss;
  outcome.metrics["float_val_bpb"] = or_null(score.bits_per_byte());
  return {};
}

// What the task asks of a model that is trained and scored.
Status answer_benchmarks(Run& run, const Records& records, Outcome& outcome) {
  records.stage("benchmarks");
  BITLOOP_ASSIGN(scores, score_benchmarks(run, false));
  outcome.metrics.update(scores->columns);
  outcome.metrics["benchmarks_digest"] = scores->digest;
  outcome.metrics["documents_digest"] = scores->documents_digest;
  if (scores->limited) outcome.flags.push_back("limited");
  outcome.stages.push_back({{"name", "benchmarks"},
                            {"metrics", scores->columns},
                            {"not_measured", scores->not_measured},
                            {"failure", nullptr}});
  return {};
}

// What a rank other than 0 does. Its result says how far it came with the others; of ranks in one
// jail nobody hears it.
Status follow(Run& run, const Records& records, Outcome& outcome) {
  records.stage("train");
  Progress progress;
  const Status trained = run_steps(run, records, progress);
  outcome.metrics["first_losses"] = progress.first_losses;
  // On another machine the repetition begins when rank 0's does: after the score.
  const bool waits = trained && !run.job.ranks.address.empty();
  const Status ended = waits ? run.ranks->wait_for_first() : trained;
  if (ended)
    outcome.send(records, "ok", "trained with rank 0, which has the score");
  else
    outcome.send(records, status_of(ended.error()), ended.error().message);
  return companion_failure(run, ended);
}

}  // namespace

Status train(Job job, const Records& records) {
  records.send("header", {{"schema_version", 2},
                          {"version", version()},
                          {"git_hash", git_hash()},
                          {"argv", json::array({"bitloop-trainer"})},
                          {"config", job.config},
                          {"seed", job.train.seed},
                          {"init_from", origin_of(job)}});
  BITLOOP_ASSIGN(run, prepare(std::move(job), records));
  Outcome outcome;
  if (const Status loaded = load_candidate(*run); !loaded)
    return outcome.fail_stage(records, "train", loaded.error());
  outcome.metrics = {{"params", run->model->parameter_count()},
                     {"device", device_name(run->device)},
                     {"precision", run->job.train.precision},
                     {"ranks", run->job.ranks.count},
                     {"seed", run->job.train.seed},
                     {"quantizer", run->quantizer->format().name},
                     {"doc", run->quantizer->format().doc}};
  if (!is_first(*run)) return follow(*run, records, outcome);
  const Preflight preflight = run_preflight(*run);
  outcome.findings = preflight.findings;
  if (const Finding* failure = preflight.failure())
    return outcome.fail_stage(records, "train", Error{failure->status, failure->detail});
  if (preflight.leaks) outcome.flags.push_back("leaks");
  if (const auto behaviour = behaviour_digest(*run)) outcome.metrics["behaviour"] = *behaviour;

  if (run->job.kind == "quantize") {
    if (const Status scored = score_float(*run, outcome); !scored)
      return outcome.fail_stage(records, "eval", scored.error());
  } else {
    records.stage("train");
    if (!train_stage(*run, records, outcome)) return {};
  }
  records.stage("eval");
  Status scored = score(*run, records, outcome);
  if (const Status unchanged = check_watched_files(); !unchanged) scored = unchanged;
  if (!scored) return outcome.fail_stage(records, "eval", scored.error());
  if (run->benchmarks)
    if (const Status answered = answer_benchmarks(*run, records, outcome); !answered)
      return outcome.fail_stage(records, "benchmarks", answered.error());
  if (!run->device.is_cpu())
    outcome.metrics["peak_memory_mb"] =
        static_cast<double>(device_peak_memory(run->device)) / (1 << 20);
  outcome.send(records, "ok",
               run->job.kind == "quantize" ? "quantised and scored" : "trained and scored");
  if (!run->job.ranks.address.empty()) BITLOOP_TRY(run->ranks->wait_for_first());
  return {};
}

}  // namespace bitloop::trainer
