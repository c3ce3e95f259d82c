#include "harness/cli/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "harness/base/text.h"

namespace bitloop::cli {
namespace {

// Kinds of values by the names that options and arguments have in all commands.
struct Kind {
  const char* name;
  const char* kind;
};
constexpr std::array kKinds = {Kind{"--workspace", "folder"},
                               Kind{"--benchmarks", "folder"},
                               Kind{"--to", "folder"},
                               Kind{"DIR", "folder"},
                               Kind{"RUN_DIR", "folder"},
                               Kind{"--session", "session"},
                               Kind{"SESSION", "session"},
                               Kind{"TEST", "test"},
                               Kind{"--task", "task"},
                               Kind{"--preset", "preset"},
                               Kind{"--quantizer", "quantizer"},
                               Kind{"--sort", "column"},
                               Kind{"--columns", "column"},
                               Kind{"--where", "column"},
                               Kind{"--status", "status"},
                               Kind{"--description", "text"},
                               Kind{"--set", "text"},
                               Kind{"-e", "text"},
                               Kind{"--url", "text"}};
constexpr std::array kStatuses = {"ok",        "script_error",  "rejected",  "diverged",
                                  "timeout",   "out_of_memory", "violation", "stopped_early",
                                  "cancelled", "infrastructure"};

bool is_flag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

// "{a,b,c}" of CLI::IsMember, which says no more.
std::vector<std::string> choices_of(CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t first = type.find('{'), last = type.rfind('}');
  if (first == std::string::npos || last == std::string::npos || last < first) return {};
  return split(type.substr(first + 1, last - first - 1), ',');
}

bool takes_number(CLI::Option& option) {
  const std::string type = option.get_type_name();
  return type.starts_with("INT") || type.starts_with("UINT") || type.starts_with("FLOAT");
}

std::string kind_of(const CLI::App& command, CLI::Option& option, const std::string& name) {
  // The two arguments of diff are candidates, those of compare files.
  if (command.get_name() == "diff" && (name == "A" || name == "B")) return "candidate";
  for (const Kind& kind : kKinds)
    if (name == kind.name) return kind.kind;
  return takes_number(option) ? "number" : "file";
}

class Completer {
 public:
  Completer(const CLI::App& app, const WordsOf& words_of) : command_(&app), words_of_(words_of) {}

  Completions run(const std::vector<std::string>& words) {
    for (size_t i = 0; i + 1 < words.size(); ++i) pass(words[i]);
    const std::string typed = words.empty() ? "" : words.back();
    if (waiting_ != nullptr) {
      value_of(*waiting_, waiting_name_, "");
    } else if (const size_t equals = typed.find('=');
               !only_arguments_ && typed.starts_with("--") && equals != std::string::npos) {
      const std::string name = typed.substr(0, equals);
      if (CLI::Option* option = find(name)) value_of(*option, name, name + "=");
    } else if (!only_arguments_ && typed.starts_with('-')) {
      options();
    } else if (!subcommands()) {
      argument();
    }
    std::erase_if(found_.words, [&](const Completion& completion) {
      return !completion.word.starts_with(typed);
    });
    return std::move(found_);
  }

 private:
  CLI::Option* find(const std::string& name) const {
    return const_cast<CLI::App*>(command_)->get_option_no_throw(name);
  }

  // A whole word before the cursor.
  void pass(const std::string& word) {
    if (waiting_ != nullptr) {
      note(waiting_name_, word);
      waiting_ = nullptr;
      return;
    }
    if (!only_arguments_ && word == "--") {
      only_arguments_ = true;
    } else if (!only_arguments_ && word.starts_with('-') && word.size() > 1) {
      const size_t equals = word.find('=');
      const std::string name = word.substr(0, equals);
      if (equals != std::string::npos) return note(name, word.substr(equals + 1));
      if (CLI::Option* option = find(name); option != nullptr && !is_flag(*option)) {
        waiting_ = option;
        waiting_name_ = name;
      }
    } else if (const CLI::App* next = subcommand(word); next != nullptr && arguments_ == 0) {
      command_ = next;
    } else {
      ++arguments_;
    }
  }

  void note(const std::string& option, const std::string& value) {
    if (option == "--workspace") workspace_ = value;
  }

  const CLI::App* subcommand(const std::string& name) const {
    for (const CLI::App* sub : command_->get_subcommands({}))
      if (sub->get_name() == name) return sub;
    return nullptr;
  }

  void add(const std::string& word, const std::string& about = "") {
    found_.words.push_back({word, single_line(about)});
  }

