#include "trainer/tokenizer/pre_tokenizer.h"

#include <fmt/format.h>

#include "trainer/tokenizer/splitter.h"

namespace bitloop::tokenizer {
namespace {

using nlohmann::json;

std::unexpected<Error> bad(std::string message) {
  return fail("bad_tokenizer", std::move(message));
}

std::string type_of(const json& part) {
  const auto found = part.is_object() ? part.find("type") : part.end();
  return found != part.end() && found->is_string() ? found->get<std::string>().substr(0, 40) : "?";
}

bool flag(const json& part, const char* name, bool otherwise) {
  const auto found = part.find(name);
  return found != part.end() && found->is_boolean() ? found->get<bool>() : otherwise;
}

void cut_numbers(std::string_view text, bool each, std::vector<std::string_view>& pieces) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t length = number_length(text, begin, each);
    size_t end = begin + length;
    while (length == 0 && end < text.size() && number_length(text, end, true) == 0) ++end;
    pieces.push_back(text.substr(begin, end - begin));
    begin = end;
  }
}

}  // namespace

Result<PreTokenizer> PreTokenizer::read(const json& description) {
  PreTokenizer made;
  const std::string type = type_of(description);
  if (type == "Sequence") {
    const auto stages = description.find("pretokenizers");
    if (stages == description.end() || !stages->is_array())
      return bad("pre_tokenizer has no list pretokenizers");
    for (const json& stage : *stages) BITLOOP_TRY(made.add(stage));
  } else {
    BITLOOP_TRY(made.add(description));
  }
  if (!made.bytes_)
    return bad(
        "pre_tokenizer has no ByteLevel: only byte-level vocabularies are read by this version");
  return made;
}

Status PreTokenizer::add(const json& stage) {
  const std::string type = type_of(stage);
  if (bytes_) return bad(fmt::format("pre_tokenizer has a stage after ByteLevel ('{}')", type));
  if (type == "ByteLevel") {
    bytes_ = true;
    adds_space_ = flag(stage, "add_prefix_space", true);
    if (adds_space_ && !stages_.empty())
      return bad(
          "pre_tokenizer adds a space before pieces, not before texts: not read by this version");
    if (flag(stage, "use_regex", true)) stages_.emplace_back(Gpt2{});
    return {};
  }
  if (type == "Digits") {
    stages_.emplace_back(Digits{flag(stage, "individual_digits", false)});
    return {};
  }
  if (type == "Split") return add_split(stage);
  return bad(fmt::format(
      "pre_tokenizer '{}' is not read by this version: ByteLevel, Digits and Split are", type));
}

Status PreTokenizer::add_split(const json& stage) {
  const auto found = stage.find("pattern");
  if (found == stage.end() || !found->is_object()) return bad("a Split has no pattern");
  const auto text = [&](const char* name) {
    const auto member = found->find(name);
    return member != found->end() && member->is_string() ? member->get<std::string>() : "";
  };
  const std::string expression = text("Regex"), literal = text("String");
  auto pattern = expression.empty() ? Pattern::literal(literal) : Pattern::compile(expression);
  if (!pattern) return bad("a Split's " + pattern.error().message);
  const auto named = stage.find("behavior");
  const std::string behavior =
      named != stage.end() && named->is_string() ? named->get<std::string>().substr(0, 40) : "?";
  const bool inverted = flag(stage, "invert", false);
  if (behavior != "Isolated" && behavior != "Removed")
    return bad(fmt::format(
        "a Split with behavior '{}' is not read by this version: Isolated and Removed are",
        behavior));
  // What is removed is the delimiter: the match, or where inverted what lies between two.
  const bool keeps_all = behavior == "Isolated";
  stages_.emplace_back(Split{std::move(*pattern), keeps_all || inverted, keeps_all || !inverted});
  return {};
}

std::vector<std::string_view> PreTokenizer::split(std::string_view text) const {
  std::vector<std::string_view> pieces = {text}, next;
  for (const Stage& stage : stages_) {
    next.clear();
    for (const std::string_view piece : pieces) {
      if (std::holds_alternative<Gpt2>(stage)) {
        for (size_t begin = 0; begin < piece.size();) {
          const size_t length = piece_length(piece, begin);
          next.push_back(piece.substr(begin, length));
          begin += length;
        }
      } else if (const auto* digits = std::get_if<Digits>(&stage)) {
        cut_numbers(piece, digits->each, next);
      } else {
        const Split& split = std::get<Split>(stage);
        const auto keep = [&](size_t begin, size_t end, bool wanted) {
          if (wanted && end > begin) next.push_back(piece.substr(begin, end - begin));
        };
        size_t last = 0;
        for (const Pattern::Match& match : split.pattern.find_all(piece)) {
          keep(last, match.begin, split.gaps);
          keep(match.begin, match.end, split.matches);
          last = match.end;
        }
        keep(last, piece.size(), split.gaps);
      }
    }
    std::swap(pieces, next);
  }
  return pieces;
}

}  // namespace bitloop::tokenizer
