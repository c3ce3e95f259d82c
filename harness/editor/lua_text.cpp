#include "harness/editor/lua_text.h"

#include <algorithm>
#include <cctype>
#include <cstddef>

namespace bitloop::editor {
namespace {

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }
bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }
bool is_hex(char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; }
bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Longest first: Lua takes the longest operator that fits.
constexpr std::string_view kOperators[] = {
    "...", "..", "==", "~=", "<=", ">=", "//", "::", "<<", ">>"};

class Tokenizer {
 public:
  explicit Tokenizer(std::string_view text) : text_(text) {}

  std::string run() {
    while (at_ < text_.size()) {
      if (is_space(at(0))) {
        ++at_;
      } else if (at(0) == '-' && at(1) == '-') {
        comment();
      } else {
        take(token_length());
      }
    }
    return std::move(tokens_);
  }

 private:
  char at(size_t offset) const { return at_ + offset < text_.size() ? text_[at_ + offset] : '\0'; }

  void take(size_t length) {
    if (!tokens_.empty()) tokens_ += ' ';
    tokens_ += text_.substr(at_, length);
    at_ += length;
  }

  void comment() {
    const size_t start = at_;
    at_ += 2;
    const size_t length = long_bracket();
    if (length == 0) {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (closed_) {
      at_ += length;
    } else {  // Lua refuses the file, so this is no comment that may be passed over
      at_ = start;
      take(text_.size() - at_);
    }
  }

  // The length of the long bracket that begins here, from `[==[` to `]==]`, or to the end of the
  // text when it is not closed; 0 when none begins here.
  size_t long_bracket() {
    if (at(0) != '[') return 0;
    size_t level = 0;
    while (at(1 + level) == '=') ++level;
    if (at(1 + level) != '[') return 0;
    std::string closing(level + 2, '=');
    closing.front() = closing.back() = ']';
    const size_t end = text_.find(closing, at_ + level + 2);
    closed_ = end != std::string_view::npos;
    return closed_ ? end + closing.size() - at_ : text_.size() - at_;
  }

  size_t short_string() const {
    const char quote = at(0);
    size_t length = 1;
    while (at_ + length < text_.size() && at(length) != quote) {
      if (at(length) == '\\') {
        ++length;  // what follows is part of the string, also a quote or a line end
      } else if (at(length) == '\n') {
        return length;
      }
      ++length;
    }
    return std::min(length + 1, text_.size() - at_);
  }

  // As Lua's own scanner: digits, letters of exponents with their signs, points.
  size_t number() const {
    const bool hex = at(0) == '0' && (at(1) == 'x' || at(1) == 'X');
    size_t length = hex ? 2 : 0;
    while (true) {
      const char c = static_cast<char>(std::tolower(static_cast<unsigned char>(at(length))));
      if (c == (hex ? 'p' : 'e')) {
        ++length;
        if (at(length) == '+' || at(length) == '-') ++length;
      } else if (is_hex(at(length)) || at(length) == '.') {
        ++length;
      } else {
        break;
      }
    }
    while (is_name(at(length))) ++length;  // "3x" is one wrong token, not a number and a name
    return length;
  }

  size_t token_length() {
    if (at(0) == '"' || at(0) == '\'') return short_string();
    if (const size_t length = long_bracket(); length > 0) return length;
    if (is_digit(at(0)) || (at(0) == '.' && is_digit(at(1)))) return number();
    if (is_name(at(0))) {
      size_t length = 1;
      while (is_name(at(length))) ++length;
      return length;
    }
    for (const std::string_view known : kOperators)
      if (text_.substr(at_).starts_with(known)) return known.size();
    return 1;
  }

  std::string_view text_;
  size_t at_ = 0;
  bool closed_ = true;  // the last long bracket
  std::string tokens_;
};

}  // namespace

std::string lua_tokens(std::string_view text) { return Tokenizer(text).run(); }

}  // namespace bitloop::editor
