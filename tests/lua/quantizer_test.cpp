// The quantizer contract: what loads, what calls give, what messages say.
#include "lua/quantizer/quantizer.h"

#include "tests/lua/fixture.h"

namespace bitloop::lua {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(QuantizerTest, TernaryOfTheContractGivesCodesAndScale) {
  const at::Tensor w = at::tensor({0.1f, -2.0f, 0.9f, 1.0f}).view({2, 2});
  const Result<Quantized> result = quantize(R"lua(
    local Q = {name = "ternary", doc = "d", levels = {1, -1, 0}}
    function Q.weight_quant(w, ctx)
      local scale = w:abs():mean():clamp{min = 1e-5}
      return (w / scale):round():clamp{min = -1, max = 1}, scale
    end
    return Q)lua",
                                            w);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_TRUE(at::equal(result->codes, at::tensor({0.f, -1.f, 1.f, 1.f}).view({2, 2})));
  EXPECT_FLOAT_EQ(result->scale.item<float>(), 1.0f);
  EXPECT_EQ(result->scale.dim(), 0);
  EXPECT_FALSE(result->surrogate.defined());
}

TEST(QuantizerTest, ReadsTheFormat) {
  const auto quantizer = load(R"lua(
    local Q = {name = "n", doc = "d", levels = {1, 0, -1}, group = 64, flat_groups = true, activation_bits = 4,
      scale_dtype = "float32", blend = "output", requantize_every = 3, transform = {kind = "hadamard", block = 128},
      config = {learning_rate = 1e-3, warmup_iters = 20, flag = true, list = {1, 2}, nested = {a = "b"}}}
    function Q.weight_quant(w) return w, 1 end
    function Q.lambda(ctx) return 1 end
    return Q)lua");
  ASSERT_TRUE(quantizer) << quantizer.error().message;
  const Format& format = (*quantizer)->format();
  EXPECT_EQ(format.name, "n");
  EXPECT_EQ(format.doc, "d");
  EXPECT_EQ(format.levels, (std::vector<double>{-1, 0, 1}));
  EXPECT_EQ(format.group, 64);
  EXPECT_TRUE(format.flat_groups);
  EXPECT_EQ(format.activation_bits, 4);
  EXPECT_EQ(format.scale_dtype, at::kFloat);
  EXPECT_TRUE(format.blend_output);
  EXPECT_EQ(format.requantize_every, 3);
  EXPECT_EQ(format.hadamard_block, 128);
  EXPECT_TRUE(format.quantizes_weights);
  EXPECT_FALSE(format.quantizes_activations);
  EXPECT_EQ(
      (*quantizer)->config().dump(),
      R"({"flag":true,"learning_rate":0.001,"list":[1,2],"nested":{"a":"b"},"warmup_iters":20})");
  EXPECT_TRUE((*quantizer)->has("lambda"));
  EXPECT_FALSE((*quantizer)->has("init"));
}

TEST(QuantizerTest, BitsBecomeLevels) {
  const auto quantizer =
      load("local Q = {bits = 2} function Q.weight_quant(w) return w, 1 end return Q");
  ASSERT_TRUE(quantizer) << quantizer.error().message;
  EXPECT_EQ((*quantizer)->format().levels, (std::vector<double>{-2, -1, 0, 1}));
  EXPECT_EQ((*quantizer)->format().name, "candidate");
}

struct FieldCase {
  const char* source;
  const char* message;
};
class QuantizerFields : public ::testing::TestWithParam<FieldCase> {};

