#include "trainer/eval/scorer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

namespace bitloop::trainer {
namespace {

constexpr int64_t kHeadRows = 256;  // logits of so many places stand in memory at once

// Places of the batch's rows that predict something, and what.
struct Predictions {
  std::vector<int64_t> rows, targets;
};

Status add_scores(Transformer& model, const at::Tensor& features_RD, const Predictions& all,
                  std::span<WindowScore* const> owners, ForwardContext context,
                  ScoreGuards* guards) {
  const auto count = static_cast<int64_t>(all.rows.size());
  for (int64_t begin = 0; begin < count; begin += kHeadRows) {
    const int64_t n = std::min(kHeadRows, count - begin);
    const auto ids = [&](const std::vector<int64_t>& of) {
      return at::from_blob(const_cast<int64_t*>(of.data()) + begin, {n}, at::kLong)  // only read
          .to(model.device());
    };
    if (guards != nullptr) context.guard = guards->of(n);
    BITLOOP_ASSIGN(padded, model.logits(features_RD.index_select(0, ids(all.rows)), context));
    const at::Tensor logits = padded.narrow(1, 0, model.config().vocab_size);
    const at::Tensor target = logits.gather(1, ids(all.targets).unsqueeze(1)).squeeze(1);
    const at::Tensor log_probability =
        (target - logits.logsumexp(1)).to(at::kDouble).cpu().contiguous();
    const at::Tensor best = logits.argmax(1).cpu().contiguous();
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

// Windows [first, first + count) as one sequence: `shared` tokens, then the rest of each.
struct Sequence {
  size_t first, count, shared, length;
};

size_t common(const std::vector<int32_t>& a, const std::vector<int32_t>& b, size_t most) {
  size_t n = 0;
  while (n < std::min({a.size(), b.size(), most}) && a[n] == b[n]) ++n;
  return n;
}

// A group longer than `longest` is several sequences: attention's mask grows with the square.
std::vector<Sequence> sequences_of(std::span<const Window> windows, size_t longest) {
  std::vector<Sequence> sequences;
  for (size_t first = 0; first < windows.size();) {
    Sequence sequence{first, 1, windows[first].input.size(), windows[first].input.size()};
    const int64_t group = windows[first].group;
    size_t end = first + 1;
    size_t together = sequence.length;
    while (group >= 0 && end < windows.size() && windows[end].group == group &&
           together + windows[end].input.size() <= longest)
      together += windows[end++].input.size();
    size_t shared = sequence.shared, sum = 0;
    for (size_t i = first; i < end; ++i) {
      shared = common(windows[first].input, windows[i].input, shared);
      sum += windows[i].input.size();
    }
    if (shared > 0 && end > first + 1)
      sequence = {first, end - first, shared, sum - shared * (end - first - 1)};
    first += sequence.count;
    sequences.push_back(sequence);
  }
  return sequences;
}

// Puts a sequence into row `row` on of the batch's ids, and notes which of its places predict what.
// What is left of its T is padding, on the right: no place sees what comes after it.
void place(std::span<const Window> windows, const Sequence& sequence, int64_t row, int64_t* ids,
           Predictions& predictions, std::vector<WindowScore*>& owners,
           std::span<WindowScore> scores) {
  const auto shared = static_cast<int64_t>(sequence.shared);
  const std::vector<int32_t>& beginning = windows[sequence.first].input;
  std::copy_n(beginning.begin(), shared, ids + row);
  int64_t next = row + shared;  // where the branch begins
  for (size_t w = sequence.first; w < sequence.first + sequence.count; ++w) {
    const Window& window = windows[w];
    const auto length = std::ssize(window.input), first = length - std::ssize(window.targets);
    std::copy(window.input.begin() + shared, window.input.end(), ids + next);
    for (size_t i = 0; i < window.targets.size(); ++i) {
      const int64_t at = first + static_cast<int64_t>(i);
      predictions.rows.push_back(at < shared ? row + at : next + at - shared);
      predictions.targets.push_back(window.targets[i]);
      owners.push_back(&scores[w]);
    }
    next += length - shared;
  }
}

// Where places stand and what they see, in a batch with branches.
Layout layout_of(std::span<const Window> windows, std::span<const Sequence> batch, int64_t T) {
  const auto B = std::ssize(batch);
  const Layout layout{at::zeros({B, T}, at::kLong), at::zeros({B, 1, T, T}, at::kBool)};
  for (int64_t b = 0; b < B; ++b) {
    const Sequence& sequence = batch[static_cast<size_t>(b)];
    int64_t* positions = layout.positions_BT.data_ptr<int64_t>() + b * T;
    bool* mask = layout.mask_B1TT.data_ptr<bool>() + b * T * T;
    const auto shared = static_cast<int64_t>(sequence.shared);
    const auto sees = [&](int64_t place, int64_t from, int64_t to) {
      std::fill(mask + place * T + from, mask + place * T + to, true);
    };
    for (int64_t i = 0; i < shared; ++i) {
      positions[i] = i;
      sees(i, 0, i + 1);
    }
    int64_t next = shared;
    for (size_t w = sequence.first; w < sequence.first + sequence.count; ++w) {
      const int64_t branch = next, end = branch + std::ssize(windows[w].input) - shared;
      for (; next < end; ++next) {
        positions[next] = shared + next - branch;
        sees(next, 0, shared);
        sees(next, branch, next + 1);
      }
    }
    for (; next < T; ++next) sees(next, next, next + 1);  // padding: a place must see something
  }
  return layout;
}

}  // namespace

Result<std::vector<WindowScore>> score_windows(Transformer& model, std::span<const Window> windows,
                                               ForwardContext context,
                                               const ScoringOptions& options,
                                               const std::function<void(size_t done)>& progress) {
  at::NoGradGuard no_grad;
  std::vector<WindowScore> scores(windows.size());
  std::vector<Sequence> sequences =
      sequences_of(windows, static_cast<size_t>(options.batch_tokens));
  // The longest first: what needs the most memory fails at once or never.
  std::stable_sort(sequences.begin(), sequences.end(),
                   [](const Sequence& a, const Sequence& b) { return a.length > b.length; });
  std::vector<std::span<const Sequence>> batches;
  for (size_t begin = 0; begin < sequences.size(); begin += batches.back().size()) {
    const auto most =
        std::max<size_t>(1, static_cast<size_t>(options.batch_tokens) / sequences[begin].length);
    batches.push_back(std::span<const Sequence>(sequences).subspan(
        begin, std::min(most, sequences.size() - begin)));
  }
  if (options.reversed) std::ranges::reverse(batches);
  size_t done = 0;
  for (const std::span<const Sequence> batch : batches) {
    const auto B = std::ssize(batch), T = static_cast<int64_t>(batch.front().length);
    const at::Tensor ids = at::zeros({B, T}, at::kLong);
    Predictions predictions;
    std::vector<WindowScore*> owners;
    for (int64_t b = 0; b < B; ++b)
      place(windows, batch[static_cast<size_t>(b)], b * T, ids.data_ptr<int64_t>(), predictions,
            owners, scores);
    const bool branches = std::any_of(batch.begin(), batch.end(),
                                      [](const Sequence& sequence) { return sequence.count > 1; });
    Layout layout = branches ? layout_of(windows, batch, T) : Layout{};
    if (branches && !model.device().is_cpu())
      layout = {layout.positions_BT.to(model.device()), layout.mask_B1TT.to(model.device())};
    if (options.guards != nullptr) context.guard = options.guards->of(B * T);
    BITLOOP_ASSIGN(features,
                   model.features(ids.to(model.device()), context, branches ? &layout : nullptr));
    BITLOOP_TRY(add_scores(model, features, predictions, owners, context, options.guards));
    for (const Sequence& sequence : batch) done += sequence.count;
    progress(done);
  }
  return scores;
}

void warm_scoring(const ModelConfig* scored, at::Device device) {
  if (scored != nullptr && device.is_cpu()) {
    // Larger ones, of a file that has not been looked at yet, do without kernels of their own.
    constexpr int64_t kLargest = 1 << 19;
    for (const auto& [N, K] : product_shapes(*scored))
      if (N <= kLargest && K <= kLargest) (void)warm_float_product(N, K);
  }
  Transformer model({.vocab_size = 64,
                     .padded_vocab_size = 64,
                     .context = 64,
                     .layers = 1,
                     .heads = 2,
                     .width = 128},
                    false, 1);
  model.to(device);
  const ForwardContext context;
  (void)model.quantize_weights(context);
  const Window window{std::vector<int32_t>(64, 1), std::vector<int32_t>(64, 2)};
  (void)score_windows(model, std::vector{window, window}, context, {}, [](size_t) {});
}

}  // namespace bitloop::trainer
