// Training and scoring on a GPU against the CPU.
#include <torch/csrc/autograd/autograd.h>

#include "tests/trainer/device/fixture.h"
#include "trainer/audit/audits.h"
#include "trainer/eval/evaluate.h"
#include "trainer/eval/scorer.h"
#include "trainer/model/functions.h"
#include "trainer/optim/adamw.h"

namespace bitloop::trainer {
namespace {

using DeviceModel = DeviceTest;

double relative(const at::Tensor& got, const at::Tensor& want) {
  const at::Tensor a = got.detach().cpu(), b = want.detach().cpu();
  return (a - b).norm().item<double>() / (b.norm().item<double>() + 1e-12);
}

TokenStream text() {
  std::string bytes;
  for (int i = 0; i < 3000; ++i) bytes += static_cast<char>(i * i % 17);
  return TokenStream::from_bytes(bytes);
}

// A model and its quantizer on a device.
struct Subject {
  Subject(at::Device device, const std::string& lua, bool quantize_head = false)
      : quantizer(quantizer_on(device, lua)), model(device_model(), quantize_head, 5) {
    model.to(device);
    init_layers(model, *quantizer);
  }
  ForwardContext context(Products products, bool training) const {
    return {
        .quantizer = quantizer.get(), .total_steps = 4, .training = training, .products = products};
  }
  std::unique_ptr<lua::Quantizer> quantizer;
  Transformer model;
};

// Losses and the last step's gradients of `steps` steps of two micro-batches.
struct Trained {
  std::vector<double> losses;
  std::map<std::string, at::Tensor> gradients;
};

Trained train(Subject& subject, Products products, int64_t steps) {
  Trained trained;
  std::vector<AdamW::Slot> slots;
  for (const auto& [name, tensor] : learnable(subject.model))
    slots.push_back({tensor, 1.0, tensor.dim() >= 2 ? 0.1 : 0.0, name});
  AdamW optimizer(slots, {});
  const TokenStream stream = text();
  const ForwardContext context = subject.context(products, true);
  for (int64_t step = 0; step < steps; ++step) {
    const Status quantized = subject.model.quantize_weights(context);
    EXPECT_TRUE(quantized) << (quantized ? "" : quantized.error().message);
    double sum = 0.0;
    for (int64_t i = 0; i < 2; ++i) {
      const Batch batch = training_batch(stream, 1, step, i * 8, 8, 24).to(subject.model.device());
      const auto logits = subject.model.forward(batch.inputs_BT, context);
      EXPECT_TRUE(logits) << (logits ? "" : logits.error().message);
      const at::Tensor loss = at::cross_entropy_loss(*logits, batch.targets_BT.view({-1})) * 0.5;
      torch::autograd::backward({loss}, {});
      sum += loss.item<double>();
    }
    subject.model.finish_weight_gradients(context);
    trained.losses.push_back(sum);
    trained.gradients.clear();
    for (const auto& [name, tensor] : learnable(subject.model))
      if (tensor.grad().defined()) trained.gradients[name] = tensor.grad().clone();
    EXPECT_TRUE(std::isfinite(optimizer.step(1e-3)));
  }
  return trained;
}

TEST_F(DeviceModel, StartsWithTheSameBits) {
  Transformer here(device_model(), true, 5), there(device_model(), true, 5);
  there.to(cuda());
  const auto parameters = here.named_parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor moved = there.named_parameters()[i].second;
    EXPECT_TRUE(moved.is_cuda() && moved.is_leaf() && moved.requires_grad());
    EXPECT_TRUE(at::equal(moved.detach().cpu(), parameters[i].second.detach()));
  }
  EXPECT_TRUE(there.bitlinears().back()->weight.is_same(there.named_parameters()[0].second));
}

TEST_F(DeviceModel, AttentionAndGeluHaveTheCpusNumbersAndGradients) {
  at::manual_seed(1);
  const at::Tensor qkv = at::randn({3, 70, 3 * 128}), dy = at::randn({3, 70, 128});
  const auto run = [&](at::Device device) {
    const at::Tensor x = qkv.to(device).requires_grad_(true);
    const at::Tensor y = causal_attention(gelu_tanh(x), 2);
    torch::autograd::backward({y}, {dy.to(device)});
    return std::pair(y, x.grad());
  };
  const auto [y, dx] = run(cuda());
  const auto [want_y, want_dx] = run(at::kCPU);
  EXPECT_LT(relative(y, want_y), 1e-5);  // sums of at most 128 products, each to 2^-24
  EXPECT_LT(relative(dx, want_dx), 1e-5);
  EXPECT_TRUE(at::equal(run(cuda()).second, dx));  // in one order always
}

// Float32 on both: what differs is a few roundings, and now and then a code at a boundary, which
// moves an activation by 1/127 of its row's largest.
TEST_F(DeviceModel, ThreeStepsHaveTheCpusLosses) {
  for (const char* name : {"ternary", "lsq", "float", "group64", "int4", "tequila"})
    for (const Products products : {Products::kFloat32, Products::kBfloat16}) {
      Subject here(at::kCPU, shipped_text(name)), there(cuda(), shipped_text(name));
      const Trained want = train(here, products, 3), got = train(there, products, 3);
      // bfloat16 rounds each of a chain of products to 2^-9.
      const bool rounded = products == Products::kBfloat16;
      for (size_t i = 0; i < want.losses.size(); ++i)
        EXPECT_NEAR(got.losses[i], want.losses[i], rounded ? 5e-3 : 1e-3) << name << " " << i;
      ASSERT_EQ(got.gradients.size(), want.gradients.size()) << name;
      for (const auto& [parameter, gradient] : want.gradients)
        EXPECT_TRUE(gradient.numel() == 1 ||
                    relative(got.gradients.at(parameter), gradient) < (rounded ? 0.1 : 0.05))
            << name << " " << parameter;
    }
}

TEST_F(DeviceModel, TheSameStepsGiveTheSameBits) {
  for (const char* name : {"ternary", "lsq", "float"})
    for (const Products products : {Products::kFloat32, Products::kBfloat16}) {
      Subject first(cuda(), shipped_text(name)), second(cuda(), shipped_text(name));
      const Trained a = train(first, products, 3), b = train(second, products, 3);
      EXPECT_EQ(a.losses, b.losses) << name;
      for (const auto& [parameter, gradient] : a.gradients)
        EXPECT_TRUE(at::equal(gradient, b.gradients.at(parameter))) << name << " " << parameter;
    }
}

TEST_F(DeviceModel, AScoreIsTheCpusAndNoOrderChangesABit) {
  const TokenStream stream = text();
  for (const char* name : {"ternary", "int4", "group64", "rms_row"}) {
    Subject here(at::kCPU, shipped_text(name)), there(cuda(), shipped_text(name));
    const auto score = [&](Subject& subject, const EvalOptions& options) {
      const auto made =
          evaluate(subject.model, stream, options, subject.context(Products::kFloat32, false));
      EXPECT_TRUE(made) << name << ": " << (made ? "" : made.error().message);
      return made ? made->loss : 0.0;
    };
    const double plain = score(there, {.batch = 8});
    EXPECT_NEAR(plain, score(here, {.batch = 8}), 1e-3) << name;
    EXPECT_EQ(score(there, {.batch = 8, .reversed = true}), plain) << name;
    for (const uint64_t seed : {1, 2})
      EXPECT_EQ(score(there, {.batch = 8, .guarded = true, .order_seed = seed}), plain) << name;
  }
}

TEST_F(DeviceModel, WindowsOfTextsAreScoredAsOnTheCpu) {
  std::vector<Window> windows;
  for (int32_t i = 0; i < 6; ++i) {
    Window window{{1, 2, 3, 4, 5, i, 7}, {7, static_cast<int32_t>(8 + i)}};
    window.group = i / 3;
    windows.push_back(window);
  }
  const auto scores = [&](at::Device device) {
    Subject subject(device, kTernaryLua);
    const ForwardContext context = subject.context(Products::kExact, false);
    const at::NoGradGuard no_grad;
    EXPECT_TRUE(subject.model.quantize_weights(context));
    ScoreGuards guards(subject.quantizer.get(), true, 3, device);
    auto made = score_windows(subject.model, windows, context, {.guards = &guards}, [](size_t) {});
    EXPECT_TRUE(made) << (made ? "" : made.error().message);
    return made ? *made : std::vector<WindowScore>(windows.size());
  };
  const auto got = scores(cuda()), want = scores(at::kCPU);
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_NEAR(got[i].log_probability, want[i].log_probability, 2e-3);
    EXPECT_EQ(got[i].tokens, want[i].tokens);
  }
}

