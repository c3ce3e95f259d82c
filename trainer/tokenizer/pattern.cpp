#include "trainer/tokenizer/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

namespace bitloop::tokenizer {
namespace {

constexpr size_t kLongest = 10'000;          // bytes of an expression
constexpr uint32_t kMostSteps = 10'000'000;  // of one match
constexpr uint32_t kMostHeap = 256 << 10;    // KiB that one match may take

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct FreeData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

std::string message_of(int error) {
  PCRE2_UCHAR text[200] = {};
  pcre2_get_error_message(error, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

struct Pattern::Code {
  std::unique_ptr<pcre2_code, FreeCode> code;
  std::unique_ptr<pcre2_match_context, FreeContext> context;
};

Result<Pattern> Pattern::compile(const std::string& expression) {
  return make(expression, PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C);
}

Result<Pattern> Pattern::literal(const std::string& text) { return make(text, PCRE2_LITERAL); }

Result<Pattern> Pattern::make(const std::string& expression, uint32_t more_options) {
  if (expression.empty() || expression.size() > kLongest)
    return fail("bad_pattern", fmt::format("a pattern has {} bytes: 1 to {} are read",
                                           expression.size(), kLongest));
  int error = 0;
  PCRE2_SIZE at = 0;
  auto code = std::make_shared<Code>();
  code->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                                 PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | more_options, &error, &at,
                                 nullptr));
  if (code->code == nullptr)
    return fail("bad_pattern",
                fmt::format("a pattern can't be read at its byte {}: {}", at, message_of(error)));
  code->context.reset(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(code->context.get(), kMostSteps);
  pcre2_set_heap_limit(code->context.get(), kMostHeap);
  return Pattern(std::move(code));
}

std::vector<Pattern::Match> Pattern::find_all(std::string_view text) const {
  std::vector<Match> matches;
  const std::unique_ptr<pcre2_match_data, FreeData> data(
      pcre2_match_data_create_from_pattern(code_->code.get(), nullptr));
  for (size_t from = 0; from < text.size();) {
    const int found =
        pcre2_match(code_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                    PCRE2_NOTEMPTY, data.get(), code_->context.get());
    if (found < 0) break;
    const PCRE2_SIZE* where = pcre2_get_ovector_pointer(data.get());
    if (where[1] <= where[0] || where[0] < from) break;  // \K can say so
    matches.push_back({where[0], where[1]});
    from = where[1];
  }
  return matches;
}

}  // namespace bitloop::tokenizer
