#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <memory>
#include <thread>

#include "harness/base/paths.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/cli/plan_progress.h"
#include "harness/cli/terminal.h"
#include "harness/data/prepare.h"
#include "harness/evaluation/benchmarks.h"

namespace bitloop::cli {
namespace {

struct BenchmarkOptions {
  std::string folder, to;
  bool unverified = false;
  bool allow_degraded = false;
  bool json = false;
};

Result<int> benchmarks(const BenchmarkOptions& options) {
  const std::filesystem::path to = choose_benchmarks(options.to);
  BITLOOP_ASSIGN(prepared, evaluation::prepare_benchmarks(
                               {options.folder, to, options.unverified, options.allow_degraded}));
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  int64_t used = 0;
  for (const evaluation::Prepared& entry : prepared) {
    used += entry.file.empty() || entry.part > 0 ? 0 : 1;
    if (options.json)
      list.push_back({{"source", entry.source.string()},
                      {"file", entry.file},
                      {"sha256", entry.sha256},
                      {"known", entry.known},
                      {"part", entry.part},
                      {"documents", entry.documents},
                      {"why_not", entry.why_not}});
    else if (entry.file.empty())
      fmt::print("not used  {}: {}\n", entry.source.string(), entry.why_not);
    else if (entry.part > 0)
      fmt::print("{:<8}  {}: part {} of {}\n", entry.known ? "ok" : "unknown",
                 entry.source.string(), entry.part, entry.file);
    else
      fmt::print("{:<8}  {}: {} documents, as {}\n", entry.known ? "ok" : "unknown",
                 entry.source.string(), entry.documents, entry.file);
  }
  if (options.json)
    fmt::print("{}\n", nlohmann::ordered_json{{"folder", to.string()}, {"files", list}}.dump(
                           1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  else
    fmt::print("{} files in {}\n", used, to.string());
  if (used == 0)
    return fail(
        "wrong_usage",
        fmt::format("{}: no file of a benchmark there that this version knows", options.folder));
  return kDone;
}

struct PrepareCommand {
  data::PrepareOptions options;
  std::string to;
  std::vector<std::string> sources;
  bool json = false;
};

// A line that is drawn over, on a terminal alone; a few times a second.
class PrepareProgress {
 public:
  bool update(uint64_t read, uint64_t all, int64_t tokens) {
    const auto now = std::chrono::steady_clock::now();
    if (!terminal_ || (drawn_ && now - last_ < std::chrono::milliseconds(200))) return true;
    last_ = now;
    drawn_ = true;
    const double share = all == 0 ? 1 : static_cast<double>(read) / static_cast<double>(all);
    const double seconds = std::chrono::duration<double>(now - begun_).count();
    fmt::print(stderr, "\r\x1b[K{:3.0f}%  {:.1f} M tokens  about {} left", 100 * share,
               static_cast<double>(tokens) / 1e6,
               duration_text(share > 0 ? seconds / share * (1 - share) : 0));
    return true;
  }
  void finish() {
    if (drawn_) fmt::print(stderr, "\r\x1b[K");
  }

 private:
  const bool terminal_ = is_terminal(stderr);
  bool drawn_ = false;
  const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_;
};

void print_for_people(const data::Prepared& prepared, const data::PrepareOptions& options) {
  fmt::print("{}{} documents, {} of them held out; {} tokens to train, {} to validate\n",
             prepared.was_done ? "Done before: " : "", prepared.documents, prepared.held_out,
             prepared.train_tokens, prepared.validation_tokens);
  const std::string base = (std::filesystem::absolute(options.to) / options.name).string();
  for (const auto* shards : {&prepared.train, &prepared.validation})
    if (!shards->empty())
      fmt::print("{} … {}\n", (options.to / shards->front().file).string(), shards->back().file);
  if (prepared.validation.empty())
    fmt::print("No document is held out: give more of them, or a larger --held-out.\n");
  else
    fmt::print(
        "To train on them: --preset small --set data.format=llmc --set 'data.path={}_train_*.bin' "
        "--set 'data.val_path={}_val_*.bin'\n",
        base, base);
}

Result<int> prepare_data(PrepareCommand& command) {
  data::PrepareOptions& options = command.options;
  options.sources.assign(command.sources.begin(), command.sources.end());
  options.to = command.to;
  options.vocabulary = share_dir() / "data" / "gpt2-bpe";
  PrepareProgress progress;
  options.on_progress = [&](uint64_t read, uint64_t all, int64_t tokens) {
    return progress.update(read, all, tokens);
  };
  const auto prepared = data::prepare(options);
  progress.finish();
  if (!prepared) return std::unexpected(prepared.error());
  if (command.json)
    fmt::print("{}\n", nlohmann::ordered_json{{"folder", command.to},
                                              {"documents", prepared->documents},
                                              {"held_out", prepared->held_out},
                                              {"train_tokens", prepared->train_tokens},
                                              {"val_tokens", prepared->validation_tokens},
                                              {"train", to_json(prepared->train)},
                                              {"val", to_json(prepared->validation)}}
                           .dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  else
    print_for_people(*prepared, options);
  return kDone;
}

void add_prepare(CLI::App& parent, int& exit_code) {
  auto command = std::make_shared<PrepareCommand>();
  data::PrepareOptions& options = command->options;
  options.jobs = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1U, 64U));
  CLI::App* app = parent.add_subcommand(
      "prepare", "Turn text into shards of tokens, GPT-2's or another model's, as llm.c has them");
  app->footer(
      "Each document begins with <|endoftext|>, or what texts begin with there. What is held out "
      "for validation is chosen by a "
      "hash "
      "of the text. Stopped, the same command goes on where it was; when all is done it compares "
      "the shards with the hashes in manifest.json, which says what was made of what.");
  app->add_option("SOURCE", command->sources,
                  ".txt or .jsonl files, also .gz and .zst, and folders of them")
      ->required();
  app->add_option("--to", command->to, "folder to write to")->required();
  app->add_option(
      "--tokenizer", options.tokenizer,
      "tokenizer.json of a byte-level model, or the folder of a Hugging Face model that "
      "has one (default: GPT-2's)");
  app->add_option("--name", options.name, "how the files' names begin (default data)")
      ->check([](const std::string& name) {
        const bool plain =
            !name.empty() && name.size() <= 60 && std::ranges::all_of(name, [](unsigned char c) {
              return std::isalnum(c) != 0 || c == '_' || c == '-';
            });
        return plain ? std::string() : "a name has letters, digits, '_' and '-'";
      });
  app->add_option("--field", options.field,
                  "member of a .jsonl line that has the text (default text)");
  app->add_option("--shard-tokens", options.shard_tokens, "tokens a shard (default 100,000,000)")
      ->check(CLI::Range(int64_t{1024}, int64_t{1'000'000'000}));
  app->add_option("--held-out", options.held_out,
                  "share of the documents for validation (default 0.005)")
      ->check(CLI::Range(0.0, 0.5));
  app->add_option("--jobs", options.jobs, "threads (default: as many as processors)")
      ->check(CLI::Range(1, 256));
  app->add_flag("--json", command->json,
                "one JSON document: {folder, documents, held_out, train_tokens, val_tokens, train, "
                "val: [{file, tokens, sha256}]}");
  app->callback([command, &exit_code] { exit_code = finish(prepare_data(*command)); });
}

}  // namespace

void add_data(CLI::App& app, int& exit_code) {
  CLI::App* data = app.add_subcommand("data", "Prepare data");
  data->require_subcommand(1);
  auto options = std::make_shared<BenchmarkOptions>();
  CLI::App* command = data->add_subcommand(
      "benchmarks", "Make what bitloop eval reads of the benchmarks' published files");
  command->add_option("DIR", options->folder, "folder with the published files")->required();
  command->add_option("--to", options->to,
                      "folder to write to (default: $XDG_DATA_HOME/bitloop/benchmarks)");
  command->add_flag("--unverified", options->unverified,
                    "take files by their names, too, whose hashes this version does not know");
  command->add_flag("--allow-degraded", options->allow_degraded,
                    "read Parquet files although the machine lacks layers of the jail");
  command->add_flag("--json", options->json, "one JSON document");
  command->callback([options, &exit_code] { exit_code = finish(benchmarks(*options)); });
  add_prepare(*data, exit_code);
}

}  // namespace bitloop::cli
