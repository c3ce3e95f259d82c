// `bitloop demo`: one agent's session on the task quick, played through the public HTTP API of a
// server of its own.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>

#include "harness/api/client.h"
#include "harness/base/fd.h"
#include "harness/base/paths.h"
#include "harness/base/text.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/cli/progress.h"
#include "harness/cli/table.h"
#include "harness/journal/journal.h"
#include "harness/ledger/ledger.h"

namespace bitloop::cli {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

struct DemoOptions {
  std::string workspace;
  std::string task = "quick";
  bool allow_degraded = false;
};

// `bitloop serve` as a child, ended with SIGTERM when this object goes.
class ServerProcess {
 public:
  static Result<std::unique_ptr<ServerProcess>> start(const DemoOptions& options,
                                                      const std::filesystem::path& workspace);
  ~ServerProcess() {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;
  int port() const { return port_; }

 private:
  ServerProcess(pid_t pid, UniqueFd output) : pid_(pid), output_(std::move(output)) {}

  pid_t pid_;
  UniqueFd output_;  // kept open: the server's stdout
  int port_ = 0;
};

Result<std::unique_ptr<ServerProcess>> ServerProcess::start(
    const DemoOptions& options, const std::filesystem::path& workspace) {
  BITLOOP_ASSIGN(pipe, make_pipe());
  std::vector<std::string> words = {
      executable_path().string(), "serve", "--port", "0", "--workspace", workspace.string()};
  if (options.allow_degraded) words.push_back("--allow-degraded");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, pipe.write.get(), 1);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return std::unexpected(errno_error("start the server", error));
  pipe.write.reset();
  std::unique_ptr<ServerProcess> server(new ServerProcess(pid, std::move(pipe.read)));
  std::string line;
  char c = 0;
  while (::read(server->output_.get(), &c, 1) == 1 && c != '\n') line += c;
  const size_t colon = line.rfind(':');
  if (!line.starts_with("listening on ") || colon == std::string::npos)
    return fail("server_failed", "The server did not start; its message stands above.");
  server->port_ = std::atoi(line.c_str() + colon + 1);
  return server;
}

// Tells the story: every call is shown with its method and path, then what matters of the answer.
class Story {
 public:
  Story(int port, const DemoOptions& options) : client_("127.0.0.1", port), task_(options.task) {}

  Result<std::string> play();  // returns the session's id

 private:
  void say(const std::string& text) { fmt::print("\n# {}\n", text); }
  Result<json> get(const std::string& path);
  Result<json> post(const std::string& path, const ordered_json& body, bool expect_refusal = false);
  Status edit(const std::string& old_text, const std::string& new_text, const std::string& why);
  Result<json> test(const std::string& idea);
  Status follow(int64_t number);

