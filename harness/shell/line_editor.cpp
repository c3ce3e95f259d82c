#include "harness/shell/line_editor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <histedit.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdlib>
#include <cwchar>

#include "harness/base/fd.h"
#include "harness/base/text.h"

namespace bitloop::shell {
namespace {

constexpr int kHistoryLines = 2000;
constexpr size_t kMaxHistoryBytes = size_t{4} << 20;
constexpr char kPromptEscape = '\1';  // around what takes no room on the screen

volatile std::sig_atomic_t resized = 0, continued = 0;
void on_resize(int) { resized = 1; }
void on_continue(int) { continued = 1; }

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;  // without SA_RESTART: a read that waits must see the flag
  ::sigaction(signal, &action, nullptr);
}

std::string common_prefix(const std::vector<std::string>& words) {
  std::string prefix = words.front();
  for (const std::string& word : words) {
    const auto differs = std::mismatch(prefix.begin(), prefix.end(), word.begin(), word.end());
    prefix.erase(differs.first, prefix.end());
  }
  return prefix;
}

// In columns, as wide as the terminal is.
std::string columns_of(const std::vector<std::string>& words) {
  winsize size{};
  size_t width = 80, longest = 0;
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) width = size.ws_col;
  for (const std::string& word : words) longest = std::max(longest, word.size() + 2);
  const size_t columns = std::max<size_t>(1, width / longest);
  const size_t rows = (words.size() + columns - 1) / columns;
  std::string text;
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = row; i < words.size(); i += rows)
      text += i + rows < words.size() ? fmt::format("{:<{}}", words[i], longest) : words[i];
    text += '\n';
  }
  return text;
}

}  // namespace

struct LineEditor::State {
  std::function<std::vector<std::string>(std::string_view)> complete;
  std::atomic<bool>& interrupted;
  bool colour;
  EditLine* editor = nullptr;
  History* history = nullptr;
  std::string prompt = {};
  UniqueFd file = {};

  static State& of(EditLine* editor) {
    void* data = nullptr;
    el_get(editor, EL_CLIENTDATA, &data);
    return *static_cast<State*>(data);
  }

  static char* prompt_of(EditLine* editor) { return of(editor).prompt.data(); }

  // The next character. -1 ends the line: the terminal is gone, or Ctrl-C was pressed.
  static int read_character(EditLine* editor, wchar_t* character) {
    State& state = of(editor);
    std::mbstate_t partial{};
    while (true) {
      if (state.interrupted) return -1;
      if (resized) resized = 0, el_resize(editor);
      if (continued) {
        // Stopped with Ctrl-Z, the shell around us has set the terminal its own way.
        continued = 0;
        el_set(editor, EL_PREP_TERM, 1);
        el_set(editor, EL_REFRESH);
      }
      char byte = 0;
      const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return count < 0 ? -1 : 0;
      // A Ctrl-D from before the line was asked for: the kernel keeps it as a zero.
      if (byte == '\0') byte = '\4';
      const size_t used = std::mbrtowc(character, &byte, 1, &partial);
      if (used == static_cast<size_t>(-1)) partial = {};  // not text: dropped
      if (used <= 1) return 1;
    }
  }

  static unsigned char on_tab(EditLine* editor, int) {
    State& state = of(editor);
    const LineInfo* info = el_line(editor);
    const std::string_view before(info->buffer, static_cast<size_t>(info->cursor - info->buffer));
    if (before.find_first_not_of(" \t") == std::string_view::npos)
      return el_insertstr(editor, "  ") == 0 ? CC_REFRESH : CC_ERROR;
    const std::vector<std::string> words = state.complete(before);
    if (words.empty()) return CC_REFRESH_BEEP;
    const std::string prefix = common_prefix(words);
    // The longest end of the line that the words continue.
    size_t shared = std::min(prefix.size(), before.size());
    while (!before.ends_with(std::string_view(prefix).substr(0, shared))) --shared;
    if (prefix.size() > shared)
      return el_insertstr(editor, prefix.c_str() + shared) == 0 ? CC_REFRESH : CC_ERROR;
    if (words.size() == 1) return CC_NORM;
    const std::string text = fmt::format("\n{}", columns_of(words));
    (void)write_all(STDOUT_FILENO, text);
    return CC_REDISPLAY;
  }
};

