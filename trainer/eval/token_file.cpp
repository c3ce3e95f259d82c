#include "trainer/eval/token_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace bitloop::trainer {
namespace {

using nlohmann::json;

constexpr const char* kTask = "tokens";
constexpr int64_t kWindows = 64;  // prepared at a time: a file may be larger than memory

std::vector<Window> windows_of(const TokenStream& tokens, int64_t first, int64_t count, int64_t T) {
  std::vector<Window> windows;
  std::vector<int64_t> ids(static_cast<size_t>(T + 1));
  for (int64_t i = first; i < first + count; ++i) {
    tokens.copy(i * T, T + 1, ids.data());
    windows.push_back({{ids.begin(), ids.end() - 1}, {ids.begin() + 1, ids.end()}});
  }
  return windows;
}

json metric(double value, const json& standard_error = nullptr) {
  return {{"value", value}, {"stderr", standard_error}};
}

}  // namespace

Status score_tokens(Transformer& model, const TokenStream& tokens, const ForwardContext& context,
                    int64_t window, int64_t limit, const Records& records) {
  const int64_t context_length = model.config().context;
  if (window < 0 || window > context_length)
    return fail("wrong_usage",
                fmt::format("a window of {} tokens is longer than the model's context, {}", window,
                            context_length));
  const int64_t T = window > 0 ? window : context_length, there = validation_windows(tokens, T);
  const int64_t count = limit > 0 ? std::min(limit, there) : there;
  if (count == 0)
    return fail("bad_document", fmt::format("the file of tokens is shorter than a window of the "
                                            "model: {} tokens, and {} are needed",
                                            tokens.size(), T + 1));
  double sum = 0.0, squares = 0.0;
  std::optional<int64_t> bytes = 0;
  for (int64_t first = 0; first < count; first += kWindows) {
    const int64_t n = std::min(kWindows, count - first);
    const std::vector<Window> windows = windows_of(tokens, first, n, T);
    BITLOOP_ASSIGN(scores, score_windows(model, windows, context, {}, [&](size_t done) {
                     records.send("progress", {{"task", kTask},
                                               {"done", first + static_cast<int64_t>(done)},
                                               {"all", count}});
                   }));
    json documents = json::array();
    for (const WindowScore& score : scores) {
      if (!std::isfinite(score.log_probability))
        return fail("bad_model",
                    fmt::format("what the model says of window {} is no finite number: "
                                "its weights or their quantisation are broken",
                                first + std::ssize(documents) + 1));
      const double loss = -score.log_probability / static_cast<double>(T);
      sum += loss;
      squares += loss * loss;
      documents.push_back({{"log_probabilities", {score.log_probability}}, {"tokens", T}});
    }
    records.send("documents", {{"task", kTask}, {"first", first}, {"documents", documents}});
    const auto of_these = tokens.bytes(first * T + 1, n * T);
    bytes = bytes && of_these ? std::optional(*bytes + *of_these) : std::nullopt;
  }
  const auto windows = static_cast<double>(count);
  const double loss = sum / windows;
  json error;
  if (count > 1) error = std::sqrt(std::max(0.0, squares / windows - loss * loss) / (windows - 1));
  json metrics = {{"loss", metric(loss, error)}, {"perplexity", metric(std::exp(loss))}};
  if (bytes && *bytes > 0)
    metrics["bits_per_byte"] = metric(loss * windows * static_cast<double>(T) /
                                      static_cast<double>(*bytes) / std::numbers::ln2);
  records.send(
      "eval",
      {{"task", kTask}, {"documents", count}, {"limited", count < there}, {"metrics", metrics}});
  return {};
}

}  // namespace bitloop::trainer
