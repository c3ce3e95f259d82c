#include "trainer/model/fused_step.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include <limits>

#include "tests/trainer/model/training_step.h"
#include "trainer/kernels/spans.h"
#include "trainer/kernels/team.h"

namespace bitloop::trainer {
namespace {

// Learned step sizes for weights and activations, with surrogates: gradients reach params both
// ways.
constexpr const char* kLearnedLua = R"(
local Q = {name = "lsq", levels = {-1, 0, 1}}
function Q.init(layer)
  return {params = {s = {value = torch.tensor({0.03})}, a = {value = torch.tensor({0.02})}}}
end
function Q.weight_quant(w, ctx)
  local s = ctx.params.s
  return {codes = (w / s):round():clamp{min = -1, max = 1}, scale = s,
          surrogate = bitloop.ste_round((w / s):clamp{min = -1, max = 1}) * s}
end
function Q.activation_quant(x, ctx)
  local a = ctx.params.a
  return {codes = (x / a):round():clamp{min = -128, max = 127}, scale = a,
          surrogate = bitloop.ste_round((x / a):clamp{min = -128, max = 127}) * a}
end
return Q
)";

constexpr const char* kRowBiasLua = R"(
local Q = {name = "b", levels = {-1, 1}}
function Q.weight_quant(w, ctx)
  local s = w:abs():mean{dim = -1, keepdim = true}
  return torch.where(w:lt(0), torch.full_like(w, -1), torch.full_like(w, 1)), s
end
function Q.row_bias(w, codes, ctx) return w:mean{dim = -1} end
return Q
)";

// Rotated weights and activations, with trust masks.
constexpr const char* kRotatedLua = R"(
local Q = {name = "r", levels = {-1, 0, 1}, transform = {kind = "hadamard", block = 16}}
local function trusting(t, s, low, high)
  local codes = (t / s):round():clamp{min = low, max = high}
  return {codes = codes, scale = s, surrogate = t * (codes - t / s):abs():le(0.5):float()}
end
function Q.weight_quant(w, ctx)
  return trusting(w, w:abs():mean{dim = -1, keepdim = true}, -1, 1)
end
function Q.activation_quant(x, ctx)
  return trusting(x, x:abs():amax{dim = -1, keepdim = true} / 100, -128, 127)
end
return Q
)";

// Blended outputs: the float side carries the gradient.
constexpr const char* kBlendedLua = R"(
local Q = {name = "o", levels = {-1, 0, 1}, blend = "output"}
function Q.weight_quant(w, ctx)
  local s = w:abs():mean{dim = -1, keepdim = true}
  return (w / s):round():clamp{min = -1, max = 1}, s
end
function Q.activation_quant(x, ctx)
  local s = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 127
  return (x / s):round():clamp{min = -128, max = 127}, s
end
function Q.row_bias(w, codes, ctx) return w:mean{dim = -1} end
return Q
)";

// The same on rotated tensors, and with activations of 16 bits, which have no integer form.
constexpr const char* kBlendedRotatedLua = R"(
local Q = {name = "o", levels = {-1, 0, 1}, blend = "output", activation_bits = 16,
           scale_dtype = "float32", transform = {kind = "hadamard", block = 32}}
function Q.weight_quant(w, ctx)
  local s = w:abs():mean{dim = -1, keepdim = true}
  return (w / s):round():clamp{min = -1, max = 1}, s
end
function Q.activation_quant(x, ctx)
  local s = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 32767
  return (x / s):round():clamp{min = -32768, max = 32767}, s
end
return Q
)";

class FusedStep : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!block_products_supported()) GTEST_SKIP() << "no block products on this processor";
    at::manual_seed(17);
  }
};

