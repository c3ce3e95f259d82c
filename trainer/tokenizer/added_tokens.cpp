#include "trainer/tokenizer/added_tokens.h"

#include <fmt/format.h>

#include <algorithm>

namespace bitloop::tokenizer {
namespace {

using nlohmann::json;

constexpr size_t kMost = 100'000, kLongest = 1000;  // tokens, bytes of one

std::unexpected<Error> bad(std::string message) {
  return fail("bad_tokenizer", std::move(message));
}

bool flag(const json& token, const char* name) {
  const auto found = token.find(name);
  return found != token.end() && found->is_boolean() && found->get<bool>();
}

}  // namespace

Result<AddedTokens> AddedTokens::read(const json& list) {
  AddedTokens made;
  if (list.is_null()) return made;
  if (!list.is_array() || list.size() > kMost)
    return bad(fmt::format("added_tokens is no list of at most {}", kMost));
  for (const json& token : list) {
    const bool whole = token.is_object() && token.contains("content") && token.contains("id") &&
                       token.at("content").is_string() && token.at("id").is_number_integer();
    if (!whole) return bad("an added token has no content or no id");
    AddedToken added{token.at("content").get<std::string>(), 0, flag(token, "special"),
                     flag(token, "lstrip"), flag(token, "rstrip")};
    const json& id = token.at("id");
    if (id < 0 || id > (1 << 22) || added.content.empty() || added.content.size() > kLongest)
      return bad("an added token is empty or too long, or has an impossible id");
    if (flag(token, "single_word"))
      return bad(
          "an added token that must be a word of its own (single_word) is not read by this "
          "version");
    added.id = id.get<int32_t>();
    made.by_first_byte_[static_cast<uint8_t>(added.content.front())].push_back(made.tokens_.size());
    made.tokens_.push_back(std::move(added));
  }
  for (std::vector<size_t>& places : made.by_first_byte_)
    std::ranges::stable_sort(places, std::ranges::greater(),
                             [&](size_t place) { return made.tokens_[place].content.size(); });
  return made;
}

const AddedToken* AddedTokens::find(std::string_view text, size_t at) const {
  for (const size_t place : by_first_byte_[static_cast<uint8_t>(text[at])])
    if (text.substr(at).starts_with(tokens_[place].content)) return &tokens_[place];
  return nullptr;
}

}  // namespace bitloop::tokenizer
