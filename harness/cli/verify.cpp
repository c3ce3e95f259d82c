// `bitloop verify`: a submission once more, under seeds that its agent could not know. By itself,
// or by the server that has the workspace.
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <memory>
#include <thread>

#include "harness/api/client.h"
#include "harness/base/paths.h"
#include "harness/baselines/submission.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/cli/plan_runs.h"
#include "harness/cli/reference.h"
#include "harness/cli/terminal.h"

namespace bitloop::cli {
namespace {

using Json = nlohmann::ordered_json;
using namespace std::chrono_literals;

constexpr auto kPoll = 1s;
constexpr int kAttempts = 2;  // of runs that the machine failed

struct VerifyOptions {
  std::string reference;
  int seeds = 3;
  size_t jobs = 1;
  std::string url;
  bool cancel = false;
  std::string workspace, benchmarks;
  bool json = false;
  bool allow_degraded = false;
};

// Trains here what is left. Returns the report's document.
Result<Json> verify_here(const VerifyOptions& options) {
  const std::filesystem::path workspace = choose_workspace(options.workspace);
  BITLOOP_ASSIGN(journal, journal::Journal::open_read_only(workspace));
  BITLOOP_ASSIGN(reference, find_reference(*journal, options.reference));
  BITLOOP_ASSIGN(submission,
                 baselines::find_submission(
                     *journal, workspace, share_dir(), reference.session,
                     reference.test > 0 ? std::optional(reference.test) : std::nullopt));
  BITLOOP_ASSIGN(plan, baselines::plan_verification(submission, workspace, options.seeds));
  const TrainPlan training{
      sessions::kVerifyType, {sessions::kVerifyType}, workspace,
      options.jobs,          options.allow_degraded,  choose_benchmarks(options.benchmarks)};
  Status trained;
  if (plan.left() > 0) trained = train_plan(plan, training);
  if (!trained && trained.error().code == "workspace_in_use")
    return fail(trained.error().code,
                trained.error().message +
                    " To let the server that holds it train them: bitloop verify " +
                    options.reference + " --url http://127.0.0.1:PORT");
  if (!trained) return std::unexpected(trained.error());
  return baselines::report_on(submission, plan).document;
}

Result<Json> answer_of(const Result<api::ClientAnswer>& answer) {
  if (!answer) return std::unexpected(answer.error());
  if (answer->ok()) return Json::parse(answer->text);
  if (answer->document.is_object() && answer->document.contains("detail"))
    return fail(answer->document.value("code", ""), answer->document["detail"].get<std::string>());
  return fail("no_answer", fmt::format("The server answers {}: is it bitloop?", answer->status));
}

size_t count_of(const Json& document, const std::function<bool(const Json& status)>& counts) {
  size_t count = 0;
  for (const Json& run : document["runs"]) count += counts(run["status"]) ? 1 : 0;
  return count;
}

// Has a server train what is left, and waits for it.
Result<Json> verify_there(const VerifyOptions& options) {
  constexpr std::string_view kOfAName = "abcdefghijklmnopqrstuvwxyz0123456789-";
  if (options.reference.find_first_not_of(kOfAName) != std::string::npos)
    return fail("wrong_usage",
                fmt::format("A server verifies what a session submitted: give its name alone, not "
                            "'{}'.",
                            options.reference.substr(0, 80)));
  BITLOOP_ASSIGN(address, server_address(options.url));
  api::Client client(address.host, address.port);
  if (!address.token.empty()) client.set_token(address.token);
  const std::string path = fmt::format("/v1/sessions/{}/verification", options.reference);
  if (options.cancel)
    return answer_of(client.remove(fmt::format("{}?seeds={}", path, options.seeds)));
  const std::string body = Json{{"seeds", options.seeds}}.dump();
  size_t said = 0;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    BITLOOP_ASSIGN(document, answer_of(client.post_text(path, body, {{"If-Match", "*"}},
                                                        [](std::string_view) {})));
    while (true) {
      const auto is = [](std::string_view word) {
        return [word](const Json& status) { return status == word; };
      };
      const size_t cancelled = count_of(document, is(sessions::kCancelled));
      const size_t ended = count_of(document, [](const Json& status) {
        return status.is_string() && status != sessions::kRunning &&
               status != sessions::kCancelled && status != sessions::kInfrastructure;
      });
      if (ended > said && is_terminal(stderr))
        fmt::print(stderr, "{} of {} runs have ended.\n", ended, document["runs"].size());
      said = ended;
      if (ended == document["runs"].size()) return document;
      if (cancelled > 0)
        return fail("interrupted",
                    fmt::format("Somebody cancelled the verification with {} of {} runs done; the "
                                "same command goes on from there.",
                                ended, document["runs"].size()));
      if (count_of(document, is(sessions::kRunning)) == 0)
        break;  // what the machine failed is not under way, nor has it a score
      std::this_thread::sleep_for(kPoll);
      BITLOOP_ASSIGN(now, answer_of(client.get(fmt::format("{}?seeds={}", path, options.seeds))));
      document = std::move(now);
    }
  }
  return fail("infrastructure",
              fmt::format("Runs on the server failed {} times, not by the candidate's fault; its "
                          "log and results say why. The same command goes on from there.",
                          kAttempts));
}

std::string last_line(const Json& document) {
  const std::string standing = document["standing"];
  if (standing == name_of(baselines::Standing::kFailed))
    return fmt::format("The score does not hold: {} of {} runs under hidden seeds failed.",
                       document["hidden"]["failed"].get<size_t>(),
                       document["hidden"]["runs"].get<size_t>());
  if (standing == name_of(baselines::Standing::kUndecided))
    return "Nothing is known of the noise of this task: give more --seeds.";
  const double difference = document["difference"], noise = document["noise"];
  return fmt::format("The score {}: hidden seeds are {:.4f} {} it, {} the noise of ±{:.4f}.",
                     standing == name_of(baselines::Standing::kHolds) ? "holds" : "was luck",
                     std::abs(difference), difference < 0 ? "below" : "above",
                     std::abs(difference) <= noise ? "inside" : "beyond", noise);
}

void print_for_people(const Json& document, bool cancelled) {
  const auto loss = [](const Json& value) {
    return value.is_number() ? fmt::format("{:.4f}", value.get<double>()) : std::string("none");
  };
  fmt::print("submitted  seed {:>10}  val_loss {}  ({}/{})\n",
             document["submitted"]["seed"].get<int64_t>(), loss(document["submitted"]["val_loss"]),
             document["session"].get<std::string>(), document["test"].get<int64_t>());
  for (const Json& run : document["runs"])
    fmt::print("hidden     seed {:>10}  val_loss {}  {}\n", run["seed"].get<int64_t>(),
               loss(run["val_loss"]),
               run["status"].is_string() ? run["status"].get<std::string>() : "not begun");
  const std::string verified = baselines::short_text(document["hidden"]);
  fmt::print("verified   {}\n", verified.empty() ? "by no run yet" : verified);
  for (const Json& note : document["notes"])
    fmt::print("{}", harmless_lines(note.get<std::string>()));
  if (!cancelled) fmt::print("{}\n", last_line(document));
}

Result<int> perform(const VerifyOptions& options) {
  BITLOOP_ASSIGN(document, options.url.empty() ? verify_here(options) : verify_there(options));
  if (options.json)
    fmt::print("{}\n", document.dump(1, ' ', false, Json::error_handler_t::replace));
  else
    print_for_people(document, options.cancel);
  const bool fails = document["standing"] == name_of(baselines::Standing::kLucky) ||
                     document["standing"] == name_of(baselines::Standing::kFailed);
  if (options.cancel) return kDone;  // it asked for no verdict
  return fails ? kCandidateFailed : kDone;
}

}  // namespace

