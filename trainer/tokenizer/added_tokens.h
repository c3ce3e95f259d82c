// Tokens that stand in a text as they are ("<|endoftext|>"), found before it is cut into pieces.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::tokenizer {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool special = false;
  bool takes_left = false, takes_right = false;  // spaces beside it belong to it
};

class AddedTokens {
 public:
  // `list`: the member added_tokens. Error "bad_tokenizer": a sentence.
  static Result<AddedTokens> read(const nlohmann::json& list);

  const std::vector<AddedToken>& all() const { return tokens_; }

  // The text from left to right: text(part) between tokens, token(id) for each. Of those that begin
  // at one place the longest counts.
  template <typename Text, typename Token>
  void walk(std::string_view whole, const Text& text, const Token& token) const {
    size_t last = 0;
    for (size_t at = 0; at < whole.size();) {
      const AddedToken* found = find(whole, at);
      if (found == nullptr) {
        ++at;
        continue;
      }
      size_t begin = at, end = at + found->content.size();
      if (found->takes_left)
        while (begin > last && is_space(whole[begin - 1])) --begin;
      if (found->takes_right)
        while (end < whole.size() && is_space(whole[end])) ++end;
      if (begin > last) text(whole.substr(last, begin - last));
      token(found->id);
      at = last = end;
    }
    if (last < whole.size()) text(whole.substr(last));
  }

 private:
  static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
  const AddedToken* find(std::string_view text, size_t at) const;

  std::vector<AddedToken> tokens_;
  std::array<std::vector<size_t>, 256> by_first_byte_;  // the longest first
};

}  // namespace bitloop::tokenizer
