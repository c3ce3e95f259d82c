#include "harness/shell/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "harness/base/fd.h"
#include "harness/base/version.h"
#include "harness/shell/line_editor.h"

namespace bitloop::shell {
namespace {

std::atomic<bool> interrupted{false};
void on_interrupt(int) { interrupted = true; }

void print(std::string_view text) { (void)write_all(STDOUT_FILENO, text); }

bool wants_colour() {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return (no_colour == nullptr || *no_colour == '\0') && ::isatty(STDOUT_FILENO) &&
         terminal != nullptr && std::string_view(terminal) != "dumb";
}

constexpr std::string_view kLost = "; the variables are lost, the shell goes on with new ones";

// A script's chunk: what it prints, and a sentence when it fails.
Result<Evaluated> evaluate(JailedLua& lua, std::string_view code, int64_t line, bool more) {
  BITLOOP_ASSIGN(done, lua.evaluate(code, line, more, print, interrupted));
  if (!done.code.empty()) fmt::print(stderr, "bitloop: {}\n", done.error);
  return done;
}

// Of a script: a file that does not load is its first failure.
bool loaded(const JailedLua& lua) {
  if (lua.greeting().error.empty()) return true;
  fmt::print(stderr, "bitloop: {}\n", lua.greeting().error);
  return false;
}

class Terminal {
 public:
  explicit Terminal(JailedLua& lua)
      : lua_(lua),
        colour_(wants_colour()),
        editor_([this](std::string_view text) { return lua_.complete(text); }, interrupted,
                colour_) {}

  Result<int> run() {
    struct sigaction action {};
    action.sa_handler = on_interrupt;  // without SA_RESTART: reading a line must notice
    ::sigaction(SIGINT, &action, nullptr);
    editor_.use_history(history_path());
    greet();
    std::string chunk, line;
    while (true) {
      const Input input = editor_.read(chunk.empty() ? "> " : ">> ", line);
      if (input == Input::kEnd) {
        print("\n");
        return kAllWell;
      }
      if (input == Input::kInterrupted) {
        chunk.clear();
        continue;
      }
      if (chunk.empty() && leaves(line)) return kAllWell;
      chunk.append(chunk.empty() ? "" : "\n").append(line);
      BITLOOP_ASSIGN(done, lua_.evaluate(chunk, 1, true, print, interrupted));
      interrupted = false;
      if (done.incomplete) continue;
      if (!done.code.empty()) complain(done.error + std::string(done.lost ? kLost : ""));
      chunk.clear();
    }
  }

 private:
  static bool leaves(std::string_view line) {
    while (line.ends_with(' ')) line.remove_suffix(1);
    return line == "exit" || line == "exit()" || line == "quit" || line == "quit()";
  }

  void complain(const std::string& sentence) {
    print(colour_ ? fmt::format("\x1b[31m{}\x1b[0m\n", sentence) : fmt::format("{}\n", sentence));
  }

  void greet() {
    const Greeting& greeting = lua_.greeting();
    std::string text = fmt::format(
        "bitloop {}: Lua with tensors, in a jail. help() tells more, Ctrl-D leaves.\n", version());
    if (!greeting.quantizer.empty())
      text += fmt::format("Q is {}{}\n", greeting.quantizer,
                          greeting.doc.empty() ? "" : fmt::format(": {}", greeting.doc));
    for (const auto& [name, shape] : greeting.tensors.items())
      if (shape.is_string())
        text += fmt::format("{} is {}\n", name, harmless_text(shape.get<std::string>()));
    print(text);
    if (!greeting.error.empty()) complain(greeting.error + "; mend the file and call reload()");
  }

  JailedLua& lua_;
  bool colour_;
  LineEditor editor_;
};

}  // namespace

Result<int> run_chunks(JailedLua& lua, const std::vector<std::string>& chunks) {
  if (!loaded(lua)) return kChunkFailed;
  for (const std::string& chunk : chunks) {
    BITLOOP_ASSIGN(done, evaluate(lua, chunk, 1, false));
    if (!done.code.empty()) return kChunkFailed;
  }
  return kAllWell;
}

Result<int> run_standard_input(JailedLua& lua) {
  if (!loaded(lua)) return kChunkFailed;
  std::string chunk, line;
  int64_t first = 1, next = 1;
  while (std::getline(std::cin, line)) {
    chunk.append(chunk.empty() ? "" : "\n").append(line);
    ++next;
    BITLOOP_ASSIGN(done, evaluate(lua, chunk, first, true));
    if (!done.code.empty()) return kChunkFailed;
    if (done.incomplete) continue;
    chunk.clear();
    first = next;
  }
  if (chunk.empty()) return kAllWell;
  BITLOOP_ASSIGN(done, evaluate(lua, chunk, first, false));
  return done.code.empty() ? kAllWell : kChunkFailed;
}

Result<int> run_terminal(JailedLua& lua) { return Terminal(lua).run(); }

}  // namespace bitloop::shell