TEST_P(QuantizerFields, WrongOnesAreNamed) {
  const auto quantizer = load(GetParam().source);
  ASSERT_FALSE(quantizer);
  EXPECT_EQ(quantizer.error().code, "script_error");
  EXPECT_THAT(quantizer.error().message, StartsWith("candidate.lua:"));
  EXPECT_THAT(quantizer.error().message, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, QuantizerFields,
    ::testing::Values(
        FieldCase{"return {levels = 3}",
                  "levels must be a list of distinct finite numbers, got the number 3"},
        FieldCase{"return {levels = {}}", "got 0 elements"},
        FieldCase{"return {levels = {1, 1}}", "got 1 twice"},
        FieldCase{"return {levels = {1, 'x'}}", "got the string 'x' at place 2"},
        FieldCase{"return {levels = {1, 0/0}}", "levels must be"},
        FieldCase{"return {levels = {1, 1/0}}", "levels must be"},
        FieldCase{"return {level = {1}}", "Q has no field 'level', did you mean 'levels'?"},
        FieldCase{"return {weight_quantize = function() end}", "did you mean 'weight_quant'?"},
        FieldCase{"return {weight_quant = 3}", "weight_quant must be a function, got the number 3"},
        FieldCase{"return {bits = 0}",
                  "bits must be a whole number from 1 to 16, got the number 0"},
        FieldCase{"return {bits = 1.5}", "bits must be"},
        FieldCase{"return {bits = 2, levels = {1}}", "only one of levels, bits and codebook"},
        FieldCase{"return {codebook = {entries = 8}}", "codebook needs both"},
        FieldCase{"return {codebook = {entires = 8}}", "codebook has no field 'entires'"},
        FieldCase{"return {group = -1}", "group must be a whole number from 1"},
        FieldCase{"return {flat_groups = true}", "flat_groups needs group"},
        FieldCase{"return {activation_bits = 5}", "activation_bits must be 4, 8 or 16, got 5"},
        FieldCase{"return {scale_dtype = 'int8'}", "scale_dtype must be"},
        FieldCase{"return {blend = 'both'}", "blend must be"},
        FieldCase{"return {transform = {kind = 'fft', block = 2}}", "transform must be"},
        FieldCase{"return {transform = {kind = 'hadamard', block = 96}}", "power of two"},
        FieldCase{"return {config = {learning_rate = 1/0}}",
                  "config.learning_rate must be a finite number"},
        FieldCase{"return {config = {f = function() end}}", "config.f must be a number"},
        FieldCase{"local t = {} t.t = t return {config = t}", "nested too deeply"},
        FieldCase{"return {config = {1, 2}}", "config must have string keys"},
        FieldCase{"return {weight_quant = function() end}",
                  "weight_quant needs levels, bits or codebook"},
        FieldCase{"return {[1] = 2}", "Q has no field the number 1"},
        FieldCase{"", "the file must end with `return Q`"},
        FieldCase{"return 1, 2", "got 2 values"}, FieldCase{"return 'x'", "got the string 'x'"},
        FieldCase{"local Q = {\nx =", "candidate.lua:2:"},
        FieldCase{"\n\nerror('boom')", "candidate.lua:3: boom"},
        FieldCase{"\nlocal x = nil + 1",
                  "candidate.lua:2: attempt to perform arithmetic on a nil value"},
        FieldCase{"error({})", "error() was called with a table"}));

struct ReturnCase {
  const char* body;
  const char* message;
};
class QuantizerReturns : public ::testing::TestWithParam<ReturnCase> {};

TEST_P(QuantizerReturns, WrongOnesAreNamed) {
  const Error error = body_error(GetParam().body);
  EXPECT_EQ(error.code, "script_error");
  EXPECT_THAT(error.message, StartsWith("candidate.lua:2: weight_quant must return "));
  EXPECT_THAT(error.message, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, QuantizerReturns,
    ::testing::Values(ReturnCase{"", "weight_quant must return codes, scale, got nothing"},
                      ReturnCase{"return w", "codes, scale, got a tensor"},
                      ReturnCase{"return w, nil", "got a tensor, nil"},
                      ReturnCase{"return w, {}", "got a tensor, a table"},
                      ReturnCase{"return w, 'x'", "got a tensor, the string 'x'"},
                      ReturnCase{"return w, 1, 2", "more goes into a table"},
                      ReturnCase{"return {scale = 1}", "a table without codes"},
                      ReturnCase{"return {codes = w}", "a table without scale"},
                      ReturnCase{"return {codes = w, scale = 1, surogate = w}",
                                 "the field 'surogate'"},
                      ReturnCase{"return {codes = w, scale = true}", "as scale, got true"},
                      ReturnCase{"return {codes = w, scale = 1, codebook = w}", "got a codebook"},
                      ReturnCase{"return {w, 1}", "with names as keys"}));

TEST(QuantizerTest, TheTableFormCarriesAllParts) {
  const Result<Quantized> result = quantize(
      with_body("return {codes = w:gt(0), scale = 2, offset = w:mean(), surrogate = w * 2}"));
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->codes.scalar_type(), at::kFloat);
  EXPECT_EQ(result->scale.item<float>(), 2);
  EXPECT_TRUE(result->offset.defined());
  EXPECT_TRUE(result->surrogate.defined());
}

TEST(QuantizerTest, CodebookMustBeBrought) {
  const std::string head =
      "local Q = {codebook = {entries = 4, block = 3}} function Q.weight_quant(w) return ";
  EXPECT_THAT(quantize(head + "w, 1 end return Q").error().message, HasSubstr("codebook"));
  EXPECT_THAT(quantize(head + "{codes = w} end return Q").error().message,
              HasSubstr("without codebook"));
  const auto result =
      quantize(head + "{codes = w:int(), codebook = torch.zeros(2, 1, 4)} end return Q");
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->codebook.dim(), 3);
}

