#include "trainer/audit/audits.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace bitloop::trainer {
namespace {

Finding passed(const char* rule, std::string detail) { return {rule, true, std::move(detail), ""}; }
Finding failed(const char* rule, std::string status, std::string detail) {
  return {rule, false, std::move(detail), std::move(status)};
}

lua::Context probe_context(const BitLinear& layer, const ForwardContext& scored) {
  return {.step = scored.step,
          .total_steps = scored.total_steps,
          .training = false,
          .layer = &layer.layer,
          .params = &layer.params,
          .state = &layer.state};
}

// The value of an activation probe.
Result<at::Tensor> activation_value(BitLinear& layer, lua::Quantizer& quantizer,
                                    const ForwardContext& scored, const at::Tensor& x_RK) {
  BITLOOP_ASSIGN(returned, quantizer.activation_quant(x_RK, probe_context(layer, scored)));
  BITLOOP_ASSIGN(operand,
                 make_activation_operand(returned, x_RK, quantizer.format(), layer.layer.name));
  materialise_value(operand, x_RK, quantizer.format());
  return operand.value;
}

// First layer whose activation values of untouched rows change when the other half of the `rows`
// does, the later half or the earlier one; "" when there is none. A row's value may depend on that
// row alone.
Result<std::string> first_row_mixing_layer(Transformer& model, lua::Quantizer& quantizer,
                                           const ForwardContext& scored, int64_t rows) {
  const int64_t half = rows / 2;
  const at::Generator generator = at::detail::createCPUGenerator(1);
  std::map<int64_t, at::Tensor> inputs;  // by K: drawing normals costs more than the calls
  for (BitLinear* layer : model.bitlinears()) {
    at::Tensor& x = inputs[layer->layer.in_features];
    if (!x.defined())
      x = at::empty({rows, layer->layer.in_features}, at::kFloat)
              .normal_(0, 1, generator)
              .to(model.device());
    BITLOOP_ASSIGN(value, activation_value(*layer, quantizer, scored, x));
    for (const bool later : {true, false}) {
      const int64_t changed = later ? half : 0, kept = later ? 0 : half,
                    count = later ? rows - half : half;
      at::Tensor other = x.clone();
      other.narrow(0, changed, count).mul_(4.0).add_(0.5);
      BITLOOP_ASSIGN(other_value, activation_value(*layer, quantizer, scored, other));
      if (!at::equal(value.narrow(0, kept, rows - count),
                     other_value.narrow(0, kept, rows - count)))
        return layer->layer.name;
    }
  }
  return std::string();
}

// First position of a prefix whose logits change when what follows it (and the other rows of the
// batch) is replaced; -1 when there is none.
Result<int64_t> first_looking_ahead(Transformer& model, lua::Quantizer& quantizer,
                                    const TokenStream& text, const ForwardContext& scored,
                                    int64_t batch, int64_t T, CausalityCuts cuts) {
  const int64_t B = std::min(batch, validation_windows(text, T));
  ForwardContext context = scored;
  context.quantizer = &quantizer;
  BITLOOP_TRY(model.quantize_weights(context));
  const at::Tensor ids = validation_batch(text, 0, B, T).inputs_BT.to(model.device());
  BITLOOP_ASSIGN(base, model.forward(ids, context));
  if (!at::isfinite(base).all().item<bool>()) return fail("diverged", "the logits are not finite");
  const at::Tensor logits_BTV = base.view({B, T, -1});
  const std::vector<int64_t> places = cuts == CausalityCuts::kOne
                                          ? std::vector<int64_t>{T / 2}
                                          : std::vector<int64_t>{T / 4, T / 2, T - 1};
  for (const int64_t cut : places) {
    at::Tensor changed = ids.clone();
    changed[0]
        .narrow(0, cut, T - cut)
        .copy_(ids[0].narrow(0, cut, T - cut).flip(0).add(1).remainder(model.config().vocab_size));
    changed.narrow(0, 1, B - 1)
        .copy_(ids.narrow(0, 1, B - 1).flip(1).add(7).remainder(model.config().vocab_size));
    BITLOOP_ASSIGN(logits, model.forward(changed, context));
    const at::Tensor same = logits.view({B, T, -1})[0].eq(logits_BTV[0]).all(1).narrow(0, 0, cut);
    if (!same.all().item<bool>()) return same.logical_not().nonzero()[0].item<int64_t>();
  }
  return int64_t{-1};
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  if (a.defined() != b.defined()) return false;
  if (!a.defined()) return true;
  // As integers: NaN equals itself, and -0 is not 0.
  const auto bits = [](const at::Tensor& t) { return t.contiguous().view(at::kInt); };
  return a.sizes() == b.sizes() && at::equal(bits(a), bits(b));
}

bool same_bits(const lua::Quantized& a, const lua::Quantized& b) {
  return same_bits(a.codes, b.codes) && same_bits(a.scale, b.scale) &&
         same_bits(a.offset, b.offset) && same_bits(a.codebook, b.codebook) &&
         same_bits(a.surrogate, b.surrogate);
}

lua::Quantized copy_of(const lua::Quantized& from) {
  const auto copy = [](const at::Tensor& t) {
    return t.defined() ? t.detach().clone() : at::Tensor();
  };
  return {copy(from.codes), copy(from.scale), copy(from.offset), copy(from.codebook),
          copy(from.surrogate)};
}

// A, B, A on one function, then A in the fresh state. `call(quantizer, tensor)` runs the function.
template <typename Call>
Result<std::string> impurity(Call call, lua::Quantizer& quantizer, lua::Quantizer& fresh,
                             const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor kept = a.clone();
  const std::string digest = quantizer.state_digest();
  BITLOOP_ASSIGN(first_call, call(quantizer, a));
  const lua::Quantized first = copy_of(first_call);
  BITLOOP_TRY(call(quantizer, b));
  BITLOOP_ASSIGN(second, call(quantizer, a));
  if (!same_bits(first, second)) return std::string("gives another result when it is called again");
  if (quantizer.state_digest() != digest)
    return std::string("changes a variable that later calls can read");
  BITLOOP_ASSIGN(other, call(fresh, a));
  if (!same_bits(first, other)) return std::string("gives another result in a fresh Lua state");
  if (!at::equal(a, kept)) return std::string("changes the tensor it was given");
  return std::string();
}

}  // namespace