void add_verify(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* command = app.add_subcommand(
      "verify", "Train a submission under seeds that its agent did not know: does the score hold?");
  command->footer(
      "The seeds are made of the submission's commit and a secret of the workspace "
      "(verification.key), so an agent can't prepare for them and a reviewer can't choose them. "
      "The runs are rows of type verify; results shows their mean beside the score. Stopped, the "
      "same command goes on where it was. While a server has the workspace, --url lets it train "
      "them among the agents' tests. Exit code 1: the score was luck, or a run failed.");
  command
      ->add_option("SESSION", options->reference,
                   "a session that has submitted, or (without --url) one of its tests "
                   "(SESSION/TEST)")
      ->required();
  command->add_option("--seeds", options->seeds, "how many (default 3)")
      ->check(CLI::Range(1, 1000));
  CLI::Option* url = command->add_option(
      "--url", options->url,
      "let the `bitloop serve` at this URL train them, with a reviewer's token in $BITLOOP_TOKEN "
      "where it has tokens");
  command
      ->add_flag("--cancel", options->cancel,
                 "end the runs of it that the server trains; what has ended stays")
      ->needs(url);
  command->add_option("--jobs", options->jobs, "runs at a time (default 1)")
      ->check(CLI::Range(1, 256))
      ->excludes(url);
  command->add_option("--workspace", options->workspace, kWorkspaceHelp)->excludes(url);
  add_benchmarks(*command, options->benchmarks)->excludes(url);
  command->add_flag("--json", options->json,
                    "one JSON document: {session, test, commit, standing, submitted, hidden, "
                    "difference, noise, runs: [...], notes}");
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp)->excludes(url);
  command->callback(
      [options, &exit_code] { exit_code = end_by_signal(finish(perform(*options))); });
}

}  // namespace bitloop::cli