TEST(QuantizerTest, GradientsReachWeightAndParameters) {
  const auto quantizer = load(R"lua(
    local Q = {levels = {-1, 0, 1}}
    function Q.weight_quant(w, ctx)
      local s = ctx.params.s:exp()
      return {codes = (w / s):round():clamp{min = -1, max = 1}, scale = s,
              surrogate = bitloop.ste_round(w / s):clamp{min = -1, max = 1} * s}
    end
    return Q)lua");
  ASSERT_TRUE(quantizer) << quantizer.error().message;
  const at::Tensor w = at::tensor({0.2f, -0.7f, 3.0f}).view({1, 3}).requires_grad_();
  const std::map<std::string, at::Tensor> params = {{"s", at::zeros({1, 1}).requires_grad_()}};
  Context context;
  context.params = &params;
  const auto result = (*quantizer)->weight_quant(w, context);
  ASSERT_TRUE(result) << result.error().message;
  result->surrogate.sum().backward();
  // d/dw is 1 inside the clamp and 0 outside; d/ds of round(w/s) s is round(w/s) - w/s inside, the
  // bound outside.
  EXPECT_TRUE(at::allclose(w.grad(), at::tensor({1.f, 1.f, 0.f}).view({1, 3})));
  EXPECT_NEAR(params.at("s").grad().item<float>(), (0 - 0.2) + (-1 + 0.7) + 1, 1e-6);
}

TEST(QuantizerTest, WithoutGradModeNothingIsRecorded) {
  const at::NoGradGuard no_graph;
  const auto result =
      quantize(with_body("return w * 2, w:mean()"), at::ones({2, 2}).requires_grad_());
  ASSERT_TRUE(result);
  EXPECT_FALSE(result->codes.requires_grad());
}