TEST_F(DeviceModel, AuditsFindWhatTheyFindOnTheCpu) {
  const TokenStream stream = text();
  Subject subject(cuda(), kTernaryLua);
  const auto fresh = quantizer_on(cuda(), kTernaryLua);
  const ForwardContext scored = subject.context(Products::kExact, false);
  const at::NoGradGuard no_grad;
  ASSERT_TRUE(subject.model.quantize_weights(scored));
  const lua::Format& format = subject.quantizer->format();
  EXPECT_TRUE(audit_levels(subject.model, format).ok);
  const Finding pure = audit_purity(subject.model, *subject.quantizer, *fresh, scored);
  EXPECT_TRUE(pure.ok) << pure.detail;
  bool leaks = false;
  const Finding causal = audit_causality(subject.model, *subject.quantizer, stream, {}, scored, 8,
                                         CausalityCuts::kThree, leaks);
  EXPECT_TRUE(causal.ok) << causal.detail;
  EXPECT_FALSE(leaks);
  Operand& operand = subject.model.bitlinears().front()->weight_operand;
  operand.codes[0][0] = 0.5;
  EXPECT_FALSE(audit_levels(subject.model, format).ok);
}

TEST_F(DeviceModel, AScaleOfAllRowsIsFound) {
  const TokenStream stream = text();
  std::string lua = kTernaryLua;
  const std::string by_row = "x:abs():amax{dim = -1, keepdim = true}";
  lua.replace(lua.find(by_row), by_row.size(), "x:abs():max()");
  Subject subject(cuda(), lua);
  const ForwardContext scored = subject.context(Products::kExact, false);
  bool leaks = false;
  EXPECT_FALSE(audit_causality(subject.model, *subject.quantizer, stream, {}, scored, 8,
                               CausalityCuts::kOne, leaks)
                   .ok);
  EXPECT_TRUE(leaks);
}

