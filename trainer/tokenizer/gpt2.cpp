#include "trainer/tokenizer/gpt2.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <unordered_map>

#include "harness/base/fd.h"
#include "trainer/tokenizer/byte_pairs.h"
#include "trainer/tokenizer/shown_bytes.h"
#include "trainer/tokenizer/splitter.h"

namespace bitloop::tokenizer {
namespace {

constexpr int32_t kMerges = 50'000;
constexpr std::string_view kEndOfTextName = "<|endoftext|>";

}  // namespace

struct Gpt2::Tables {
  std::deque<std::string> bytes;                         // by token
  std::unordered_map<std::string_view, int32_t> tokens;  // of `bytes`
  BytePairs pairs{kMerges};

  void add(std::string text) {
    const std::string& kept = bytes.emplace_back(std::move(text));
    tokens.emplace(kept, static_cast<int32_t>(bytes.size()) - 1);
  }
};

Gpt2::Gpt2(std::unique_ptr<const Tables> tables) : tables_(std::move(tables)) {}
Gpt2::Gpt2(Gpt2&&) noexcept = default;
Gpt2& Gpt2::operator=(Gpt2&&) noexcept = default;
Gpt2::~Gpt2() = default;

Result<Gpt2> Gpt2::load(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "vocab.bpe";
  const auto text = read_file(path);
  if (!text) return fail("data_unavailable", text.error().message);
  return from_merges(*text, path.string());
}

Result<Gpt2> Gpt2::from_merges(std::string_view text, const std::string& name) {
  auto tables = std::make_unique<Tables>();
  tables->tokens.reserve(size_t{2} * kSize);
  for (const uint8_t byte : bytes_in_order()) {
    tables->pairs.set_byte(byte, static_cast<int32_t>(tables->bytes.size()));
    tables->add(std::string(1, static_cast<char>(byte)));
  }
  int32_t line_number = 0, merged = 256;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    if (++line_number == 1 && line.starts_with("#version")) continue;
    if (line.empty()) continue;
    const size_t space = line.find(' ');
    const auto token = [&](std::string_view shown) {
      const auto found = tables->tokens.find(bytes_of_shown(shown).value_or(""));
      return found == tables->tokens.end() ? -1 : found->second;
    };
    const int32_t left = token(line.substr(0, space)),
                  right = space == std::string_view::npos ? -1 : token(line.substr(space + 1));
    if (left < 0 || right < 0)
      return fail("data_unavailable",
                  fmt::format("{}: line {} is no merge of two tokens that were there before", name,
                              line_number));
    tables->pairs.add(left, right, merged, merged);  // merges come in the order of their tokens
    ++merged;
    tables->add(tables->bytes[static_cast<size_t>(left)] +
                tables->bytes[static_cast<size_t>(right)]);
  }
  if (merged - 256 != kMerges)
    return fail("data_unavailable", fmt::format("{}: {} merges, expected {}; run scripts/setup",
                                                name, merged - 256, kMerges));
  tables->bytes.emplace_back(kEndOfTextName);
  return Gpt2(std::move(tables));
}

void Gpt2::encode_piece(std::string_view piece, std::vector<int32_t>& out) const {
  if (const auto found = tables_->tokens.find(piece); found != tables_->tokens.end())
    out.push_back(found->second);
  else
    tables_->pairs.encode(piece, out);
}

void Gpt2::encode(std::string_view text, std::vector<int32_t>& out) const {
  encode(text, out, Special::kText);
}

void Gpt2::encode(std::string_view text, std::vector<int32_t>& out, Special special) const {
  if (special == Special::kToken) {
    for (size_t at; (at = text.find(kEndOfTextName)) != std::string_view::npos;) {
      encode(text.substr(0, at), out);
      out.push_back(kEndOfText);
      text.remove_prefix(at + kEndOfTextName.size());
    }
  }
  for (size_t begin = 0; begin < text.size();) {
    const size_t length = piece_length(text, begin);
    encode_piece(text.substr(begin, length), out);
    begin += length;
  }
}

std::vector<int32_t> Gpt2::encode(std::string_view text, Special special) const {
  std::vector<int32_t> ids;
  encode(text, ids, special);
  return ids;
}

Result<std::string> Gpt2::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) {
    if (id < 0 || id >= kSize)
      return fail("wrong_usage",
                  fmt::format("{} is no token of GPT-2: they are 0 to {}", id, kSize - 1));
    text += tables_->bytes[static_cast<size_t>(id)];
  }
  return text;
}

// Later text can change the last piece, which may go on, and the one before it: an apostrophe and a
// letter may become a contraction of three.
void Gpt2::Stream::add(std::string_view text, std::vector<int32_t>& out) {
  held_ += text;
  // A piece that only grows is not looked at again before it has doubled: else a text of one letter
  // in small parts would take quadratic time.
  if (held_.size() < 2 * looked_) return;
  const std::string_view whole =
      std::string_view(held_).substr(0, held_.size() - unfinished_character(held_));
  size_t first = 0, second = 0;  // where the last two pieces begin; second = 0: there is one
  for (size_t begin = 0; begin < whole.size(); begin += piece_length(whole, begin)) {
    if (second > 0) {
      tokenizer_->encode_piece(whole.substr(first, second - first), out);
      first = second;
    }
    second = begin;
  }
  held_.erase(0, first);
  looked_ = held_.size();
}

void Gpt2::Stream::finish(std::vector<int32_t>& out) {
  tokenizer_->encode(held_, out);
  held_.clear();
  looked_ = 0;
}

}  // namespace bitloop::tokenizer
