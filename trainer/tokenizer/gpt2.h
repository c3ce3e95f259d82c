// GPT-2's tokenizer: byte-level byte pair encoding (Sennrich et al. 2016; Radford et al. 2019),
// equal to OpenAI's encoder.py and to tiktoken's "gpt2". Any bytes can be encoded, and decode to
// themselves.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "trainer/tokenizer/tokenizer.h"

namespace bitloop::tokenizer {

// What <|endoftext|> in a text is: its nine pieces, or the one token that separates documents.
enum class Special { kText, kToken };

class Gpt2 final : public Tokenizer {
 public:
  static constexpr int32_t kSize = 50257, kEndOfText = 50256;

  // Reads the merges from vocab.bpe in `folder`. Error "data_unavailable" says what is wrong with
  // it.
  static Result<Gpt2> load(const std::filesystem::path& folder);
  // The same of the file's text; `name` is what messages call it.
  static Result<Gpt2> from_merges(std::string_view text, const std::string& name);
  Gpt2(Gpt2&&) noexcept;
  Gpt2& operator=(Gpt2&&) noexcept;
  ~Gpt2() override;

  int32_t size() const override { return kSize; }
  int32_t beginning() const override { return kEndOfText; }
  bool is_special(int32_t id) const override { return id == kEndOfText; }
  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<int32_t>& out) const override;
  void encode(std::string_view text, std::vector<int32_t>& out, Special special) const;
  std::vector<int32_t> encode(std::string_view text, Special special) const;
  Result<std::string> decode(std::span<const int32_t> ids) const override;

  // Text that comes in parts: the same tokens as of the whole, whatever the parts. <|endoftext|> is
  // text.
  class Stream {
   public:
    explicit Stream(const Gpt2& tokenizer) : tokenizer_(&tokenizer) {}
    // Appends those tokens to `out` that no later text can change.
    void add(std::string_view text, std::vector<int32_t>& out);
    // The text is at its end: the rest. The stream is as new.
    void finish(std::vector<int32_t>& out);

   private:
    const Gpt2* tokenizer_;
    std::string held_;
    size_t looked_ = 0;  // held_ up to here was found to be one piece that may still grow
  };

 private:
  struct Tables;
  explicit Gpt2(std::unique_ptr<const Tables> tables);
  void encode_piece(std::string_view piece, std::vector<int32_t>& out) const;

  std::unique_ptr<const Tables> tables_;
};

}  // namespace bitloop::tokenizer
