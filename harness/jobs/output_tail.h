// The end of what a jailed program wrote for people: however much comes, only the last bytes are
// kept.
#pragma once

#include <string>
#include <string_view>

#include "harness/base/text.h"

namespace bitloop::jobs {

class OutputTail {
 public:
  explicit OutputTail(size_t max_bytes) : max_bytes_(max_bytes) {}
  void append(std::string_view data) {
    if (data.size() > max_bytes_) data.remove_prefix(data.size() - max_bytes_);
    text_ += data;
    // Cut only now and then, so that a flood costs no more than its copy.
    if (text_.size() > 2 * max_bytes_) text_.erase(0, text_.size() - max_bytes_);
  }
  std::string text() const {
    return text_.size() > max_bytes_ ? text_.substr(text_.size() - max_bytes_) : text_;
  }

 private:
  size_t max_bytes_;
  std::string text_;
};

// The last line with something in it, made harmless and not too long; "" where there is none.
inline std::string last_line(std::string_view text) {
  constexpr size_t kMost = 400;
  const size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string_view::npos) return "";
  text = text.substr(0, end + 1);
  text = text.substr(text.rfind('\n') + 1);
  return single_line(text.substr(0, kMost));
}

}  // namespace bitloop::jobs
