// Bytes that come a few at a time, as text: a character is given out once it is whole.
#pragma once

#include <string>
#include <string_view>

namespace bitloop::trainer {

class Utf8Stream {
 public:
  // What can be given out after these bytes: all but a character that may still become whole. Bytes
  // that are no UTF-8 are given out as they are.
  std::string add(std::string_view bytes);
  // The rest.
  std::string finish() { return std::move(held_); }

 private:
  std::string held_;
};

}  // namespace bitloop::trainer
