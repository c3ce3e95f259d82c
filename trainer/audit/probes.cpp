#include "trainer/audit/probes.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "harness/base/text.h"
#include "trainer/model/layer_observer.h"

namespace bitloop::trainer {
namespace {

constexpr int64_t kTokens = 128;    // of the probe of the context
constexpr int64_t kFewTokens = 32;  // of the passes that are made for each layer
constexpr size_t kMostNames = 4;    // of layers in a sentence
// A model whose loss is not so far below that of a guess has not come to contexts yet: frequencies
// of single tokens are learned first, then of pairs (bytes of English: 0.6 and 0.45 of a guess).
constexpr double kHasLearned = 0.55;

// Notes which layers give every token the same; adds noise to the output of one.
class Perturbing : public LayerObserver {
 public:
  std::vector<const BitLinear*> constant;
  const BitLinear* disturbed = nullptr;

  void see(const BitLinear& layer, at::Tensor& y_RN) override {
    if (disturbed == nullptr && y_RN.eq(y_RN[0]).all().item<bool>()) constant.push_back(&layer);
    if (disturbed != &layer) return;
    const double spread = y_RN.std().item<double>();
    const at::Tensor noise =
        at::empty(y_RN.sizes(), at::kFloat)
            .normal_(0.0, spread > 0 ? spread : 1.0, at::detail::createCPUGenerator(1));
    y_RN = y_RN + noise.to(y_RN.device());
  }
};

Result<at::Tensor> logits_of(Transformer& model, const ForwardContext& context,
                             const at::Tensor& ids_BT, Perturbing& perturbing) {
  const Observing observing(perturbing);
  return model.forward(ids_BT, context);
}

std::string listed(const std::vector<std::string>& names) {
  std::vector<std::string> some(
      names.begin(), names.begin() + std::min<std::ptrdiff_t>(std::ssize(names), kMostNames));
  const size_t more = names.size() - some.size();
  return join(some, ", ") + (more > 0 ? fmt::format(" and {} more", more) : "");
}

Finding context_finding(double sensitivity, bool blind) {
  std::string detail = fmt::format(
      "{:.4f} nats between predictions with the whole context and with the last token alone",
      sensitivity);
  if (blind) detail += ": the model ignores what comes before the last token (flag context_blind)";
  return {"context", true, std::move(detail), ""};
}

Finding dead_finding(const std::vector<DeadLayer>& dead, size_t layers) {
  if (dead.empty())
    return {"dead_layers", true,
            fmt::format("all {} layers tell tokens apart and change the logits", layers), ""};
  std::vector<std::string> constant, idle;
  for (const DeadLayer& layer : dead) (layer.constant ? constant : idle).push_back(layer.name);
  std::vector<std::string> parts;
  if (!constant.empty()) parts.push_back(listed(constant) + " give every token the same");
  if (!idle.empty()) parts.push_back("what " + listed(idle) + " give changes no logit");
  return {"dead_layers", true,
          fmt::format("{} of {} layers do nothing (flag dead_layers): {}", dead.size(), layers,
                      join(parts, "; ")),
          ""};
}

}  // namespace

Predict predict_with(Transformer& model, const ForwardContext& context) {
  return [&model, context](const at::Tensor& ids_BT,
                           const at::Tensor& positions_BT) -> Result<at::Tensor> {
    // Rotary positions are of pairs of tokens: one alone has none.
    if (!positions_BT.defined() || model.config().is_llama()) return model.forward(ids_BT, context);
    const int64_t B = ids_BT.size(0), T = ids_BT.size(1);
    const Layout layout{
        positions_BT,
        at::ones({B, 1, T, T}, at::TensorOptions(ids_BT.device()).dtype(at::kBool)).tril()};
    BITLOOP_ASSIGN(x, model.features(ids_BT, context, &layout));
    return model.logits(x, context);
  };
}

Result<double> context_sensitivity(const Predict& predict, const at::Tensor& ids_BT) {
  const int64_t B = ids_BT.size(0), T = ids_BT.size(1);
  BITLOOP_ASSIGN(whole, predict(ids_BT, at::Tensor()));
  const at::Tensor positions = at::arange(T, ids_BT.options()).repeat({B}).view({B * T, 1});
  BITLOOP_ASSIGN(alone, predict(ids_BT.reshape({B * T, 1}), positions));
  const auto logs = [](const at::Tensor& logits) { return logits.to(at::kDouble).log_softmax(-1); };
  const at::Tensor p = logs(whole), q = logs(alone);
  const at::Tensor divergence_BT = (p.exp() * (p - q)).sum(-1).view({B, T});
  return divergence_BT.narrow(1, 1, T - 1).mean().item<double>();  // the first has no context
}

Result<bool> attends_over_tokens(const Predict& predict, const at::Tensor& ids_BT) {
  const int64_t B = ids_BT.size(0), T = ids_BT.size(1);
  BITLOOP_ASSIGN(before, predict(ids_BT, at::Tensor()));
  at::Tensor changed = ids_BT.clone();
  // Another token, whatever the vocabulary: 0, or 1 in its place.
  changed.select(1, 0).copy_(ids_BT.select(1, 0).eq(0).to(at::kLong));
  BITLOOP_ASSIGN(after, predict(changed, at::Tensor()));
  const auto later = [&](const at::Tensor& logits) {
    return logits.view({B, T, -1}).narrow(1, 1, T - 1);
  };
  return !at::equal(later(before), later(after));
}

Result<std::vector<DeadLayer>> dead_layers(Transformer& model, const ForwardContext& context,
                                           const at::Tensor& ids_BT) {
  Perturbing perturbing;
  BITLOOP_ASSIGN(base, logits_of(model, context, ids_BT, perturbing));
  std::vector<DeadLayer> dead;
  for (const BitLinear* layer : model.bitlinears()) {
    if (std::ranges::find(perturbing.constant, layer) != perturbing.constant.end()) {
      dead.push_back({layer->layer.name, true});
      continue;
    }
    perturbing.disturbed = layer;
    BITLOOP_ASSIGN(logits, logits_of(model, context, ids_BT, perturbing));
    if (at::equal(base, logits)) dead.push_back({layer->layer.name, false});
  }
  return dead;
}

ScoredValues::ScoredValues(Transformer& model) {
  for (const BitLinear* layer : model.bitlinears()) values_.push_back(layer->used_weight.detach());
}

Finding ScoredValues::compare(Transformer& model) const {
  const std::vector<BitLinear*> layers = model.bitlinears();
  for (size_t i = 0; i < layers.size(); ++i)
    if (!at::equal(values_[i], layers[i]->used_weight))
      return {"stale_values", false,
              fmt::format("{}: the values that were scored are not those that weight_quant gives "
                          "for the same weights now; it must be a function of its arguments alone",
                          layers[i]->layer.name),
              "rejected"};
  return {"stale_values", true,
          fmt::format("the values that were scored are those of quantising again, in {} layers",
                      layers.size()),
          ""};
}

Result<Probes> probe_score(Transformer& model, const TokenStream& text,
                           const ForwardContext& scored, double loss) {
  const at::NoGradGuard no_grad;
  const int64_t T = model.config().context;
  const at::Tensor ids = validation_batch(text, 0, 1, T).inputs_BT.to(model.device());
  Probes probes;
  BITLOOP_ASSIGN(sensitivity, context_sensitivity(predict_with(model, scored),
                                                  ids.narrow(1, 0, std::min(T, kTokens))));
  const double guess = std::log(static_cast<double>(model.config().vocab_size));
  const bool blind = sensitivity < kLeastSensitivity && loss < kHasLearned * guess;
  probes.findings.push_back(context_finding(sensitivity, blind));
  if (blind) probes.flags.emplace_back("context_blind");
  BITLOOP_ASSIGN(dead, dead_layers(model, scored, ids.narrow(1, 0, std::min(T, kFewTokens))));
  probes.findings.push_back(dead_finding(dead, model.bitlinears().size()));
  if (!dead.empty()) probes.flags.emplace_back("dead_layers");
  return probes;
}

}  // namespace bitloop::trainer
