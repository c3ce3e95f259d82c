// What the commands share: exit codes, errors as one sentence, the default workspace, the preflight
// of the jail.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/api/client.h"
#include "harness/api/routes.h"
#include "harness/base/result.h"
#include "harness/tasks/tasks.h"

namespace bitloop::cli {

enum ExitCode : int { kDone = 0, kCandidateFailed = 1, kWrongUsage = 2, kMachineCannot = 3 };

// Prints "bitloop: <message>" on stderr, as one line, and returns the exit code that fits the
// error's code.
int report(const Error& error);
int exit_code_of(const Error& error);
// What a command ends with: its exit code, or report() of its error.
int finish(const Result<int>& done);

// $BITLOOP_WORKSPACE; else ./results where that folder exists; else $XDG_DATA_HOME/bitloop
// (~/.local/share/bitloop).
std::filesystem::path default_workspace();
// What --workspace gave, or the default where it gave nothing.
std::filesystem::path choose_workspace(const std::string& given);
extern const char* const kWorkspaceHelp;
extern const char* const kDegradedHelp;

// The option --benchmarks of every command that scores a model; empty: the user's own folder.
CLI::Option* add_benchmarks(CLI::App& command, std::string& benchmarks);
std::filesystem::path choose_benchmarks(const std::string& given);

// What --url gave, with the token of $BITLOOP_TOKEN. Errors: "bad_value", "wrong_usage" (what can't
// be a token).
Result<api::ServerAddress> server_address(const std::string& url);

// Asks the sandbox which layers this machine can give. Error: "sandbox_missing" when one is missing
// that a jail needs and `allow_degraded` is false: what is missing, and what --allow-degraded would
// give up.
Result<std::vector<api::LayerState>> probe_sandbox(bool allow_degraded);

// Whether a file can be made there, or one be replaced: asked before the work, not after hours.
// Error "wrong_usage", which names the option.
Status check_output(const std::filesystem::path& path, const char* option = "--output");

// For a command that talks to a jail itself: the same question, and SIGPIPE ignored, since a jail
// that is gone is noticed otherwise.
Status prepare_for_jail(bool allow_degraded);

// How large the jail of a command is that works on a model that is there.
struct JailSize {
  unsigned threads = 0;  // 0: one a core
  double memory_gb = 16;

  unsigned thread_count() const;
  uint64_t memory_bytes() const;
};
void add_jail_threads(CLI::App& command, JailSize& size);  // --threads
void add_jail_memory(CLI::App& command, JailSize& size);   // --memory-gb

// What FILE of check and train is trained on.
struct Target {
  std::string candidate;
  std::string name;  // of the file, without .lua
  tasks::Task task;
  nlohmann::json preset;
};
// Reads the file and finds the preset: the name of a task ("quick-mls") brings its rules, too.
// Errors: "file_not_found", "invalid_text", "unknown_preset", those of load_tasks.
Result<Target> load_target(const std::filesystem::path& file, const std::string& preset);
// The task and preset alone. Errors: as above, but for the file's.
Status find_target(const std::string& preset, Target& target);

// --init-from, of every command that trains.
void add_init_from(CLI::App& command, std::string& model);
// Looks for the model that the target begins with: `model`, what --init-from gave, or its task's.
// Requires: its preset is as it will be trained. Error: "init_unavailable".
Status find_initial_model(const std::string& model, const std::filesystem::path& workspace,
                          Target& target);

// --steps, --eval-every, --device, --ranks and --set: what the command line changes of a preset.
struct Overrides {
  int64_t steps = 0;
  int64_t eval_every = 0;
  std::string device;  // "": the preset's
  int64_t ranks = 0;
  std::vector<std::string> assignments;

  bool any() const {
    return steps > 0 || eval_every > 0 || !device.empty() || ranks > 0 || !assignments.empty();
  }
};
void add_overrides(CLI::App& command, Overrides& overrides);
// Errors: those of tasks::apply_override and tasks::check_preset.
Status apply_overrides(const Overrides& overrides, nlohmann::json& preset);

}  // namespace bitloop::cli
