#include "harness/jobs/outcome.h"

#include <fmt/format.h>
#include <string.h>

#include <bit>
#include <csignal>

#include "harness/base/text.h"

namespace bitloop::jobs {
namespace {

using Json = nlohmann::ordered_json;
using sandbox::KilledBy;

constexpr const char* kTrainerStatuses[] = {
    "ok",      "script_error",  "rejected",      "diverged",
    "timeout", "out_of_memory", "stopped_early", "infrastructure"};

constexpr const char* kDigest = "benchmarks_digest";    // of every log-probability
constexpr const char* kDocuments = "documents_digest";  // of what the benchmarks were asked on

std::string signal_name(int number) {
  const char* name = ::sigabbrev_np(number);
  return name ? fmt::format("SIG{}", name) : fmt::format("signal {}", number);
}

bool is_fault(int signal) {
  return signal == SIGSEGV || signal == SIGABRT || signal == SIGBUS || signal == SIGILL ||
         signal == SIGFPE || signal == SIGTRAP;
}

std::string text_member(const Json& record, const char* name) {
  const auto found = record.find(name);
  return found != record.end() && found->is_string() ? found->get<std::string>() : "";
}

void set(Outcome& outcome, std::string status, std::string message) {
  outcome.status = std::move(status);
  outcome.message = std::move(message);
}

// Numbers that no run has, or "". The trainer never writes them, so somebody else did.
std::string impossible_number(const Json& result) {
  const auto metrics = result.find("metrics");
  if (metrics == result.end() || !metrics->is_object()) return "";
  for (const char* name : {"val_loss", "val_bpb", "wikitext2_ppl", "lambada_ppl", "bits_per_weight",
                           "packed_bits_per_weight", "train_loss", "params", "tokens"}) {
    const auto found = metrics->find(name);
    if (found == metrics->end() || found->is_null()) continue;
    if (!found->is_number() || !(found->get<double>() >= 0))
      return fmt::format("{} = {}", name, single_line(found->dump().substr(0, 100)));
  }
  return "";
}

void judge_killed(Outcome& outcome, const Reported& reported, const LimitsText& limits) {
  switch (*outcome.jail.killed_by) {
    case KilledBy::kDeadline:
      return set(outcome, "timeout",
                 fmt::format("stopped at the deadline of {} s", limits.deadline_s));
    case KilledBy::kCpu:
      return set(outcome, "timeout",
                 "stopped: it used all the processor time that the deadline allows");
    case KilledBy::kMemory:
      return set(outcome, "out_of_memory",
                 fmt::format("stopped: it held more than {} MiB of memory", limits.memory_mb));
    case KilledBy::kSeccomp:
      return set(outcome, "violation", "killed: it made a system call that the jail forbids");
    case KilledBy::kFileSize:
      return set(outcome, "violation",
                 fmt::format("killed: it wrote a file of more than {} MiB", limits.output_mb));
    case KilledBy::kEvents:
      return set(outcome, "violation",
                 "killed: its event stream was broken: " + reported.violation);
    case KilledBy::kCancelled:
      return set(outcome, "cancelled", "cancelled on request");
  }
}

// Bitwise: the same double, or both missing.
bool same_number(const Json& a, const Json& b) {
  if (a.is_null() && b.is_null()) return true;
  if (!a.is_number() || !b.is_number()) return false;
  return std::bit_cast<uint64_t>(a.get<double>()) == std::bit_cast<uint64_t>(b.get<double>());
}

// The first difference as a sentence's end, or "" when all numbers are the same.
std::string difference(const Json& metrics, const Json& repeated) {
  const Json losses = metrics.value("first_losses", Json()),
             again = repeated.value("first_losses", Json());
  if (!losses.is_array() || !again.is_array() || losses.size() != again.size())
    return fmt::format("first_losses was {} and then {}", losses.dump(), again.dump());
  for (size_t i = 0; i < losses.size(); ++i)
    if (!same_number(losses[i], again[i]))
      return fmt::format("the loss of step {} was {} and then {}", i + 1, losses[i].dump(),
                         again[i].dump());
  const Json loss = metrics.value("val_loss", Json()),
             loss_again = repeated.value("val_loss", Json());
  if (!same_number(loss, loss_again))
    return fmt::format("the final val_loss was {} and then {}", loss.dump(), loss_again.dump());
  if (metrics.value(kDigest, Json()) != repeated.value(kDigest, Json()))
    return "the answers to the benchmarks were others";
  return "";
}

Json metrics_of(const Outcome& outcome) {
  const Json metrics = outcome.result ? outcome.result->value("metrics", Json()) : Json();
  return metrics.is_object() ? metrics : Json::object();
}

// The result says the same as the verdict, so that a page made from either tells one story.
void reject(Outcome& outcome, const std::string& message) {
  set(outcome, "rejected", message);
  Json& result = *outcome.result;
  result["status"] = "rejected";
  result["message"] = message;
  if (result.contains("stages") && result["stages"].is_array() && !result["stages"].empty() &&
      result["stages"].back().is_object())
    result["stages"].back()["failure"] = {{"status", "rejected"}, {"detail", message}};
}

// Who the trainer is in a sentence.
std::string who(const sandbox::Verdict& jail) {
  return jail.process == 0 ? "the trainer" : fmt::format("rank {} of the trainer", jail.process);
}

}  // namespace

Outcome judge(sandbox::Verdict jail, Reported reported, const LimitsText& limits) {
  Outcome outcome;
  outcome.jail = std::move(jail);
  if (!reported.violation.empty()) outcome.jail.killed_by = KilledBy::kEvents;
  if (outcome.jail.killed_by) {
    judge_killed(outcome, reported, limits);
  } else if (outcome.jail.signal) {
    const std::string name = signal_name(*outcome.jail.signal);
    if (is_fault(*outcome.jail.signal) && reported.candidate_loaded)
      set(outcome, "violation",
          fmt::format("the candidate crashed {} ({})", who(outcome.jail), name));
    else
      set(outcome, "infrastructure",
          fmt::format("{} was ended by {}; output.txt has its last words", who(outcome.jail),
                      name));
  } else if (!reported.result && !reported.candidate_loaded && !reported.last_words.empty()) {
    set(outcome, "infrastructure", reported.last_words);
  } else if (!reported.result && outcome.jail.process > 0) {
    set(outcome, "infrastructure",
        fmt::format("{} gave up (exit code {}): it waited in vain for another rank, or had no "
                    "memory left; output.txt has its last words",
                    who(outcome.jail), outcome.jail.exit_code.value_or(-1)));
  } else if (!reported.result) {
    set(outcome, "infrastructure",
        fmt::format(
            "the trainer ended without a result (exit code {}); output.txt has its last words",
            outcome.jail.exit_code.value_or(-1)));
  } else {
    const std::string status = text_member(*reported.result, "status");
    bool known = false;
    for (const char* name : kTrainerStatuses) known = known || status == name;
    if (!known)
      set(outcome, "infrastructure",
          fmt::format("the trainer's result has no known status ('{}')", single_line(status)));
    else if (!reported.candidate_loaded && status != "ok") {  // whatever it is, not the candidate's
      set(outcome, "infrastructure", text_member(*reported.result, "message"));
      (*reported.result)["status"] = "infrastructure";
    } else if (const std::string number = impossible_number(*reported.result); !number.empty())
      set(outcome, "violation",
          fmt::format("the trainer's result cannot be its own: it says {}", number));
    else if (status == "ok" && outcome.jail.exit_code != 0)
      set(outcome, "infrastructure",
          fmt::format("the trainer reported ok, then failed with exit code {}",
                      outcome.jail.exit_code.value_or(-1)));
    else
      set(outcome, status, text_member(*reported.result, "message"));
  }
  outcome.result = std::move(reported.result);
  return outcome;
}

Outcome not_run(std::string message, std::vector<sandbox::LayerState> layers) {
  Outcome outcome;
  set(outcome, "infrastructure", std::move(message));
  outcome.jail.layers = std::move(layers);
  return outcome;
}

void compare_with_repetition(Outcome& outcome, const Outcome& repetition) {
  const auto add_times = [&] {
    outcome.jail.wall_ms += repetition.jail.wall_ms;
    outcome.jail.cpu_ms += repetition.jail.cpu_ms;
    outcome.jail.max_rss_mb = std::max(outcome.jail.max_rss_mb, repetition.jail.max_rss_mb);
  };
  add_times();
  // Killed, broken or at its limit of time: that is no statement about determinism.
  const bool ended_itself =
      repetition.result && !repetition.jail.killed_by && !repetition.jail.signal;
  if (!ended_itself || repetition.status == "infrastructure" || repetition.status == "timeout") {
    outcome.jail.killed_by = repetition.jail.killed_by;
    outcome.jail.exit_code = repetition.jail.exit_code;
    outcome.jail.signal = repetition.jail.signal;
    return set(outcome, repetition.status,
               "in the repetition that checks determinism: " + repetition.message);
  }
  const Json metrics = metrics_of(outcome), repeated = metrics_of(repetition);
  if (repetition.status == "ok" &&
      metrics.value(kDocuments, Json()) != repeated.value(kDocuments, Json()))
    return set(outcome, "infrastructure",
               "the benchmarks' documents were changed while the test ran: test again once they "
               "stay as they are");
  std::string different;
  if (repetition.status != "ok")
    different = fmt::format("the repetition ended {}: {}", repetition.status, repetition.message);
  else
    different = difference(metrics, repeated);
  Json& findings = (*outcome.result)["findings"];
  if (!findings.is_array()) findings = Json::array();
  const std::string detail =
      different.empty()
          ? "the first losses and the final scores are the same bits in another process"
          : "not deterministic: " + different;
  findings.push_back({{"rule", "determinism"}, {"ok", different.empty()}, {"detail", detail}});
  if (!different.empty()) reject(outcome, "the run is not deterministic: " + different);
}

Json verdict_document(const Outcome& outcome) {
  const auto or_null = [](const auto& value) { return value ? Json(*value) : Json(); };
  Json flags = Json::array();
  if (outcome.result)
    for (const Json& flag : outcome.result->value("flags", Json::array()))
      if (flag.is_string()) flags.push_back(flag);
  if (outcome.degraded) flags.push_back("degraded");
  Json layers = Json::array();
  for (const sandbox::LayerState& layer : outcome.jail.layers)
    layers.push_back({{"layer", layer.layer}, {"state", layer.state}});
  const sandbox::Verdict& jail = outcome.jail;
  return {{"schema_version", 1},
          {"status", outcome.status},
          {"message", outcome.message},
          {"result", or_null(outcome.result)},
          {"flags", flags},
          {"jail",
           {{"layers", layers},
            {"exit_code", or_null(jail.exit_code)},
            {"signal", jail.signal ? Json(signal_name(*jail.signal)) : Json()},
            {"killed_by", jail.killed_by ? Json(sandbox::killed_by_name(*jail.killed_by)) : Json()},
            {"wall_ms", jail.wall_ms},
            {"cpu_ms", jail.cpu_ms},
            {"max_rss_mb", jail.max_rss_mb}}}};
}

}  // namespace bitloop::jobs
