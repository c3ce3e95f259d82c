// A regular expression over Unicode text (PCRE2), as tokenizer.json has them. Bytes that are no
// UTF-8 are in no match. Compiled patterns are not made into machine code, which a jail forbids.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::tokenizer {

class Pattern {
 public:
  // Error "bad_pattern": a sentence.
  static Result<Pattern> compile(const std::string& expression);
  // One that matches these very bytes.
  static Result<Pattern> literal(const std::string& text);

  struct Match {
    size_t begin, end;
  };
  // All matches from left to right, none of them empty. Where a text takes too many steps, what is
  // left of it has none. Safe from several threads at a time.
  std::vector<Match> find_all(std::string_view text) const;

 private:
  struct Code;
  explicit Pattern(std::shared_ptr<const Code> code) : code_(std::move(code)) {}
  static Result<Pattern> make(const std::string& expression, uint32_t more_options);

  std::shared_ptr<const Code> code_;  // shared: patterns are copied with the stages that hold them
};

}  // namespace bitloop::tokenizer
