// What can stand where the cursor is on a command line of bitloop, read off the program's own
// options, so that it fits them always. The shells' scripts ask `bitloop complete`.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::cli {

enum class Files { kNone, kAny, kFolders };  // what the shell offers beside the words

struct Completion {
  std::string word;
  std::string about;  // one line; may be empty
};
struct Completions {
  std::vector<Completion> words;
  Files files = Files::kNone;
};

// What only the machine knows: words of a kind ("session", "task", "preset", "quantizer",
// "column"), given the workspace that the line names ("" for none).
using WordsOf =
    std::function<std::vector<std::string>(const std::string& kind, const std::string& workspace)>;

// Completes the last of `words` (which may be ""), the words after the program's name. Words that
// do not begin with what is typed are left out.
Completions complete(const CLI::App& app, const std::vector<std::string>& words,
                     const WordsOf& words_of);

// The script for "bash", "zsh" or "fish". Error: "unknown_shell".
Result<std::string> completion_script(const std::string& shell);

}  // namespace bitloop::cli
