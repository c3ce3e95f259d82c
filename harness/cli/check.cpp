#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <memory>

#include "harness/base/paths.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/jobs/queue.h"
#include "harness/sessions/job.h"
#include "harness/sessions/report.h"

namespace bitloop::cli {
namespace {

constexpr int kTimeoutMs = 60'000;

struct CheckOptions {
  std::string file;
  std::string preset = "quick";
  bool json = false;
  bool allow_degraded = false;
};

// A folder for one run, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "bitloop-check-XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

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

int check(const CheckOptions& options) {
  auto target = load_target(options.file, options.preset);
  if (!target) return report(target.error());
  if (const auto layers = probe_sandbox(options.allow_degraded); !layers)
    return report(layers.error());
  const TemporaryFolder folder;
  if (folder.path().empty())
    return report(
        {"io_error", "No temporary folder can be made; set TMPDIR to one that can be written."});
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
      jobs::run_now(folder.path(), sessions::make_job(request), kTimeoutMs);
  const auto elapsed = std::chrono::steady_clock::now() - start;
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

}  // namespace

void add_check(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command =
      app.add_subcommand("check", "Check a Lua quantizer: loads it, audits it, does not train");
  command->add_option("FILE", options->file, "the Lua file")->required();
  command->add_option("--preset", options->preset, "preset or task (default quick)");
  command->add_flag("--json", options->json,
                    "one JSON document: {ok, findings, bits_per_weight, ms}");
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp);
  command->callback([options, &exit_code] { exit_code = check(*options); });
}

}  // namespace bitloop::cli
