#include "trainer/loop/model_tokens.h"

#include <fmt/format.h>

#include <optional>

#include "harness/base/fd.h"
#include "trainer/loop/subject.h"
#include "trainer/tokenizer/gpt2.h"
#include "trainer/tokenizer/huggingface.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

constexpr size_t kMaxTokenizer = size_t{128} << 20;

std::unexpected<Error> bad_model(std::string message) {
  return fail("bad_model", std::move(message));
}

// A member of config.json that is a token, or a list of them.
std::vector<int32_t> tokens_in(const json& model, const char* name) {
  std::vector<int32_t> tokens;
  const auto config = model.find("config");
  if (config == model.end() || !config->is_object() || !config->contains(name)) return tokens;
  const json& given = config->at(name);
  for (const json& token : given.is_array() ? given : json::array({given}))
    if (token.is_number_integer() && token >= 0 && token < (1 << 24))
      tokens.push_back(token.get<int32_t>());
  return tokens;
}

// Models have rows for tokens that there are not, to make their number round; more than that is
// another model's tokenizer.
Status check_size(int64_t tokens, int64_t vocabulary) {
  constexpr int64_t kShare = 32;
  if (tokens <= vocabulary && vocabulary - tokens <= vocabulary / kShare) return {};
  return bad_model(
      fmt::format("tokenizer.json has {} tokens, but the model {}: they don't belong "
                  "together",
                  tokens, vocabulary));
}

Result<ModelTokens> from_file(const json& model, const ModelConfig& shape,
                              const std::string& file) {
  auto parsed = tokenizer::HuggingFace::parse(file);
  if (!parsed) return bad_model("tokenizer.json: " + parsed.error().message);
  tokenizer::HuggingFace& tokenizer = **parsed;
  BITLOOP_TRY(check_size(tokenizer.size(), shape.vocab_size));
  ModelTokens made;
  for (const int32_t end : tokens_in(model, "eos_token_id")) made.ends.insert(end);
  // A text begins with what the model knows as its beginning, or with the end of the one before.
  for (const char* name : {"eos_token_id", "bos_token_id"})
    if (const std::vector<int32_t> tokens = tokens_in(model, name); !tokens.empty())
      tokenizer.set_beginning(tokens.front());
  made.prefix = tokenizer.prefix();
  made.suffix = tokenizer.suffix();
  made.tokenizer = std::move(*parsed);
  return made;
}

}  // namespace

Result<std::string> tokenizer_file(const json& model) {
  if (!model.contains("tokenizer")) return std::string();
  const UniqueFd fd(model.at("tokenizer").at("fd").get<int>());
  return read_all(fd.get(), kMaxTokenizer);
}

Result<ModelTokens> model_tokens(const json& model, const ModelConfig& shape,
                                 const std::string& file, const std::string& merges) {
  if (!file.empty()) return from_file(model, shape, file);
  if (has_byte_tokens(model)) return ModelTokens{};
  if (shape.vocab_size != tokenizer::Gpt2::kSize)
    return bad_model(
        fmt::format("the model has {} tokens, which are neither bytes nor GPT-2's {}, and no "
                    "tokenizer.json: it "
                    "can't be given a text",
                    shape.vocab_size, tokenizer::Gpt2::kSize));
  BITLOOP_ASSIGN(gpt2, tokenizer::Gpt2::from_merges(merges, "vocab.bpe"));
  ModelTokens made;
  made.tokenizer = std::make_unique<tokenizer::Gpt2>(std::move(gpt2));
  made.ends = {tokenizer::Gpt2::kEndOfText};
  return made;
}

}  // namespace bitloop::trainer