  api::Client client_;
  std::string task_;
  std::string session_;  // "/v1/sessions/<id>"
};

Result<json> Story::get(const std::string& path) {
  fmt::print("GET {}\n", path);
  std::fflush(stdout);
  BITLOOP_ASSIGN(answer, client_.get(path));
  if (!answer.ok()) return fail("demo_failed", answer.document.value("detail", answer.text));
  return answer.document;
}

Result<json> Story::post(const std::string& path, const ordered_json& body, bool expect_refusal) {
  fmt::print("POST {} {}\n", path, body.dump());
  std::fflush(stdout);
  BITLOOP_ASSIGN(answer, client_.post(path, body));
  if (answer.ok() == expect_refusal)
    return fail("demo_failed", answer.document.value("detail", answer.text));
  if (expect_refusal)
    fmt::print("{} {}: {}\n", answer.status, answer.document.value("code", ""),
               answer.document.value("detail", ""));
  return answer.document;
}

Status Story::edit(const std::string& old_text, const std::string& new_text,
                   const std::string& why) {
  BITLOOP_ASSIGN(answer, post(session_ + "/edits", {{"op", "str_replace"},
                                                    {"path", "candidate.lua"},
                                                    {"old_str", old_text},
                                                    {"new_str", new_text},
                                                    {"description", why}}));
  fmt::print("{}\n{}", answer["message"].get<std::string>(), answer["view"].get<std::string>());
  return {};
}

Status Story::follow(int64_t number) {
  const std::string path = fmt::format("{}/tests/{}", session_, number);
  Progress progress(stdout, 0);
  while (true) {
    BITLOOP_ASSIGN(answer, client_.get(path + "?wait=1"));
    BITLOOP_ASSIGN(events, client_.get(path + "/events.jsonl"));
    progress.update(events.text);
    if (answer.document.value("status", "") != "running") break;
  }
  progress.finish();
  return {};
}

Result<json> Story::test(const std::string& idea) {
  BITLOOP_ASSIGN(started, post(session_ + "/tests", {{"description", idea}}));
  const int64_t number = started["test"];
  BITLOOP_TRY(follow(number));
  BITLOOP_ASSIGN(ended, get(fmt::format("{}/tests/{}?wait=30", session_, number)));
  fmt::print("{}\n", ended["message"].get<std::string>());
  return ended;
}

Result<std::string> Story::play() {
  say("An agent begins a session. Its candidate is a copy of quantizers/ternary.lua; it may run 3 "
      "tests.");
  BITLOOP_ASSIGN(created, post("/v1/sessions",
                               {{"task", task_}, {"quantizer", "ternary"}, {"agent", "demo"}}));
  const std::string id = created["id"];
  session_ = "/v1/sessions/" + id;
  fmt::print("session {}, {} tests left, files:", id, created["tests_left"].get<int64_t>());
  for (const json& file : created["files"]) fmt::print(" {}", file["path"].get<std::string>());
  fmt::print("\n");

  say("It reads the candidate. Lines marked with | are protected.");
  BITLOOP_ASSIGN(file, get(session_ + "/files/candidate.lua"));
  fmt::print("{}", file["view"].get<std::string>());

  say("An edit outside of the editable regions is refused, and changes nothing.");
  const int64_t beyond = created["files"][0]["lines"].get<int64_t>() + 1;
  BITLOOP_TRY(post(session_ + "/edits",
                   {{"op", "replace"},
                    {"path", "candidate.lua"},
                    {"start_line", 1},
                    {"end_line", beyond},
                    {"content", "return {}"}},
                   true));

  say("First idea: a smaller scale. More weights leave zero; the largest are clipped.");
  BITLOOP_TRY(
      edit("w:abs():mean()", "(w:abs():mean() * 0.7)", "scale at 0.7 of the mean magnitude"));

  say("The check is free: it loads the candidate and audits it, but does not train.");
  BITLOOP_ASSIGN(checked, post(session_ + "/checks", ordered_json::object()));
  for (const json& finding : checked["findings"])
    fmt::print("{:<6} {:<18} {}\n", finding["ok"].get<bool>() ? "ok" : "FAILED",
               finding["rule"].get<std::string>(), finding["detail"].get<std::string>());
  if (checked["bits_per_weight"].is_number())
    fmt::print("bits_per_weight {:.3f}\n", checked["bits_per_weight"].get<double>());

  say("A test trains a GPT-2 on Shakespeare with it, in a jail, and scores it. It is charged "
      "before it starts.");
  BITLOOP_ASSIGN(first, test("scale 0.7 x mean"));

  say("Second idea: a larger scale instead. More weights become zero.");
  BITLOOP_TRY(edit("* 0.7)", "* 1.3)", "scale at 1.3 of the mean magnitude"));
  BITLOOP_ASSIGN(second, test("scale 1.3 x mean"));

  const auto loss = [](const json& test) {
    const json& value =
        test["metrics"].is_object() ? test["metrics"].value("val_loss", json()) : json();
    return test["status"] == "ok" && value.is_number() ? value.get<double>() : 1e9;
  };
  const int64_t best = loss(second) < loss(first) ? 2 : 1;
  say(fmt::format("It submits the better one, test #{}. That is final and closes the session.",
                  best));
  BITLOOP_ASSIGN(submitted, post(session_ + "/submission", {{"test", best}}));
  fmt::print("{}\n", submitted["message"].get<std::string>());
  return id;
}

Status show_traces(const std::filesystem::path& workspace, const std::string& id) {
  fmt::print("\n# The ledger ({}):\n", (workspace / "results.tsv").string());
  BITLOOP_ASSIGN(rows, ledger::Ledger::read(workspace / "results.tsv"));
  fmt::print("{}", results_table(rows));
  fmt::print("\n# The journal: git -C {} log --oneline sessions/{}\n",
             (workspace / "journal.git").string(), id);
  BITLOOP_ASSIGN(journal, journal::Journal::open_read_only(workspace));
  BITLOOP_ASSIGN(history, journal->history(id));
  for (auto commit = history.rbegin(); commit != history.rend(); ++commit)
    fmt::print("{} {}\n", commit->id.substr(0, 7), commit->sentence);
  fmt::print(
      "\n# Where to look\n{}: curves, records and verdict of the first test\n"
      "{}: what an agent may do\n{}: how to write a quantizer\n"
      "bitloop serve: the same server, for your agent; GET /openapi.json lists the calls\n",
      (workspace / "runs" / (id + "-1")).string(), (share_dir() / "program.md").string(),
      (share_dir() / "lua.md").string());
  return {};
}

int demo(const DemoOptions& options) {
  const std::filesystem::path workspace =
      std::filesystem::absolute(choose_workspace(options.workspace));
  auto server = ServerProcess::start(options, workspace);
  if (!server) return report(server.error());
  Story story((*server)->port(), options);
  const auto played = story.play();
  if (!played) return report(played.error());
  if (const auto shown = show_traces(workspace, *played); !shown) return report(shown.error());
  return kDone;
}

}  // namespace

void add_demo(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<DemoOptions>();
  CLI::App* command = app.add_subcommand(
      "demo", "Play one agent's session through the HTTP API and show the results");
  command->add_option("--workspace", options->workspace, kWorkspaceHelp);
  command->add_option("--task", options->task, "task to play on (default quick)");
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp);
  command->callback([options, &exit_code] { exit_code = demo(*options); });
}

}  // namespace bitloop::cli