TEST(QuantizerTest, ContextIsReadable) {
  const auto quantizer = load(R"lua(
    local Q = {}
    function Q.lambda(ctx)
      assert(ctx.step == 3 and ctx.total_steps == 12 and ctx.training == true)
      assert(ctx.layer.name == "h.0.mlp.c_fc" and ctx.layer.kind == "mlp_fc" and ctx.layer.index == 1)
      assert(ctx.layer.count == 4 and ctx.layer.in_features == 8 and ctx.layer.out_features == 16)
      assert(ctx.state.n:item() == 7 and ctx.params.p == nil)
      local names = {}
      for k in pairs(ctx) do names[#names + 1] = k end
      assert(table.concat(names, " ") == "layer params progress state step total_steps training")
      return ctx.progress
    end
    return Q)lua");
  ASSERT_TRUE(quantizer) << quantizer.error().message;
  const Layer layer{"h.0.mlp.c_fc", 1, 4, "mlp_fc", 8, 16};
  const std::map<std::string, at::Tensor> state = {{"n", at::full({}, 7.0)}};
  Context context{3, 12, true, &layer, nullptr, &state};
  const auto result = (*quantizer)->lambda(context);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_DOUBLE_EQ(*result, 0.25);
}

TEST(QuantizerTest, ContextIsReadOnly) {
  for (const char* body :
       {"ctx.step = 2", "ctx.layer.name = 'x'", "ctx.state.n = 1", "ctx.params.q = 1"}) {
    const auto quantizer =
        load("local Q = {} function Q.lambda(ctx) " + std::string(body) + " return 1 end return Q");
    const Layer layer;
    Context context;
    context.layer = &layer;
    const auto result = (*quantizer)->lambda(context);
    ASSERT_FALSE(result) << body;
    EXPECT_THAT(result.error().message, HasSubstr("read-only"));
  }
}

TEST(QuantizerTest, LambdaIsAShare) {
  for (const char* value : {"1.5", "-0.1", "0/0", "'x'", "nil", "{}"}) {
    const auto quantizer =
        load("return {lambda = function() return " + std::string(value) + " end}");
    const auto result = (*quantizer)->lambda(Context{});
    ASSERT_FALSE(result) << value;
    EXPECT_THAT(result.error().message, HasSubstr("lambda must return a number from 0 to 1"));
  }
}

TEST(QuantizerTest, InitGivesParametersStateAndWeight) {
  const auto quantizer = load(R"lua(
    local Q = {}
    function Q.init(layer)
      return {params = {s = {value = layer.weight:abs():mean(), lr_scale = 0.1, weight_decay = 0.01},
                        t = torch.ones(layer.out_features, 1)},
              state = {n = 0}, weight = layer.weight * 2}
    end
    return Q)lua");
  ASSERT_TRUE(quantizer) << quantizer.error().message;
  const at::Tensor w = at::full({2, 3}, 4.0f);
  const auto result = (*quantizer)->init(Layer{"l", 0, 1, "mlp_fc", 3, 2}, w);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->params.at("s").value.item<float>(), 4);
  EXPECT_EQ(result->params.at("s").lr_scale, 0.1);
  EXPECT_EQ(result->params.at("s").weight_decay, 0.01);
  EXPECT_EQ(result->params.at("t").value.size(0), 2);
  EXPECT_EQ(result->params.at("t").lr_scale, 1);
  EXPECT_EQ(result->state.at("n").item<float>(), 0);
  EXPECT_EQ(result->weight.sum().item<float>(), 48);
}

TEST(QuantizerTest, AfterStepReplacesTheStateByTheSameNames) {
  const std::map<std::string, at::Tensor> state = {{"n", at::zeros({2})}};
  const auto run = [&](const std::string& value) {
    const auto quantizer =
        load("return {after_step = function(layer, ctx) return " + value + " end}");
    Context context;
    context.state = &state;
    return (*quantizer)->after_step(context, at::ones({2, 2}));
  };
  const auto good = run("{n = ctx.state.n + layer.codes:sum{dim = 1}}");
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_TRUE(at::equal(good->at("n"), at::full({2}, 2.0f)));
  EXPECT_FALSE(run("{n = 1}"));
  EXPECT_FALSE(run("{}"));
  EXPECT_FALSE(run("{n = ctx.state.n, m = 1}"));
  EXPECT_FALSE(run("nil"));
}

