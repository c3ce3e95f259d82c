#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>

#include "harness/base/paths.h"
#include "harness/base/temporary_folder.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/jobs/run_now.h"
#include "harness/sessions/job.h"
#include "harness/sessions/report.h"

namespace bitloop::cli {
namespace {

constexpr int kTimeoutMs = 60'000;

struct CheckOptions {
  std::string file;
  std::string preset = "quick";
  std::string init_from;
  bool json = false;
  bool allow_degraded = false;
};

constexpr std::string_view kPrefix = "bitloop-check-";
constexpr int kStopSignals[] = {SIGINT, SIGTERM, SIGHUP};

std::atomic<bool> interrupted{false};
volatile std::sig_atomic_t received = 0;

void on_signal(int signal) {
  received = signal;
  interrupted = true;
}

void print_findings(const nlohmann::ordered_json& document) {
  for (const auto& finding : document["findings"]) {
    const std::string rule = finding["rule"];
    const std::string detail = finding["detail"];
    fmt::print("{:<6} {:<18} {}\n", finding["ok"].get<bool>() ? "ok" : "FAILED", rule, detail);
  }
  if (document["bits_per_weight"].is_number())
    fmt::print("bits_per_weight {:.4f}\n", document["bits_per_weight"].get<double>());
  fmt::print("{} in {} ms\n", document["ok"].get<bool>() ? "ok" : "FAILED",
             document["ms"].get<int64_t>());
}

int perform(const CheckOptions& options) {
  auto target = load_target(options.file, options.preset);
  if (!target) return report(target.error());
  if (const auto found = find_initial_model(options.init_from, default_workspace(), *target);
      !found)
    return report(found.error());
  if (const auto layers = probe_sandbox(options.allow_degraded); !layers)
    return report(layers.error());
  std::error_code no_folder;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(no_folder);
  for (const int signal : kStopSignals) std::signal(signal, on_signal);
  // Those of checks that were killed; the runs in them end by themselves.
  if (!no_folder) TemporaryFolder::remove_abandoned(parent, kPrefix, jobs::run_is_alive);
  const auto folder =
      no_folder ? fail("io_error", no_folder.message()) : TemporaryFolder::make(parent, kPrefix);
  if (!folder)
    return report({folder.error().code,
                   fmt::format("No temporary folder can be made ({}); set TMPDIR to a folder that "
                               "can be written.",
                               folder.error().message)});
  sessions::JobRequest request{"check",
                               "local",
                               0,
                               target->candidate,
                               target->task,
                               target->preset,
                               sessions::default_seed(target->task, target->preset),
                               share_dir(),
                               options.allow_degraded};
  const auto start = std::chrono::steady_clock::now();
  const jobs::Verdict verdict =
      jobs::run_now(folder->path(), sessions::make_job(request), kTimeoutMs, &interrupted);
  const auto elapsed = std::chrono::steady_clock::now() - start;
  if (interrupted) return report({"interrupted", "The check was interrupted."});
  if (verdict.status == sessions::kInfrastructure)
    return report({"infrastructure", verdict.message});
  const auto document = sessions::check_document(
      verdict, std::chrono::duration_cast<std::chrono::milliseconds>(elapsed).count());
  if (options.json)
    fmt::print("{}\n", document.dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
  else
    print_findings(document);
  if (document["ok"].get<bool>()) return kDone;
  fmt::print(stderr, "bitloop: the candidate failed its check: {}\n", verdict.status);
  return kCandidateFailed;
}

// Ends by the signal that interrupted it, as who sent it expects, once everything is tidied up.
int check(const CheckOptions& options) {
  const int code = perform(options);
  if (received == 0) return code;
  std::signal(received, SIG_DFL);
  std::raise(received);
  return code;
}

}  // namespace

void add_check(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command =
      app.add_subcommand("check", "Check a Lua quantizer: loads it, audits it, does not train");
  command->add_option("FILE", options->file, "the Lua file")->required();
  command->add_option("--preset", options->preset, "preset or task (default quick)");
  add_init_from(*command, options->init_from);
  command->add_flag("--json", options->json,
                    "one JSON document: {ok, findings, bits_per_weight, ms}");
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp);
  command->callback([options, &exit_code] { exit_code = check(*options); });
}

}  // namespace bitloop::cli