TEST_P(FusedStep, LossAndEveryGradientAreAutograds) {
  const Case& c = GetParam();
  ASSERT_TRUE(FusedTraining::supports(c.model, c.batch / c.micro_batches));
  const Batch batch = random_batch(c);
  Trainer trainer(c);
  const Outcome exact = trainer.step(batch, Products::kFloat32, false);
  const Outcome rounded = trainer.step(batch, Products::kBfloat16, false);
  const Outcome fused = trainer.step(batch, Products::kBfloat16, true);
  compare(fused, exact, rounded);

  // The same bits again, after memory was used, and in another object.
  const Outcome again = trainer.step(batch, Products::kBfloat16, true);
  Trainer other(c);
  const Outcome elsewhere = other.step(batch, Products::kBfloat16, true);
  EXPECT_EQ(again.loss, fused.loss);
  EXPECT_EQ(elsewhere.loss, fused.loss);
  for (const auto& [name, gradient] : fused.gradients) {
    EXPECT_TRUE(at::equal(again.gradients.at(name), gradient)) << name;
    EXPECT_TRUE(at::equal(elsewhere.gradients.at(name), gradient)) << name;
  }
}

TEST_P(FusedStep, CapturedFunctionsChangeNothingButTheSpeed) {
  const Case& c = GetParam();
  const Batch batch = random_batch(c);
  Trainer trainer(c);
  const Outcome exact = trainer.step(batch, Products::kFloat32, false);
  const Outcome rounded = trainer.step(batch, Products::kBfloat16, false);
  // The first step records, the second takes activations straight from their kernels.
  const Outcome recording = trainer.step(batch, Products::kBfloat16, true, true);
  compare(recording, exact, rounded);
  const Outcome captured = trainer.step(batch, Products::kBfloat16, true, true);
  compare(captured, exact, rounded);
  if (c.quantizer == "float") return;
  for (const BitLinear* layer : trainer.model().bitlinears()) {
    EXPECT_EQ(layer->weight_capture.state, Capture::kCaptured) << layer->weight_capture.reason;
    if (c.lambda == 1.0 && layer->activation_capture.state != Capture::kUntried) {
      EXPECT_EQ(layer->activation_capture.state, Capture::kCaptured)
          << layer->activation_capture.reason;
    }
  }
}

ModelConfig without_bias() {
  ModelConfig model = small_model();
  model.bias = false;
  return model;
}
ModelConfig odd_rows() {  // 33 rows: the last pair of rows is half empty
  ModelConfig model = small_model();
  model.context = 11;
  return model;
}
ModelConfig wide() {  // several chunks a thread
  return {.vocab_size = 100,
          .padded_vocab_size = 112,
          .context = 100,
          .layers = 1,
          .heads = 4,
          .width = 64};
}

ModelConfig whole_sequences() {  // which threads own, and go their ways with
  ModelConfig model = small_model();
  model.context = 32;
  return model;
}

INSTANTIATE_TEST_SUITE_P(
    Cases, FusedStep,
    testing::Values(
        Case{.name = "float_weights", .quantizer = "float"},
        Case{.name = "ternary", .quantizer = "ternary"},
        Case{.name = "binary", .quantizer = "binary"}, Case{.name = "int2", .quantizer = "int2"},
        Case{.name = "without_bias", .quantizer = "ternary", .model = without_bias()},
        Case{.name = "head", .quantizer = "ternary", .quantize_head = true},
        Case{.name = "odd_rows", .quantizer = "ternary", .model = odd_rows()},
        Case{.name = "odd_rows_float", .quantizer = "float", .model = odd_rows()},
        Case{.name = "one_sequence", .quantizer = "ternary", .batch = 1},
        Case{.name = "several_chunks", .quantizer = "ternary", .model = wide(), .batch = 6},
        Case{.name = "apart", .quantizer = "ternary", .model = whole_sequences(), .batch = 3},
        Case{.name = "apart_float", .quantizer = "float", .model = whole_sequences(), .batch = 3},
        Case{.name = "apart_head",
             .quantizer = "int2",
             .model = whole_sequences(),
             .quantize_head = true,
             .batch = 6,
             .micro_batches = 2},
        Case{.name = "apart_forward",  // backward's surrogates let the threads meet
             .quantizer = kLearnedLua,
             .model = whole_sequences(),
             .batch = 3},
        Case{.name = "half_lambda", .quantizer = "ternary", .lambda = 0.5},
        Case{.name = "learned", .quantizer = kLearnedLua},
        Case{.name = "learned_half_lambda", .quantizer = kLearnedLua, .lambda = 0.5},
        Case{.name = "learned_head", .quantizer = kLearnedLua, .quantize_head = true},
        Case{.name = "row_bias", .quantizer = kRowBiasLua},
        Case{.name = "rotated", .quantizer = kRotatedLua},
        Case{.name = "rotated_half_lambda", .quantizer = kRotatedLua, .lambda = 0.5},
        Case{.name = "blended", .quantizer = kBlendedLua},
        Case{.name = "blended_half_lambda", .quantizer = kBlendedLua, .lambda = 0.5},
        Case{.name = "blended_rotated", .quantizer = kBlendedRotatedLua, .lambda = 0.25},
        Case{.name = "micro_batches", .quantizer = "ternary", .batch = 4, .micro_batches = 2},
        Case{.name = "micro_batches_float", .quantizer = "float", .batch = 4, .micro_batches = 2},
        Case{.name = "micro_batches_learned",
             .quantizer = kLearnedLua,
             .quantize_head = true,
             .batch = 4,
             .micro_batches = 2}),
    [](const auto& tested) { return tested.param.name; });