LineEditor::LineEditor(std::function<std::vector<std::string>(std::string_view)> complete,
                       std::atomic<bool>& interrupted, bool colour)
    : state_(new State{std::move(complete), interrupted, colour}) {
  // UTF-8 whatever the user's language is: numbers stay as they are.
  if (std::setlocale(LC_CTYPE, "") == nullptr || MB_CUR_MAX == 1)
    std::setlocale(LC_CTYPE, "C.UTF-8");
  handle(SIGWINCH, on_resize);
  handle(SIGCONT, on_continue);
  State& state = *state_;
  state.editor = el_init("bitloop", stdin, stdout, stderr);
  state.history = history_init();
  HistEvent event;
  history(state.history, &event, H_SETSIZE, kHistoryLines);
  history(state.history, &event, H_SETUNIQUE, 1);
  el_set(state.editor, EL_CLIENTDATA, &state);
  el_set(state.editor, EL_PROMPT_ESC, &State::prompt_of, kPromptEscape);
  el_set(state.editor, EL_EDITOR, "emacs");
  el_set(state.editor, EL_SIGNAL, 0);
  el_set(state.editor, EL_HIST, history, state.history);
  el_set(state.editor, EL_GETCFN, &State::read_character);
  el_set(state.editor, EL_ADDFN, "bitloop-complete", "Completes the word", &State::on_tab);
  el_set(state.editor, EL_BIND, "^I", "bitloop-complete", nullptr);
  el_set(state.editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(state.editor, EL_BIND, "\\e[3~", "ed-delete-next-char", nullptr);
}

LineEditor::~LineEditor() {
  if (state_->history != nullptr) history_end(state_->history);
  if (state_->editor != nullptr) el_end(state_->editor);
}

Input LineEditor::read(const std::string& prompt, std::string& line) {
  State& state = *state_;
  state.prompt = state.colour ? fmt::format("\1\x1b[36m\1{}\1\x1b[0m\1", prompt) : prompt;
  int count = 0;
  const char* text = el_gets(state.editor, &count);
  if (state.interrupted) {
    state.interrupted = false;
    (void)write_all(STDOUT_FILENO, "^C\n");
    el_reset(state.editor);
    return Input::kInterrupted;
  }
  if (text == nullptr || count <= 0) return Input::kEnd;
  line.assign(text, static_cast<size_t>(count));
  while (line.ends_with('\n') || line.ends_with('\r')) line.pop_back();
  if (line.find_first_not_of(" \t") == std::string::npos) return Input::kLine;
  HistEvent event;
  history(state.history, &event, H_ENTER, line.c_str());
  if (state.file.valid() && !write_all(state.file.get(), line + "\n")) state.file.reset();
  return Input::kLine;
}

void LineEditor::use_history(const std::filesystem::path& file) {
  if (file.empty()) return;
  HistEvent event;
  if (const auto text = read_file(file, kMaxHistoryBytes)) {
    std::vector<std::string> lines = split_lines(*text);
    const size_t first = lines.size() > kHistoryLines ? lines.size() - kHistoryLines : 0;
    for (size_t i = first; i < lines.size(); ++i)
      if (!lines[i].empty()) history(state_->history, &event, H_ENTER, lines[i].c_str());
  }
  std::error_code ignored;
  std::filesystem::create_directories(file.parent_path(), ignored);
  // Appended a line at a time, so several shells share one file.
  if (auto fd = open_file(file, O_WRONLY | O_CREAT | O_APPEND, 0600)) state_->file = std::move(*fd);
}

std::filesystem::path history_path() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state == '/')
    return std::filesystem::path(state) / "bitloop" / "lua_history";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home != '/') return {};
  return std::filesystem::path(home) / ".local" / "state" / "bitloop" / "lua_history";
}

}  // namespace bitloop::shell
