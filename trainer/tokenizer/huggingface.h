// A byte-level tokenizer out of tokenizer.json, as Hugging Face's library `tokenizers` reads it:
// added tokens are taken out of the text, a pre-tokenizer cuts what lies between, and each piece's
// bytes are merged in pairs. What the file asks for beyond that is refused in words.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "trainer/tokenizer/tokenizer.h"

namespace bitloop::tokenizer {

class HuggingFace final : public Tokenizer {
 public:
  // `text`: the file's. Error "bad_tokenizer": a sentence that follows "tokenizer.json: ".
  static Result<std::unique_ptr<HuggingFace>> parse(const std::string& text);
  ~HuggingFace() override;

  int32_t size() const override;
  // That which the file puts before a text; else what set_beginning said; else the first special
  // token; else 0.
  int32_t beginning() const override;
  void set_beginning(int32_t token) { beginning_ = token; }
  bool is_special(int32_t id) const override;
  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<int32_t>& out) const override;
  Result<std::string> decode(std::span<const int32_t> ids) const override;

  // What the file puts before and after a text that a model goes on from (its post-processor).
  const std::vector<int32_t>& prefix() const;
  const std::vector<int32_t>& suffix() const;
  // The id of a token by its content; -1 for none.
  int32_t special(std::string_view content) const;

 private:
  struct Tables;
  explicit HuggingFace(std::unique_ptr<const Tables> tables);
  void encode_plain(std::string_view text, std::vector<int32_t>& out) const;

  std::unique_ptr<const Tables> tables_;
  int32_t beginning_ = -1;
};

}  // namespace bitloop::tokenizer
