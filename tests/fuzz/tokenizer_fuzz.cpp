// tokenizer.json as whoever made a model wrote it, and behind a zero byte a text for it: whatever
// is read gives tokens that there are.
#include "tests/fuzz/fuzz.h"
#include "trainer/tokenizer/huggingface.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using bitloop::fuzz::require;
  const std::string whole(reinterpret_cast<const char*>(data), size);
  const size_t zero = std::min(whole.find('\0'), whole.size());
  const auto tokenizer = bitloop::tokenizer::HuggingFace::parse(whole.substr(0, zero));
  if (!tokenizer) {
    require(tokenizer.error().code == "bad_tokenizer", "a refusal has its code");
    require(!tokenizer.error().message.empty(), "and says why");
    return 0;
  }
  const auto there = [&](const std::vector<int32_t>& ids) {
    for (const int32_t id : ids)
      require(id >= 0 && id < (*tokenizer)->size(), "a token is one of the file's");
  };
  std::vector<int32_t> ids;
  (*tokenizer)->encode(whole.substr(std::min(zero + 1, whole.size())), ids);
  there(ids);
  there((*tokenizer)->prefix());
  there((*tokenizer)->suffix());
  require((*tokenizer)->decode(ids).has_value(), "tokens are a text again");
  return 0;
}
