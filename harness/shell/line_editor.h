// A line of input from a terminal, with history and completion (libedit). One at a time in a
// process: it owns the terminal's settings while a line is read.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace bitloop::shell {

enum class Input { kLine, kInterrupted, kEnd };

class LineEditor {
 public:
  // `complete` gets the line up to the cursor and returns whole words for its last one.
  // `interrupted` is set by the program's handler of SIGINT: what was typed is then dropped.
  LineEditor(std::function<std::vector<std::string>(std::string_view)> complete,
             std::atomic<bool>& interrupted, bool colour);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // Reads one line, without its end. kEnd at Ctrl-D on an empty line and when the terminal is gone.
  Input read(const std::string& prompt, std::string& line);

  // Earlier lines from a file, and from now on each line to it. A file that can't be read or
  // written is no history; nothing else.
  void use_history(const std::filesystem::path& file);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// $XDG_STATE_HOME/bitloop/lua_history, else ~/.local/state/bitloop/lua_history; empty where neither
// is known.
std::filesystem::path history_path();

}  // namespace bitloop::shell
