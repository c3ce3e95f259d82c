#include "harness/cli/common.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "harness/base/fd.h"
#include "harness/base/paths.h"
#include "harness/base/text.h"
#include "harness/editor/document.h"
#include "harness/jobs/trainer_process.h"
#include "harness/tasks/benchmarks.h"
#include "harness/tasks/initial_model.h"
#include "harness/tasks/preset.h"
#include "sandbox/jail.h"

namespace bitloop::cli {
namespace {

constexpr size_t kMaxCandidateBytes = size_t{1} << 20;

}  // namespace

const char* const kWorkspaceHelp =
    "folder of journal, ledger and runs (default: $BITLOOP_WORKSPACE, else ./results where that "
    "exists, else "
    "$XDG_DATA_HOME/bitloop)";
const char* const kDegradedHelp =
    "run although the machine lacks layers of the jail; their names stand in every verdict";

int exit_code_of(const Error& error) {
  constexpr std::string_view kUsage[] = {
      "file_not_found",   "unknown_preset",    "unknown_key",       "bad_override",
      "bad_value",        "bad_preset",        "invalid_text",      "too_large",
      "wrong_usage",      "bad_model",         "bad_weights",       "bad_document",
      "bad_task",         "bad_benchmark",     "unknown_column",    "bad_condition",
      "several_tasks",    "nothing_to_plot",   "unknown_session",   "unknown_commit",
      "ambiguous_commit", "test_not_found",    "unknown_shell",     "not_submitted",
      "test_failed",      "session_read_only", "session_not_found", "not_resumable",
      "bad_prompt",       "init_unavailable"};
  return std::ranges::find(kUsage, error.code) != std::end(kUsage) ? kWrongUsage : kMachineCannot;
}

int report(const Error& error) {
  std::string line = error.message;
  std::replace(line.begin(), line.end(), '\n', ' ');
  fmt::print(stderr, "bitloop: {}\n", line);
  return exit_code_of(error);
}

Result<api::ServerAddress> server_address(const std::string& url) {
  BITLOOP_ASSIGN(address, api::parse_server_url(url));
  if (const char* token = std::getenv("BITLOOP_TOKEN"); token != nullptr) address.token = token;
  const auto visible = [](char c) { return c > ' ' && c < 127; };
  if (!std::ranges::all_of(address.token, visible))
    return fail("wrong_usage",
                "BITLOOP_TOKEN is not a token: it holds a space, a line end or another such "
                "character.");
  return address;
}

int finish(const Result<int>& done) { return done ? *done : report(done.error()); }

std::filesystem::path default_workspace() {
  if (const char* chosen = std::getenv("BITLOOP_WORKSPACE"); chosen != nullptr && *chosen != '\0')
    return chosen;
  std::error_code ignored;
  if (std::filesystem::is_directory("results", ignored)) return "results";
  return user_data_dir();
}

std::filesystem::path choose_workspace(const std::string& given) {
  return given.empty() ? default_workspace() : std::filesystem::path(given);
}

CLI::Option* add_benchmarks(CLI::App& command, std::string& benchmarks) {
  return command.add_option(
      "--benchmarks", benchmarks,
      "folder of the benchmarks' documents, which bitloop data benchmarks fills "
      "(default: $XDG_DATA_HOME/bitloop/benchmarks)");
}

std::filesystem::path choose_benchmarks(const std::string& given) {
  return given.empty() ? tasks::default_benchmarks() : std::filesystem::path(given);
}

Status check_output(const std::filesystem::path& path, const char* option) {
  std::error_code ignored;
  const auto there = std::filesystem::symlink_status(path, ignored);
  const auto folder = std::filesystem::absolute(path).lexically_normal().parent_path();
  if (::access(folder.c_str(), W_OK) == 0 &&
      (!std::filesystem::exists(there) || std::filesystem::is_regular_file(there)))
    return {};
  return fail("wrong_usage",
              fmt::format("{} {}: no file can be written there", option, path.string()));
}

Result<std::vector<api::LayerState>> probe_sandbox(bool allow_degraded) {
  const std::vector<sandbox::LayerState> states = sandbox::probe(jobs::layers_disabled_for_test());
  sandbox::LayerSet found;
  std::vector<api::LayerState> layers;
  for (size_t i = 0; i < states.size(); ++i) {
    layers.push_back({states[i].layer, states[i].state});
    if (states[i].state.starts_with("missing: "))
      found.lose(static_cast<sandbox::Layer>(i), states[i].state.substr(9));
  }
  if (found.degraded() && !allow_degraded) return fail("sandbox_missing", found.refusal());
  return layers;
}

Status prepare_for_jail(bool allow_degraded) {
  if (const auto layers = probe_sandbox(allow_degraded); !layers)
    return std::unexpected(layers.error());
  std::signal(SIGPIPE, SIG_IGN);
  return {};
}

unsigned JailSize::thread_count() const {
  return threads > 0 ? threads : std::max(1u, std::thread::hardware_concurrency());
}

uint64_t JailSize::memory_bytes() const { return static_cast<uint64_t>(memory_gb * (1 << 30)); }

void add_jail_threads(CLI::App& command, JailSize& size) {
  command.add_option("--threads", size.threads, "default: one a core")->check(CLI::Range(1, 256));
}

void add_jail_memory(CLI::App& command, JailSize& size) {
  command.add_option("--memory-gb", size.memory_gb, "limit of the jail (default 16)")
      ->check(CLI::Range(0.1, 4096.0));
}

Result<Target> load_target(const std::filesystem::path& file, const std::string& preset) {
  Target target;
  BITLOOP_ASSIGN(text, read_file(file, kMaxCandidateBytes));
  BITLOOP_ASSIGN(document, editor::Document::read_only(text, file.filename().string()));
  target.candidate = document.text();  // as a session would hold it
  target.name = file.stem().string();
  BITLOOP_TRY(find_target(preset, target));
  return target;
}

Status find_target(const std::string& preset, Target& target) {
  BITLOOP_ASSIGN(tasks, tasks::load_tasks(share_dir()));
  const auto named = std::find_if(tasks.begin(), tasks.end(),
                                  [&](const tasks::Task& task) { return task.name == preset; });
  if (named != tasks.end()) {
    target.task = *named;
  } else {
    target.task.name = preset;
    target.task.preset = preset;
  }
  BITLOOP_ASSIGN(loaded, tasks::load_preset(share_dir(), target.task.preset));
  target.preset = std::move(loaded);
  return {};
}

void add_init_from(CLI::App& command, std::string& model) {
  command.add_option("--init-from", model,
                     "trained model whose weights are the first ones: the folder of a run or "
                     "SESSION/TEST, its weights.safetensors, or a folder of Hugging Face");
}

Status find_initial_model(const std::string& model, const std::filesystem::path& workspace,
                          Target& target) {
  if (!model.empty()) target.task.init_from = model;
  if (target.task.init_from.empty()) return {};
  std::error_code failed;
  tasks::ModelPlaces places{{}, workspace};
  // What a person names lies where they are; what a task names, in the installation.
  if (!model.empty())
    places.folders = {std::filesystem::current_path(failed)};
  else
    places.folders = {share_dir() / "data", workspace};
  BITLOOP_ASSIGN(found, tasks::find_initial_model(target.task.init_from, places, target.preset));
  target.task.initial_model = std::move(found);
  return {};
}

void add_overrides(CLI::App& command, Overrides& overrides) {
  command.add_option("--steps", overrides.steps, "optimiser steps")
      ->check(CLI::Range(int64_t{1}, int64_t{100'000'000}));
  command.add_option("--eval-every", overrides.eval_every, "steps between evaluations")
      ->check(CLI::Range(int64_t{1}, int64_t{100'000'000}));
  command
      .add_option("--device", overrides.device,
                  "what it is trained on; auto: the GPU where there is one (default: the preset's)")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}));
  command
      .add_option("--ranks", overrides.ranks,
                  "processes that train together, each with an equal part of every step's batch")
      ->check(CLI::Range(int64_t{1}, int64_t{16}));
  command
      .add_option("--set", overrides.assignments,
                  "key=value of the preset, such as train.learning_rate=0.003; may be repeated")
      ->take_all()
      ->allow_extra_args(false);
}

Status apply_overrides(const Overrides& overrides, nlohmann::json& preset) {
  for (const std::string& assignment : overrides.assignments)
    BITLOOP_TRY(tasks::apply_override(preset, assignment));
  if (overrides.steps > 0)
    BITLOOP_TRY(tasks::apply_override(preset, fmt::format("train.steps={}", overrides.steps)));
  if (overrides.eval_every > 0)
    BITLOOP_TRY(tasks::apply_override(preset, fmt::format("eval.every={}", overrides.eval_every)));
  if (!overrides.device.empty())
    BITLOOP_TRY(tasks::apply_override(preset, "train.device=" + overrides.device));
  if (overrides.ranks > 0)
    BITLOOP_TRY(tasks::apply_override(preset, fmt::format("train.ranks={}", overrides.ranks)));
  return tasks::check_preset(preset, "the command line");
}

}  // namespace bitloop::cli