TEST(QuantizerTest, TheOtherFunctionsReturnTensors) {
  const auto quantizer = load(R"lua(
    local Q = {}
    function Q.row_bias(w, codes, ctx) return (w - codes):mean{dim = 1} end
    function Q.input(x, ctx) return x * 2 end
    function Q.regularizer(w, value, ctx) return (w - value):square():sum() end
    return Q)lua");
  ASSERT_TRUE(quantizer) << quantizer.error().message;
  const at::Tensor w = at::full({2, 3}, 2.0f), ones = at::ones({2, 3});
  EXPECT_TRUE(at::equal((*quantizer)->row_bias(w, ones, Context{}).value(), at::ones({2})));
  EXPECT_TRUE(at::equal((*quantizer)->input(w, Context{}).value(), w * 2));
  EXPECT_EQ((*quantizer)->regularizer(w, ones, Context{})->item<float>(), 6);
}

TEST(QuantizerTest, AFunctionThatIsAbsentIsAnError) {
  const auto quantizer = load("return {}");
  EXPECT_EQ((*quantizer)->weight_quant(at::ones({1, 1}), Context{}).error().message,
            "candidate.lua: Q.weight_quant is not defined");
}

TEST(QuantizerTest, RuntimeErrorsCarryTheInnermostLine) {
  EXPECT_EQ(body_error("return w:abs(),\n  w:abss()").message,
            "candidate.lua:4: a Tensor has no method 'abss': did you mean 'abs'?");
  EXPECT_THAT(body_error("\n\nreturn w:matmul(w)").message,
              StartsWith("candidate.lua:5: matmul: "));
  EXPECT_THAT(body_error("local function f() error('deep') end\nf()").message,
              StartsWith("candidate.lua:3: deep"));
  EXPECT_THAT(body_error("error()").message,
              StartsWith("candidate.lua:3: error() was called with nil"));
  EXPECT_THAT(body_error("print(w)").message, HasSubstr("there is no output here"));
}

TEST(QuantizerTest, TheStateIsUsableAfterAnError) {
  const auto quantizer = load(with_body("if ctx.step == 0 then error('x') end return w, 1"));
  EXPECT_FALSE((*quantizer)->weight_quant(at::ones({1, 1}), Context{}));
  EXPECT_TRUE((*quantizer)->weight_quant(at::ones({1, 1}), Context{1, 2}));
}

TEST(QuantizerTest, DigestSeesWhatACallRemembers) {
  const auto changes = [](const std::string& prefix, const std::string& body) {
    const auto quantizer = load(prefix + "\n" + with_body(body + " return w, 1"));
    EXPECT_TRUE(quantizer) << quantizer.error().message;
    const std::string before = (*quantizer)->state_digest();
    EXPECT_EQ(before, (*quantizer)->state_digest());
    (void)(*quantizer)->weight_quant(at::ones({1, 1}), Context{});
    return before != (*quantizer)->state_digest();
  };
  EXPECT_FALSE(changes("local n = 0", "local m = n + 1"));
  EXPECT_FALSE(changes("local t = torch.ones(3)", "local m = t + 1"));
  EXPECT_TRUE(changes("local n = 0", "n = n + 1"));
  EXPECT_TRUE(changes("local n = 0", "n = 0.0"));
  EXPECT_TRUE(changes("local t", "t = w"));
  EXPECT_TRUE(changes("local t", "t = {}"));
  EXPECT_TRUE(changes("local f = function() end", "f = function() end"));
  EXPECT_TRUE(changes("local n = 0 local function f() n = n + 1 end", "f()"));
  EXPECT_TRUE(changes(
      "local t = {g = (function() local n = 0 return function() n = n + 1 end end)()}", "t.g()"));
  EXPECT_TRUE(changes("", "_ENV = {}"));
}

TEST(QuantizerTest, TensorsEndWithTheirCall) {
  const auto quantizer =
      load("local kept\n" + with_body("if kept then return kept, 1 end kept = w * 1 return w, 1"));
  EXPECT_TRUE((*quantizer)->weight_quant(at::ones({1, 1}), Context{}));
  EXPECT_THAT((*quantizer)->weight_quant(at::ones({1, 1}), Context{}).error().message,
              HasSubstr("belongs to an earlier call"));
}

}  // namespace
}  // namespace bitloop::lua