// One learned scale for all rows of an activation: a thread must not read it before it is there.
constexpr const char* kOneScaleLua = R"(
local Q = {name = "o", levels = {-1, 0, 1}}
function Q.init(layer) return {params = {a = {value = torch.tensor(0.02)}}} end
function Q.weight_quant(w, ctx)
  local s = w:abs():mean{dim = -1, keepdim = true}
  return (w / s):round():clamp{min = -1, max = 1}, s
end
function Q.activation_quant(x, ctx)
  local s = ctx.params.a
  local codes = bitloop.ste_round((x / s):clamp{min = -128, max = 127})
  return {codes = codes, scale = s, surrogate = codes * s}
end
return Q
)";

// A scale a row and a surrogate that masks: the forward pass goes apart and keeps its rows, the
// backward pass meets.
constexpr const char* kTrustedLua = R"(
local Q = {name = "t", levels = {-1, 0, 1}}
function Q.weight_quant(w, ctx)
  local s = w:abs():mean{dim = -1, keepdim = true}
  return (w / s):round():clamp{min = -1, max = 1}, s
end
function Q.activation_quant(x, ctx)
  local s = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 127
  local codes = (x / s):round():clamp{min = -128, max = 127}
  return {codes = codes, scale = s, surrogate = torch.where(x:abs():lt(2), x, x:detach())}
end
return Q
)";

// The step that records meets after each stage, the next ones don't.
TEST(FusedTraining, ThreadsApartMakeTheSameBits) {
  if (!block_products_supported()) GTEST_SKIP() << "no block products on this processor";
  const int threads = at::get_num_threads();
  for (const std::string& quantizer : {std::string("ternary"), std::string("float"),
                                       std::string(kOneScaleLua), std::string(kTrustedLua)})
    for (const int team : {1, 2, 4}) {  // of 5 sequences: 5; 3 and 2; 2, 2, 1 and none
      at::set_num_threads(team);
      const Case c{.name = "", .quantizer = quantizer, .model = whole_sequences(), .batch = 5};
      at::manual_seed(4);
      const Batch batch = random_batch(c);
      Trainer trainer(c);
      const Outcome meeting = trainer.step(batch, Products::kBfloat16, true, true);
      EXPECT_EQ(trainer.fused()->went_apart(), quantizer == "float");  // nothing to record there
      for (int i = 0; i < 10; ++i) {                                   // a race shows now and then
        const Outcome apart = trainer.step(batch, Products::kBfloat16, true, true);
        EXPECT_TRUE(trainer.fused()->went_apart());
        EXPECT_EQ(apart.loss, meeting.loss);
        for (const auto& [name, gradient] : meeting.gradients)
          EXPECT_TRUE(at::equal(apart.gradients.at(name), gradient)) << name;
      }
    }
  at::set_num_threads(threads);
}