  bool subcommands() {
    if (arguments_ > 0 || command_->get_subcommands({}).empty()) return false;
    for (const CLI::App* sub : command_->get_subcommands({}))
      if (!sub->get_group().empty()) add(sub->get_name(), sub->get_description());
    return true;
  }

  void options() {
    for (const CLI::Option* option : command_->get_options())
      if (!option->get_group().empty())
        for (const std::string& name : option->get_lnames())
          add("--" + name, option->get_description());
  }

  // The positional argument that comes next; the last one may come often.
  void argument() {
    size_t left = arguments_;
    for (const CLI::Option* option : command_->get_options()) {
      if (!option->get_positional()) continue;
      const auto most = static_cast<size_t>(std::max(1, option->get_items_expected_max()));
      if (left >= most) {
        left -= most;
        continue;
      }
      // get_options() gives constant options, whose type can't be asked for.
      return value_of(const_cast<CLI::Option&>(*option), option->get_name(true), "");
    }
  }

  void value_of(CLI::Option& option, const std::string& name, const std::string& before) {
    if (const auto choices = choices_of(option); !choices.empty()) {
      for (const std::string& choice : choices) add(before + choice);
      return;
    }
    const std::string kind = kind_of(*command_, option, name);
    if (kind == "file" || kind == "candidate") found_.files = Files::kAny;
    if (kind == "folder") found_.files = Files::kFolders;
    if (kind == "status")
      for (const char* status : kStatuses) add(before + status);
    const auto ask = [&](const char* what, const std::string& after = "") {
      for (const std::string& word : words_of_(what, workspace_)) add(before + word + after);
    };
    if (kind == "candidate" || kind == "test") {
      ask("session");
      ask("test");
    }
    for (const char* known : {"session", "task", "preset", "quantizer", "column"})
      if (kind == known) ask(known);
  }

  const CLI::App* command_;
  const WordsOf& words_of_;
  CLI::Option* waiting_ = nullptr;  // its value comes next
  std::string waiting_name_;
  std::string workspace_;
  size_t arguments_ = 0;
  bool only_arguments_ = false;  // after "--"
  Completions found_;
};

// The answer's last line is ":none", ":files" or ":folders".
constexpr const char* kBash =
    R"SHELL(# bash completion of bitloop: eval "$(bitloop completion bash)"
_bitloop() {
  local line words=("${COMP_WORDS[@]:1:COMP_CWORD}") current="${COMP_WORDS[COMP_CWORD]}" files=none
  COMPREPLY=()
  while IFS= read -r line; do
    case "$line" in
      :*) files="${line#:}" ;;
      *) COMPREPLY+=("${line%%$'\t'*}") ;;
    esac
  done < <("${COMP_WORDS[0]}" complete -- "${words[@]}" 2>/dev/null)
  case "$files" in
    files) while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current") ;;
    folders) while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -d -- "$current") ;;
  esac
  [[ "$files" != none ]] && compopt -o filenames 2>/dev/null
  return 0
}
complete -F _bitloop bitloop
)SHELL";

constexpr const char* kZsh = R"SHELL(#compdef bitloop
# zsh completion of bitloop: source <(bitloop completion zsh)
_bitloop() {
  local line files=none
  local -a found
  while IFS= read -r line; do
    case "$line" in
      :*) files="${line#:}" ;;
      *) found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
    esac
  done < <("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
  (( ${#found} )) && _describe 'bitloop' found
  case "$files" in
    files) _files ;;
    folders) _files -/ ;;
  esac
}
compdef _bitloop bitloop
)SHELL";

constexpr const char* kFish = R"SHELL(# fish completion of bitloop: bitloop completion fish | source
function __bitloop_complete
  set -l words (commandline -opc) (commandline -ct)
  for line in ($words[1] complete -- $words[2..-1] 2>/dev/null)
    switch $line
      case ':files'
        __fish_complete_path (commandline -ct)
      case ':folders'
        __fish_complete_directories (commandline -ct)
      case ':none'
      case '*'
        echo $line
    end
  end
end
complete -c bitloop -f -a '(__bitloop_complete)'
)SHELL";

}  // namespace

Completions complete(const CLI::App& app, const std::vector<std::string>& words,
                     const WordsOf& words_of) {
  return Completer(app, words_of).run(words);
}

Result<std::string> completion_script(const std::string& shell) {
  if (shell == "bash") return std::string(kBash);
  if (shell == "zsh") return std::string(kZsh);
  if (shell == "fish") return std::string(kFish);
  return fail("unknown_shell", fmt::format("there is no completion for '{}': bash, zsh and fish",
                                           single_line(shell.substr(0, 100))));
}

}  // namespace bitloop::cli
