#include "trainer/tokenizer/huggingface.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>

#include "trainer/tokenizer/added_tokens.h"
#include "trainer/tokenizer/byte_pairs.h"
#include "trainer/tokenizer/pre_tokenizer.h"
#include "trainer/tokenizer/shown_bytes.h"

namespace bitloop::tokenizer {
namespace {

using nlohmann::json;

constexpr int kDeepest = 32;              // levels of the file
constexpr int64_t kMostTokens = 1 << 22;  // a token's id is below it
constexpr size_t kMostMerges = 1 << 22, kLongestTemplate = 16;

std::unexpected<Error> bad(std::string message) {
  return fail("bad_tokenizer", std::move(message));
}

// The file as JSON; discarded where it is none, or nested deeper than any of ours.
json parse_json(const std::string& text) {
  bool deep = false;
  json document = json::parse(
      text,
      [&](int depth, json::parse_event_t, json&) {
        deep = deep || depth > kDeepest;
        return !deep;
      },
      /*allow_exceptions=*/false);
  return deep ? json(json::value_t::discarded) : document;
}

// A member, or null where there is none.
const json& member(const json& object, const char* name) {
  static const json none;
  const auto found = object.find(name);
  return found == object.end() ? none : *found;
}

std::string type_of(const json& part) {
  const json& type = part.is_object() ? member(part, "type") : part;
  return type.is_string() ? type.get<std::string>().substr(0, 40) : "";
}

// What must be absent or have the value that says "no such thing".
Status check_unused(const json& model, const char* name) {
  const json& value = member(model, name);
  const bool unused =
      value.is_null() || value == false || value == "" || value == 0 || value == 0.0;
  if (unused) return {};
  return bad(fmt::format("its model's {} is not read by this version", name));
}

struct Hash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
using Ids = std::unordered_map<std::string, int32_t, Hash, std::equal_to<>>;

}  // namespace

struct HuggingFace::Tables {
  std::vector<std::string> bytes;  // by token; empty for ids that are none
  Ids tokens;                      // of the vocabulary, by their bytes
  BytePairs pairs{0};
  std::array<bool, 256> has_byte{};
  bool has_all_bytes = true;
  bool whole_pieces = false;  // a piece that is a token is not merged (ignore_merges)
  AddedTokens added;
  PreTokenizer pre;
  std::vector<int32_t> prefix, suffix;

