#include "trainer/eval/evaluate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numbers>
#include <set>
#include <vector>

#include "trainer/eval/guards.h"

namespace bitloop::trainer {

namespace {

// Windows [first, first + count) of the split.
struct Piece {
  int64_t first, count;
};

// `wanted` batches of B windows (0: all windows, the last piece perhaps smaller).
std::vector<Piece> pieces_of(int64_t windows, int64_t B, int64_t wanted) {
  const int64_t full = windows / B, count = wanted > 0 ? std::min(wanted, full) : full;
  std::vector<Piece> pieces;
  for (int64_t k = 0; k < count; ++k) pieces.push_back({k * full / count * B, B});
  if (wanted == 0 && windows % B != 0) pieces.push_back({full * B, windows % B});
  return pieces;
}

}  // namespace

void warm_evaluation(Transformer& model, const TokenStream& validation, int64_t batch,
                     int64_t window) {
  const int64_t T = window > 0 ? window : model.config().context,
                windows = validation_windows(validation, T);
  const std::vector<Piece> pieces = pieces_of(windows, std::min(batch, windows), 0);
  // All pieces are as long but the last.
  const std::set<int64_t> counts = {pieces.front().count, pieces.back().count};
  for (const int64_t count : counts)
    for (BitLinear* layer : model.bitlinears()) warm_integer_forward(*layer, count * T);
}

Result<EvalScore> evaluate(Transformer& model, const TokenStream& validation,
                           const EvalOptions& options, ForwardContext context) {
  at::NoGradGuard no_grad;
  context.training = false;
  context.lambda = options.lambda;
  context.products = Products::kFloat32;
  const int64_t T = options.window > 0 ? options.window : model.config().context,
                windows = validation_windows(validation, T);
  const std::vector<Piece> pieces =
      pieces_of(windows, std::min(options.batch, windows), options.batches);
  ScoreGuards guards(options.guarded ? context.quantizer : nullptr, options.reorder_rows,
                     options.order_seed, model.device());
  context.guard = guards.of(pieces.front().count * T);
  BITLOOP_TRY(model.quantize_weights(context));

  std::vector<double> sums(pieces.size());
  for (size_t i = 0; i < pieces.size(); ++i) {
    const size_t k = options.reversed ? pieces.size() - 1 - i : i;
    const auto [first, count] = pieces[k];
    context.guard = guards.of(count * T);
    const Batch batch = validation_batch(validation, first, count, T).to(model.device());
    BITLOOP_ASSIGN(logits, model.forward(batch.inputs_BT, context));
    const double mean = at::cross_entropy_loss(logits, batch.targets_BT.view({-1})).item<float>();
    sums[k] = mean * static_cast<double>(count * T);
  }
  EvalScore score;
  double sum = 0.0;
  for (size_t k = 0; k < pieces.size(); ++k) {
    const int64_t begin = pieces[k].first * T + 1, count = pieces[k].count * T;  // of the targets
    sum += sums[k];
    score.tokens += count;
    const auto bytes = validation.bytes(begin, count);
    score.bytes = bytes && score.bytes ? std::optional(*score.bytes + *bytes) : std::nullopt;
  }
  score.loss = sum / static_cast<double>(score.tokens);
  return score;
}

std::optional<double> EvalScore::bits_per_byte() const {
  if (!bytes || *bytes == 0) return std::nullopt;
  return loss * (static_cast<double>(tokens) / static_cast<double>(*bytes)) / std::numbers::ln2;
}

}  // namespace bitloop::trainer