TEST_F(DeviceModel, AdamWIsTheCpus) {
  at::manual_seed(4);
  std::vector<AdamW::Slot> here, there;
  for (const auto& [shape, rate, decay] :
       {std::tuple{std::vector<int64_t>{40, 30}, 1.0, 0.1}, {std::vector<int64_t>{}, 3.0, 0.0}}) {
    const at::Tensor start = at::randn(shape);
    here.push_back({start.clone().requires_grad_(true), rate, decay});
    there.push_back({start.to(cuda()).requires_grad_(true), rate, decay});
  }
  AdamW first(here, {}), second(there, {});
  for (int i = 0; i < 10; ++i) {
    for (size_t k = 0; k < here.size(); ++k) {
      const at::Tensor gradient = at::randn(here[k].parameter.sizes());
      here[k].parameter.mutable_grad() = gradient;
      there[k].parameter.mutable_grad() = gradient.to(cuda());
    }
    const double norm = first.step(0.01);
    EXPECT_NEAR(second.step(0.01), norm, 1e-5 * norm);
  }
  for (size_t k = 0; k < here.size(); ++k)
    EXPECT_TRUE(
        at::allclose(there[k].parameter.detach().cpu(), here[k].parameter.detach(), 1e-5, 1e-5));
}

}  // namespace
}  // namespace bitloop::trainer
