#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "harness/base/fd.h"
#include "harness/base/paths.h"
#include "harness/base/text.h"
#include "harness/base/version.h"
#include "harness/cli/doctor.h"
#include "harness/jobs/trainer_process.h"
#include "harness/tasks/benchmarks.h"
#include "harness/tasks/preset.h"
#include "harness/tasks/tasks.h"
#include "sandbox/jail.h"

namespace bitloop::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kVersionTimeoutMs = 20'000;

std::vector<Check> check_sandbox() {
  std::vector<Check> checks;
  const std::vector<sandbox::LayerState> layers = sandbox::probe(jobs::layers_disabled_for_test());
  for (const sandbox::LayerState& layer : layers) {
    if (layer.state == "active") continue;
    const bool required = sandbox::is_degraded({layer});
    checks.push_back({"sandbox", Health::kWarning, fmt::format("{} {}", layer.layer, layer.state),
                      required
                          ? "runs need --allow-degraded, and their rows carry the flag degraded"
                          : "runs start without it: memory is then looked at every 50 ms"});
  }
  if (checks.empty())
    checks.push_back({"sandbox", Health::kOk, fmt::format("all {} layers", layers.size()), ""});
  return checks;
}

// What `program --version` prints, "" when it prints nothing in time.
std::string version_of(const fs::path& program) {
  auto pipe = make_pipe();
  if (!pipe) return "";
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, pipe->write.get(), 1);
  std::string name = program.string(), option = "--version";
  char* arguments[] = {name.data(), option.data(), nullptr};
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, name.c_str(), &actions, nullptr, arguments, environ);
  ::posix_spawn_file_actions_destroy(&actions);
  pipe->write.reset();
  if (error != 0) return "";
  pollfd polled{pipe->read.get(), POLLIN, 0};
  const bool answers = ::poll(&polled, 1, kVersionTimeoutMs) > 0;
  char text[256];
  const ssize_t size = answers ? ::read(pipe->read.get(), text, sizeof text) : 0;
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) continue;
  return size > 0 ? single_line({text, static_cast<size_t>(size)}) : "";
}

Check check_trainer() {
  const fs::path program = jobs::trainer_program();
  if (::access(program.c_str(), X_OK) != 0)
    return {"trainer", Health::kProblem, fmt::format("{} is missing", program.string()),
            "make build builds it; without it nothing can be checked or trained"};
  const std::string version = version_of(program);
  const std::string mine = fmt::format("{} {}", bitloop::version(), git_hash());
  if (version == mine) return {"trainer", Health::kOk, version, ""};
  if (version.empty())
    return {"trainer", Health::kProblem, fmt::format("{} --version says nothing", program.string()),
            "build it again; ldd shows whether a library is missing"};
  // Formats are of a version; between commits of one version they are meant to fit.
  const bool same_version = version.starts_with(std::string(bitloop::version()) + " ");
  return {"trainer", same_version ? Health::kWarning : Health::kProblem,
          fmt::format("it is {}, this program {}", version, mine), "build both from one commit"};
}

// "fineweb_train_*.bin": whether a file fits.
bool any_fits(const fs::path& pattern) {
  std::error_code error;
  const std::string name = pattern.filename().string();
  const size_t star = name.find('*');
  if (star == std::string::npos) return fs::exists(pattern, error);
  for (fs::directory_iterator entry(pattern.parent_path(), error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string file = entry->path().filename().string();
    if (file.size() >= name.size() - 1 && file.starts_with(name.substr(0, star)) &&
        file.ends_with(name.substr(star + 1)))
      return true;
  }
  return false;
}

Check check_data(const fs::path& share) {
  const auto names = tasks::preset_names(share);
  if (!names) return {"data", Health::kProblem, names.error().message, "install bitloop again"};
  std::vector<std::string> with, without;
  for (const std::string& name : *names) {
    const auto preset = tasks::load_preset(share, name);
    const std::string path = preset ? preset->at("data").value("path", "") : "";
    (!path.empty() && any_fits(share / "data" / path) ? with : without).push_back(name);
  }
  Check check{"data", Health::kOk, "for the presets " + join(with, ", "), ""};
  if (!without.empty()) check.detail += "; none for " + join(without, ", ");
  if (!without.empty()) check.advice = "name the others' files with --set data.path=FILE";
  if (with.empty())
    check = {"data", Health::kProblem, fmt::format("none in {}", (share / "data").string()),
             "scripts/setup unpacks it"};
  return check;
}

std::vector<Check> check_share(const DoctorOptions& options) {
  const fs::path share = share_dir();
  const auto tasks = tasks::load_tasks(share);
  if (!tasks)
    return {{"share", Health::kProblem, tasks.error().message,
             "install bitloop again, or unset BITLOOP_SHARE"}};
  std::vector<Check> checks = {
      {"share", Health::kOk, fmt::format("{}: {} tasks", share.string(), tasks->size()), ""},
      check_data(share)};
  std::vector<std::string> asking;
  for (const tasks::Task& task : *tasks)
    if (!task.benchmarks.empty()) asking.push_back(task.name);
  const size_t documents = tasks::benchmark_documents(options.benchmarks).size();
  Check check{"benchmarks", Health::kOk,
              fmt::format("{} files of documents in {}", documents, options.benchmarks.string()),
              ""};
  if (documents == 0 && !asking.empty()) {
    check.health = Health::kWarning;
    check.detail += fmt::format(", and {} ask for them", join(asking, ", "));
    check.advice = "bitloop data benchmarks makes them of the published files";
  }
  checks.push_back(std::move(check));
  return checks;
}

}  // namespace

std::vector<Check> check_machine(const DoctorOptions& options) {
  std::vector<Check> checks = check_sandbox();
  checks.push_back(check_trainer());
  for (Check& check : check_share(options)) checks.push_back(std::move(check));
  return checks;
}

}  // namespace bitloop::cli
