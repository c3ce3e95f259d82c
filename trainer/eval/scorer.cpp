#include "trainer/eval/scorer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

namespace bitloop::trainer {
namespace {

constexpr int64_t kHeadRows = 256;  // logits of so many places stand in memory at once

// Places of the batch's rows that predict something, and what.
struct Predictions {
  std::vector<int64_t> rows, targets;
};

Status add_scores(Gpt2& model, const at::Tensor& features_RD, const Predictions& all,
                  std::span<WindowScore* const> owners, const ForwardContext& context) {
  const auto count = static_cast<int64_t>(all.rows.size());
  for (int64_t begin = 0; begin < count; begin += kHeadRows) {
    const int64_t n = std::min(kHeadRows, count - begin);
    const auto ids = [&](const std::vector<int64_t>& of) {
      return at::from_blob(const_cast<int64_t*>(of.data()) + begin, {n}, at::kLong);  // only read
    };
    BITLOOP_ASSIGN(padded, model.logits(features_RD.index_select(0, ids(all.rows)), context));
    const at::Tensor logits = padded.narrow(1, 0, model.config().vocab_size);
    const at::Tensor target = logits.gather(1, ids(all.targets).unsqueeze(1)).squeeze(1);
    const at::Tensor log_probability =
        (target - logits.logsumexp(1)).to(at::kDouble).contiguous();
    const at::Tensor best = logits.argmax(1).contiguous();
    const double* of = log_probability.const_data_ptr<double>();
    const int64_t* likeliest = best.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < n; ++i) {
      WindowScore& score = *owners[static_cast<size_t>(begin + i)];
      score.log_probability += of[i];
      score.greedy = score.greedy && likeliest[i] == all.targets[static_cast<size_t>(begin + i)];
      ++score.tokens;
    }
  }
  return {};
}

}  // namespace

Result<std::vector<WindowScore>> score_windows(Gpt2& model, std::span<const Window> windows,
                                               const ForwardContext& context,
                                               const ScoringOptions& options,
                                               const std::function<void(size_t done)>& progress) {
  at::NoGradGuard no_grad;
  std::vector<WindowScore> scores(windows.size());
  std::vector<size_t> order(windows.size());
  std::iota(order.begin(), order.end(), size_t{0});
  // The longest first: what needs the most memory fails at once or never.
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return windows[a].input.size() > windows[b].input.size();
  });
  for (size_t begin = 0; begin < order.size();) {
    const auto T = static_cast<int64_t>(windows[order[begin]].input.size());
    const size_t B = std::min(order.size() - begin,
                              static_cast<size_t>(std::max<int64_t>(1, options.batch_tokens / T)));
    // Padding on the right: no place sees what comes after it.
    const at::Tensor ids = at::zeros({static_cast<int64_t>(B), T}, at::kLong);
    Predictions predictions;
    std::vector<WindowScore*> owners;
    for (size_t b = 0; b < B; ++b) {
      const Window& window = windows[order[begin + b]];
      const auto row = static_cast<int64_t>(b) * T, length = std::ssize(window.input),
                 first = length - std::ssize(window.targets);
      std::copy(window.input.begin(), window.input.end(), ids.data_ptr<int64_t>() + row);
      for (size_t i = 0; i < window.targets.size(); ++i) {
        predictions.rows.push_back(row + first + static_cast<int64_t>(i));
        predictions.targets.push_back(window.targets[i]);
        owners.push_back(&scores[order[begin + b]]);
      }
    }
    BITLOOP_ASSIGN(features, model.features(ids, context));
    BITLOOP_TRY(add_scores(model, features, predictions, owners, context));
    begin += B;
    progress(begin);
  }
  return scores;
}

}  // namespace bitloop::trainer