void to_json(nlohmann::json& json, const Finding& finding) {
  json = {{"rule", finding.rule}, {"ok", finding.ok}, {"detail", finding.detail}};
}

Finding audit_levels(Transformer& model, const lua::Format& format) {
  if (!format.quantizes_weights)
    return passed("levels", "weights are not quantised (32 bits a weight)");
  const at::Tensor levels =
      at::tensor(std::vector<double>(format.levels), at::kDouble).to(at::kFloat).to(model.device());
  for (const BitLinear* layer : model.bitlinears()) {
    const Operand& operand = layer->weight_operand;
    const std::string& name = layer->layer.name;
    if (!operand.codes.defined()) return failed("levels", "rejected", name + ": has no codes");
    if (format.codebook_entries == 0 && !at::isin(operand.codes, levels).all().item<bool>())
      return failed("levels", "rejected", name + ": a code is not a declared level");
    Operand again = operand;
    again.value = at::Tensor();
    if (format.codebook_entries == 0) {
      materialise_value(again, layer->weight, format);
      if (!at::equal(again.value, operand.value) || !at::equal(again.value, layer->used_weight))
        return failed("levels", "rejected", name + ": the value in use is not codes times scale");
    } else if (!at::equal(operand.value, layer->used_weight)) {
      return failed("levels", "rejected", name + ": the value in use is not the codebook's");
    }
  }
  const size_t count = format.codebook_entries > 0 ? static_cast<size_t>(format.codebook_entries)
                                                   : format.levels.size();
  return passed(
      "levels",
      fmt::format(
          "all codes of {} layers are among {} declared levels; values are codes times scale",
          model.bitlinears().size(), count));
}

Finding audit_causality(Transformer& model, lua::Quantizer& quantizer, const TokenStream& text,
                        const Rules& rules, const ForwardContext& scored, int64_t batch,
                        CausalityCuts cuts, bool& leaks, int64_t window) {
  at::NoGradGuard no_grad;
  const int64_t T = window > 0 ? window : model.config().context;
  leaks = false;
  std::string detail = "later tokens and other rows change no logit of a prefix";
  if (quantizer.format().quantizes_activations) {
    const auto layer = first_row_mixing_layer(model, quantizer, scored, batch * T);
    if (!layer) return failed("causality", layer.error().code, layer.error().message);
    if (!layer->empty()) {
      leaks = true;
      detail = fmt::format(
          "activation_quant of layer {} gives a row another value when other rows change, so a "
          "token sees "
          "later ones; compute the scale along dim = -1 with keepdim = true",
          *layer);
    }
  }
  if (!leaks) {
    const auto position = first_looking_ahead(model, quantizer, text, scored, batch, T, cuts);
    if (!position) return failed("causality", position.error().code, position.error().message);
    if (*position >= 0) {
      leaks = true;
      detail =
          fmt::format("the logits at position {} change with tokens that come after it", *position);
    }
  }
  if (leaks && !rules.paper_compat) return failed("causality", "rejected", "look-ahead: " + detail);
  if (leaks)
    return passed("causality", "look-ahead, which this task allows (flag leaks): " + detail);
  return passed("causality", detail);
}

Finding audit_purity(Transformer& model, lua::Quantizer& quantizer, lua::Quantizer& fresh,
                     const ForwardContext& scored) {
  at::NoGradGuard no_grad;
  for (const BitLinear* layer : model.bitlinears()) {
    const lua::Context context = probe_context(*layer, scored);
    const at::Tensor a = layer->weight.detach(), b = a.flip(0) * 1.5;
    const auto weight = [&](lua::Quantizer& q, const at::Tensor& w) {
      return q.weight_quant(w, context);
    };
    const auto activation = [&](lua::Quantizer& q, const at::Tensor& x) {
      return q.activation_quant(x, context);
    };
    for (const char* function : {"weight_quant", "activation_quant"}) {
      if (!quantizer.has(function)) continue;
      const bool weights = function[0] == 'w';
      const auto found = weights ? impurity(weight, quantizer, fresh, a, b)
                                 : impurity(activation, quantizer, fresh, a * 40, b * 40);
      if (!found) return failed("purity", found.error().code, found.error().message);
      if (!found->empty())
        return failed("purity", "rejected",
                      fmt::format("{} (layer {}) {}", function, layer->layer.name, *found));
    }
  }
  return passed("purity",
                "the same input gives the same result, in a fresh Lua state too, and nothing is "
                "remembered");
}

}  // namespace bitloop::trainer
