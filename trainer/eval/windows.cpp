#include "trainer/eval/windows.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "trainer/eval/python_text.h"

namespace bitloop::trainer {
namespace {

// `all` cut to what a model with this context reads, of which the last `targets` are predicted.
Window cut(std::span<const int32_t> all, int64_t targets, int64_t context) {
  const size_t keep = std::min(all.size(), static_cast<size_t>(context) + 1);
  const auto kept = all.last(keep);
  Window window;
  window.input.assign(kept.begin(), kept.end() - 1);
  const auto predicted = kept.last(static_cast<size_t>(targets));
  window.targets.assign(predicted.begin(), predicted.end());
  return window;
}

}  // namespace

Result<Window> continuation_window(const tokenizer::Tokenizer& tokenizer, const Prompt& prompt,
                                   int64_t context) {
  const std::string whole = prompt.context + prompt.continuation;
  const std::string_view before =
      std::string_view(prompt.context)
          .substr(0, prompt.context.size() - trailing_spaces(prompt.context));
  std::vector<int32_t> tokens = tokenizer.encode(whole);
  size_t start = tokenizer.encode(before).size();
  if (start == 0) {
    tokens.insert(tokens.begin(), tokenizer.beginning());
    start = 1;
  }
  if (start >= tokens.size())
    return fail("bad_document", "a continuation has no tokens of its own");
  const auto targets = static_cast<int64_t>(tokens.size() - start);
  if (targets > context)
    return fail("bad_document",
                fmt::format("a continuation has {} tokens, but the model's context is {}", targets,
                            context));
  return cut(tokens, targets, context);
}

std::vector<Window> rolling_windows(std::span<const int32_t> tokens, int64_t context,
                                    int32_t beginning) {
  std::vector<int32_t> all = {beginning};
  all.insert(all.end(), tokens.begin(), tokens.end());
  std::vector<Window> windows;
  const auto size = std::ssize(tokens);
  for (int64_t done = 0; done < size; done += context) {
    const int64_t end = std::min(size, done + context);
    // Tokens up to `end` are all[1, end + 1).
    windows.push_back(cut(std::span<const int32_t>(all).first(static_cast<size_t>(end) + 1),
                          end - done, context));
  }
  return windows;
}

std::vector<Window> block_windows(std::span<const int32_t> tokens, int64_t context) {
  std::vector<Window> windows;
  const auto predicted = std::ssize(tokens) - 1;
  if (predicted < 1) return windows;
  const int64_t length = std::min(context, predicted);
  for (int64_t begin = 0; begin + length <= predicted; begin += length)
    windows.push_back(
        cut(tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(length) + 1), length,
            length));
  return windows;
}

}  // namespace bitloop::trainer
