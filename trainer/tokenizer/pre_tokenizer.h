// What tokenizer.json calls the pre-tokenizer: stages that cut a text into pieces, which no token
// crosses. Each stage cuts the pieces of the one before it.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>
#include <variant>
#include <vector>

#include "harness/base/result.h"
#include "trainer/tokenizer/pattern.h"

namespace bitloop::tokenizer {

class PreTokenizer {
 public:
  // `description`: the member pre_tokenizer. Error "bad_tokenizer": a sentence with the part that
  // this version does not read.
  static Result<PreTokenizer> read(const nlohmann::json& description);

  // Whether a text gets a space before it, unless it begins with one.
  bool adds_space() const { return adds_space_; }
  std::vector<std::string_view> split(std::string_view text) const;

 private:
  struct Gpt2 {};  // OpenAI's expression (splitter.h)
  struct Digits {
    bool each;  // digit apart, or runs of them
  };
  struct Split {
    Pattern pattern;
    bool matches, gaps;  // which of them are pieces
  };
  using Stage = std::variant<Gpt2, Digits, Split>;

  Status add(const nlohmann::json& stage);
  Status add_split(const nlohmann::json& stage);

  std::vector<Stage> stages_;
  bool adds_space_ = false;
  bool bytes_ = false;  // a ByteLevel was there
};

}  // namespace bitloop::tokenizer
