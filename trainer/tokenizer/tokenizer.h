// Text to tokens and back, whatever made the vocabulary.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::tokenizer {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Tokens are 0 to size() - 1.
  virtual int32_t size() const = 0;
  // What stands where a text begins without anything before it.
  virtual int32_t beginning() const = 0;
  // Whether a token stands for no text: the end of a document, say.
  virtual bool is_special(int32_t id) const = 0;
  // Appends the tokens of `text` to `out`. Safe from several threads at a time.
  virtual void encode(std::string_view text, std::vector<int32_t>& out) const = 0;
  // The bytes of the tokens. Error "wrong_usage" names an id that is none.
  virtual Result<std::string> decode(std::span<const int32_t> ids) const = 0;

  std::vector<int32_t> encode(std::string_view text) const {
    std::vector<int32_t> ids;
    encode(text, ids);
    return ids;
  }
};

}  // namespace bitloop::tokenizer
