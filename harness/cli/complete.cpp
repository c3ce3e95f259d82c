// The commands `bitloop completion SHELL` and, hidden, `bitloop complete -- WORDS`, which the
// shells' scripts call.
#include <fmt/format.h>

#include <memory>

#include "harness/base/paths.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/cli/completion.h"
#include "harness/journal/journal.h"
#include "harness/ledger/ledger.h"
#include "harness/tasks/preset.h"

namespace bitloop::cli {
namespace {

std::vector<std::string> task_names() {
  std::vector<std::string> names;
  if (const auto tasks = tasks::load_tasks(share_dir()))
    for (const tasks::Task& task : *tasks) names.push_back(task.name);
  return names;
}

// What can't be read offers nothing: a shell has no place for a complaint.
std::vector<std::string> words_of(const std::string& kind, const std::string& given) {
  const std::filesystem::path workspace = choose_workspace(given);
  std::vector<std::string> words;
  if (kind == "session") {
    if (const auto journal = journal::Journal::open_read_only(workspace))
      words = (*journal)->sessions().value_or(std::vector<std::string>());
  } else if (kind == "test") {
    if (const auto rows = ledger::Ledger::read(workspace / "results.tsv"))
      for (const ledger::Row& row : *rows)
        words.push_back(fmt::format("{}/{}", row.session, row.test.value_or(0)));
  } else if (kind == "task") {
    words = task_names();
  } else if (kind == "preset") {  // presets, and tasks with rules of their own
    words = tasks::preset_names(share_dir()).value_or(std::vector<std::string>());
    for (std::string& name : task_names()) words.push_back(std::move(name));
    std::ranges::sort(words);
    words.erase(std::unique(words.begin(), words.end()), words.end());
  } else if (kind == "quantizer") {
    std::error_code error;
    for (std::filesystem::directory_iterator entry(share_dir() / "quantizers", error), end;
         !error && entry != end; entry.increment(error))
      if (entry->path().extension() == ".lua") words.push_back(entry->path().stem().string());
    std::ranges::sort(words);
  } else if (kind == "column") {
    for (const ledger::Column& column : ledger::columns()) words.emplace_back(column.name);
  }
  return words;
}

void print(const Completions& found) {
  for (const Completion& completion : found.words)
    fmt::print("{}\t{}\n", completion.word, completion.about);
  constexpr const char* kFiles[] = {":none", ":files", ":folders"};
  fmt::print("{}\n", kFiles[static_cast<size_t>(found.files)]);
}

Result<int> script(const std::string& shell) {
  BITLOOP_ASSIGN(text, completion_script(shell));
  fmt::print("{}", text);
  return kDone;
}

}  // namespace

void add_completion(CLI::App& app, int& exit_code) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("completion", "Print what makes a shell complete bitloop's words");
  command->footer(
      "bash: eval \"$(bitloop completion bash)\"; zsh: source <(bitloop completion zsh); fish: "
      "bitloop completion fish | source.");
  command->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->callback([shell, &exit_code] { exit_code = finish(script(*shell)); });

  auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* complete_command = app.add_subcommand("complete", "For the shells' scripts");
  complete_command->group("");  // hidden
  complete_command->add_option("WORDS", *words);
  complete_command->callback([words, &app, &exit_code] {
    print(complete(app, *words, words_of));
    exit_code = kDone;
  });
}

}  // namespace bitloop::cli