TEST(FusedTraining, LookingAtTheClockChangesNoBit) {
  if (!block_products_supported()) GTEST_SKIP() << "no block products on this processor";
  const Case c{.name = "", .quantizer = "ternary", .model = whole_sequences(), .batch = 5};
  at::manual_seed(4);
  const Batch batch = random_batch(c);
  Trainer trainer(c);
  const Outcome meeting = trainer.step(batch, Products::kBfloat16, true, true);
  for (const bool apart : {true, false}) {  // captured functions go apart, the others meet
    kernels::SpanRecorder recorder(kernels::team_size(), 100'000);
    Outcome timed;
    {
      const kernels::RecordingSpans recording(recorder);
      const kernels::Span step("step", "rest");
      timed = trainer.step(batch, Products::kBfloat16, true, apart);
    }
    EXPECT_EQ(timed.loss, meeting.loss);
    for (const auto& [name, gradient] : meeting.gradients)
      EXPECT_TRUE(at::equal(timed.gradients.at(name), gradient)) << name;
    const auto& lane = recorder.lanes()[0];
    std::set<std::string> seen;
    int64_t all = 0;
    for (size_t i = 0; i < lane.names.size(); ++i) {
      seen.insert(lane.names[i].part + " " + lane.names[i].name);
      all += lane.totals[i].self;
    }
    EXPECT_EQ(all, lane.events.back().length);
    for (const char* part : {"forward", "backward"})
      for (const char* what : {"attn_qkv", "attention", "attn_proj", "mlp_fc", "mlp_proj", "head"})
        EXPECT_TRUE(seen.contains(std::string(part) + " " + what)) << part << " " << what;
  }
}

// What one thread finds not allowed, alone, is the error that the function itself would have given.
TEST(FusedTraining, AScaleThatIsNotAllowedIsAnErrorApartToo) {
  if (!block_products_supported()) GTEST_SKIP() << "no block products on this processor";
  const auto quantizer = quantizer_from(R"(
local Q = {name = "x", levels = {-1, 0, 1}, scale_dtype = "float16"}
function Q.weight_quant(w, ctx)
  local s = w:abs():mean()
  return (w / s):round():clamp{min = -1, max = 1}, s
end
function Q.activation_quant(x, ctx)
  local s = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 127
  return (x / s):round():clamp{min = -128, max = 127}, s
end
return Q)");
  Transformer model(whole_sequences(), false, 1);
  const ForwardContext context{.quantizer = quantizer.get(),
                               .training = true,
                               .products = Products::kBfloat16,
                               .captured = true};
  FusedTraining fused(model, 4);
  const at::Tensor ids = at::zeros({4, 32}, at::kLong);
  const auto step = [&] {
    EXPECT_TRUE(model.quantize_weights(context));
    EXPECT_TRUE(fused.begin_step({}));
    return fused.accumulate(ids, ids, context, 1.0);
  };
  ASSERT_TRUE(step());
  ASSERT_TRUE(step());
  const double before = step()->item<double>();
  // A token of the last sequence alone, of which nothing finite comes.
  at::Tensor row;
  for (const auto& [name, tensor] : model.named_parameters())
    if (name == "wte.weight") row = tensor.detach()[7];
  const at::Tensor kept = row.clone();
  ids[3][5] = 7;
  row.fill_(std::numeric_limits<float>::infinity());
  const auto loss = step();
  ASSERT_FALSE(loss);
  EXPECT_NE(loss.error().message.find("layer h.0.attn.c_attn"), std::string::npos)
      << loss.error().message;
  // Nothing of it is left.
  row.copy_(kept);
  ids[3][5] = 0;
  EXPECT_EQ(step()->item<double>(), before);
}

TEST(FusedTraining, TwoMicroBatchesAreOneBatch) {
  if (!block_products_supported()) GTEST_SKIP() << "no block products on this processor";
  Case whole{.name = "", .quantizer = "ternary", .batch = 4};
  Case halves = whole;
  halves.micro_batches = 2;
  at::manual_seed(2);
  const Batch batch = random_batch(whole);
  const Outcome one = Trainer(whole).step(batch, Products::kBfloat16, true);
  const Outcome two = Trainer(halves).step(batch, Products::kBfloat16, true);
  EXPECT_NEAR(one.loss, two.loss, 1e-6);
  for (const auto& [name, gradient] : one.gradients)
    EXPECT_LT(relative(two.gradients.at(name), gradient), 4e-3) << name;
}

// Rows of dL/dy that are rounded to 255 levels move the gradients by about a hundredth, no more;
// the forward pass and the gradients that no such product lies before are the same bits.
TEST(FusedTraining, InputGradientsOfInt8AreNearTheOthers) {
  for (const char* quantizer : {"ternary", "rms_row", "float"}) {
    SCOPED_TRACE(quantizer);
    Case c{.name = quantizer, .quantizer = quantizer};
    at::manual_seed(17);
    const Batch batch = random_batch(c);
    Trainer trainer(c);
    FusedTraining exact(trainer.model(), c.batch), rounded(trainer.model(), c.batch, 0, true);
    const Outcome want = trainer.step_with(exact, batch), got = trainer.step_with(rounded, batch);
    EXPECT_EQ(got.loss, want.loss);
    const double relative = distance_of_gradients(got, want);
    EXPECT_LT(relative, 0.03);
    // Without integers there is nothing to round.
    if (std::string(quantizer) == "float") {
      EXPECT_EQ(relative, 0.0);
    } else {
      EXPECT_GT(relative, 1e-4);
    }
    const auto again = trainer.step_with(rounded, batch);
    for (const auto& [name, gradient] : got.gradients)
      EXPECT_TRUE(at::equal(again.gradients.at(name), gradient)) << name;
  }
}

TEST(FusedTraining, WarmingLeavesNothingBehind) {
  if (!block_products_supported()) GTEST_SKIP() << "no block products on this processor";
  const Case c{.name = "", .quantizer = "ternary"};
  at::manual_seed(2);
  const Batch batch = random_batch(c);
  Trainer cold(c), warm(c);
  const Outcome first = cold.step(batch, Products::kBfloat16, true);
  (void)warm.step(batch, Products::kBfloat16, true);
  warm.fused()->warm();
  for (const auto& [name, tensor] : warm.model().named_parameters())
    EXPECT_FALSE(tensor.grad().defined()) << name;
  const Outcome after = warm.step(batch, Products::kBfloat16, true);
  EXPECT_EQ(after.loss, first.loss);
  for (const auto& [name, gradient] : first.gradients)
    EXPECT_TRUE(at::equal(after.gradients.at(name), gradient)) << name;
}

TEST(FusedTraining, AFailingFunctionIsItsError) {
  if (!block_products_supported()) GTEST_SKIP() << "no block products on this processor";
  const auto quantizer = quantizer_from(
      "local Q = {name = 'x', levels = {-1, 1}}\nfunction Q.activation_quant(x, ctx)\n"
      "  error('no')\nend\nreturn Q");
  Transformer model(small_model(), false, 1);
  const ForwardContext context{
      .quantizer = quantizer.get(), .training = true, .products = Products::kBfloat16};
  ASSERT_TRUE(model.quantize_weights(context));
  FusedTraining fused(model, 2);
  ASSERT_TRUE(fused.begin_step({}));
  const at::Tensor ids = at::zeros({2, 12}, at::kLong);
  const auto loss = fused.accumulate(ids, ids, context, 1.0);
  ASSERT_FALSE(loss);
  EXPECT_EQ(loss.error().code, "script_error");
}

TEST(FusedTraining, UnsupportedShapesAreSaid) {
  ModelConfig model = small_model();
  model.padded_vocab_size = 33;
  EXPECT_FALSE(FusedTraining::supports(model, 2));
  model = small_model();
  model.heads = 4;  // heads of 8
  EXPECT_FALSE(FusedTraining::supports(model, 2));
}

}  // namespace
}  // namespace bitloop::trainer