  Status read(const json& file);
  Status read_vocabulary(const json& vocabulary);
  Status read_merges(const json& merges, const json& vocabulary);
  Status read_template(const json& processor);
};

Status HuggingFace::Tables::read_vocabulary(const json& vocabulary) {
  if (!vocabulary.is_object() || vocabulary.empty()) return bad("its model has no vocab");
  int64_t largest = 0;
  for (const auto& [shown, id] : vocabulary.items()) {
    if (!id.is_number_integer() || id < 0 || id >= kMostTokens)
      return bad(fmt::format("a token of its vocab has no id from 0 to {}", kMostTokens - 1));
    largest = std::max(largest, id.get<int64_t>());
  }
  for (const AddedToken& token : added.all()) largest = std::max<int64_t>(largest, token.id);
  // Ids may have gaps, but nobody makes a table of gaps.
  if (largest >= 2 * static_cast<int64_t>(vocabulary.size() + added.all().size()))
    return bad(
        fmt::format("its vocab has {} tokens, but ids up to {}", vocabulary.size(), largest));
  bytes.resize(static_cast<size_t>(largest) + 1);
  tokens.reserve(vocabulary.size());
  for (const auto& [shown, id] : vocabulary.items()) {
    // Tokens that no bytes are shown by can only be added ones.
    const std::optional<std::string> made = bytes_of_shown(shown);
    bytes[id.get<size_t>()] = made.value_or(shown);
    if (made && !made->empty()) tokens.emplace(*made, id.get<int32_t>());
  }
  for (const AddedToken& token : added.all()) bytes[static_cast<size_t>(token.id)] = token.content;
  for (int byte = 0; byte < 256; ++byte) {
    const auto found = tokens.find(std::string(1, static_cast<char>(byte)));
    has_byte[static_cast<size_t>(byte)] = found != tokens.end();
    has_all_bytes = has_all_bytes && found != tokens.end();
    pairs.set_byte(static_cast<uint8_t>(byte), found == tokens.end() ? -1 : found->second);
  }
  return {};
}

Status HuggingFace::Tables::read_merges(const json& merges, const json& vocabulary) {
  if (!merges.is_array() || merges.size() > kMostMerges)
    return bad(fmt::format("its model has no list of at most {} merges", kMostMerges));
  int32_t rank = 0;
  for (const json& merge : merges) {
    std::string left, right;
    if (merge.is_string()) {
      const std::string text = merge.get<std::string>();
      const size_t space = text.find(' ');
      left = text.substr(0, space);
      right = space == std::string::npos ? "" : text.substr(space + 1);
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      left = merge[0].get<std::string>();
      right = merge[1].get<std::string>();
    }
    const auto a = vocabulary.find(left), b = vocabulary.find(right),
               both = vocabulary.find(left + right);
    if (a == vocabulary.end() || b == vocabulary.end() || both == vocabulary.end())
      return bad(fmt::format("its merge {} is not of two tokens to a third", rank + 1));
    pairs.add(a->get<int32_t>(), b->get<int32_t>(), rank++, both->get<int32_t>());
  }
  return {};
}

// Processors that put tokens around a text; ByteLevel's changes offsets only.
Status HuggingFace::Tables::read_template(const json& processor) {
  const std::string type = type_of(processor);
  if (processor.is_null() || type == "ByteLevel") return {};
  if (type == "Sequence") {
    const json& all = member(processor, "processors");
    if (!all.is_array() || all.size() > kLongestTemplate) return bad("post_processor has no list");
    for (const json& part : all) BITLOOP_TRY(read_template(part));
    return {};
  }
  if (type != "TemplateProcessing")
    return bad(fmt::format("post_processor '{}' is not read by this version", type));
  const json& pieces = member(processor, "single");
  if (!pieces.is_array() || pieces.size() > kLongestTemplate) return bad("its template is no list");
  bool behind = false;
  for (const json& piece : pieces) {
    if (piece.is_object() && piece.contains("Sequence")) {
      behind = true;
      continue;
    }
    const json& special = piece.is_object() ? member(piece, "SpecialToken") : piece;
    const json& name = special.is_object() ? member(special, "id") : special;
    const auto found = std::ranges::find_if(added.all(), [&](const AddedToken& token) {
      return name.is_string() && token.content == name.get_ref<const std::string&>();
    });
    if (found == added.all().end()) return bad("its template has a token that was not added");
    (behind ? suffix : prefix).push_back(found->id);
  }
  return {};
}

Status HuggingFace::Tables::read(const json& file) {
  if (!file.is_object()) return bad("it is no JSON object");
  const json& model = member(file, "model");
  const std::string type = type_of(model);
  if (!model.is_object() || (type != "BPE" && !type.empty()))
    return bad(fmt::format("a model of type '{}' is not read by this version: BPE is", type));
  const json& normalizer = member(file, "normalizer");
  const bool none = normalizer.is_null() || (type_of(normalizer) == "Sequence" &&
                                             member(normalizer, "normalizers").empty());
  if (!none)
    return bad(fmt::format("normalizer '{}' is not read by this version", type_of(normalizer)));
  for (const char* name :
       {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback"})
    BITLOOP_TRY(check_unused(model, name));
  whole_pieces = member(model, "ignore_merges") == true;
  BITLOOP_ASSIGN(read_added, AddedTokens::read(member(file, "added_tokens")));
  added = std::move(read_added);
  BITLOOP_ASSIGN(read_pre, PreTokenizer::read(member(file, "pre_tokenizer")));
  pre = std::move(read_pre);
  const json& merges = member(model, "merges");
  pairs = BytePairs(merges.size());
  BITLOOP_TRY(read_vocabulary(member(model, "vocab")));
  if (!has_all_bytes) BITLOOP_TRY(check_unused(model, "unk_token"));
  BITLOOP_TRY(read_merges(merges, member(model, "vocab")));
  return read_template(member(file, "post_processor"));
}

HuggingFace::HuggingFace(std::unique_ptr<const Tables> tables) : tables_(std::move(tables)) {}
HuggingFace::~HuggingFace() = default;

Result<std::unique_ptr<HuggingFace>> HuggingFace::parse(const std::string& text) {
  auto tables = std::make_unique<Tables>();
  BITLOOP_TRY(tables->read(parse_json(text)));
  return std::unique_ptr<HuggingFace>(new HuggingFace(std::move(tables)));
}

int32_t HuggingFace::size() const { return static_cast<int32_t>(tables_->bytes.size()); }
const std::vector<int32_t>& HuggingFace::prefix() const { return tables_->prefix; }
const std::vector<int32_t>& HuggingFace::suffix() const { return tables_->suffix; }

int32_t HuggingFace::special(std::string_view content) const {
  for (const AddedToken& token : tables_->added.all())
    if (token.content == content) return token.id;
  return -1;
}

bool HuggingFace::is_special(int32_t id) const {
  return std::ranges::any_of(tables_->added.all(), [&](const AddedToken& token) {
    return token.special && token.id == id;
  });
}

int32_t HuggingFace::beginning() const {
  if (!tables_->prefix.empty()) return tables_->prefix.front();
  if (beginning_ >= 0) return beginning_;
  for (const AddedToken& token : tables_->added.all())
    if (token.special) return token.id;
  return 0;
}

void HuggingFace::encode_plain(std::string_view text, std::vector<int32_t>& out) const {
  std::string held;
  if (tables_->pre.adds_space() && !text.starts_with(' ')) {
    held.reserve(text.size() + 1);
    held += ' ';
    held += text;
    text = held;
  }
  for (std::string_view piece : tables_->pre.split(text)) {
    std::string known;
    if (!tables_->has_all_bytes) {  // bytes without a token are as if they were not there
      std::ranges::copy_if(piece, std::back_inserter(known),
                           [&](char c) { return tables_->has_byte[static_cast<uint8_t>(c)]; });
      piece = known;
    }
    const auto found = tables_->whole_pieces ? tables_->tokens.find(piece) : tables_->tokens.end();
    if (found != tables_->tokens.end())
      out.push_back(found->second);
    else
      tables_->pairs.encode(piece, out);
  }
}

void HuggingFace::encode(std::string_view text, std::vector<int32_t>& out) const {
  tables_->added.walk(
      text, [&](std::string_view part) { encode_plain(part, out); },
      [&](int32_t id) { out.push_back(id); });
}

Result<std::string> HuggingFace::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) {
    if (id < 0 || id >= size())
      return fail("wrong_usage", fmt::format("{} is no token of tokenizer.json: they are 0 to {}",
                                             id, size() - 1));
    text += tables_->bytes[static_cast<size_t>(id)];
  }
  return text;
}

}  // namespace bitloop::tokenizer
