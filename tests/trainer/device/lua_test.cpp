// Quantizer files on a GPU against the CPU.
#include "lua/tensor/hadamard.h"
#include "tests/trainer/device/fixture.h"
#include "trainer/model/code_tensors.h"
#include "trainer/model/quantize.h"

namespace bitloop::trainer {
namespace {

using DeviceLua = DeviceTest;

std::string with_body(const std::string& body) {
  return "local Q = {levels = {-1, 0, 1}}\nfunction Q.weight_quant(w, ctx)\n" + body +
         "\nend\nreturn Q\n";
}

// What an expression of w gives on the device.
at::Tensor evaluate(at::Device device, const std::string& expression, const at::Tensor& w) {
  const auto quantizer = quantizer_on(device, with_body("return " + expression + ", 1"));
  const auto made = quantizer->weight_quant(w.to(device), {});
  EXPECT_TRUE(made) << expression << ": " << (made ? "" : made.error().message);
  return made ? made->codes : at::Tensor();
}

TEST_F(DeviceLua, TensorsAreMadeOnTheDevice) {
  const at::Tensor w = at::tensor({0.5f, -2.0f, 3.0f, 0.25f, -1.0f, 0.0f}).view({2, 3});
  for (const char* expression : {"w + torch.zeros(2, 3)",
                                 "w * torch.full({2, 3}, 2)",
                                 "w + torch.ones(2, 3)",
                                 "w:mm(torch.eye(3))",
                                 "w + torch.arange(3)",
                                 "w + torch.linspace(0, 1, 3)",
                                 "w + torch.tensor({1, 2, 3})",
                                 "w * torch.tensor(2)",
                                 "torch.where(w:gt(0), 1, -1)",
                                 "torch.where(w:gt(0), w, 0)",
                                 "w + torch.maximum(1, 2)",
                                 "torch.stack({w:sum(), torch.mul(1.5, 2)})",
                                 "w:hypot(2)",
                                 "w:logaddexp(2)",
                                 "w:heaviside(0.5)",
                                 "w:quantile(0.5)",
                                 "w:fmax(0.1)",
                                 "torch.pow(2, w)",
                                 "2 - w",
                                 "7 % w:clamp_min(1)",
                                 "torch.bucketize(0.3, torch.arange(3)):float()",
                                 "w:sinc()",
                                 "w:frexp()",
                                 "w:sort()",
                                 "w:cumsum(1)",
                                 "w:median(1)",
                                 "w:topk(2)",
                                 "w:gather(1, torch.zeros(2, 3):int())",
                                 "torch.one_hot(torch.zeros(2):int(), 3)",
                                 "bitloop.blocks(w, 2)",
                                 "w:cdist(w + 1)",
                                 "w:std()",
                                 "w:norm()",
                                 "w:softmax(1)",
                                 "w:index_select(1, torch.tensor({0, 2}))",
                                 "w:scatter(1, torch.zeros(2, 1):int(), 5)",
                                 "torch.isin(w, torch.tensor({0.5})):float()",
                                 "w:histc(4, -1, 1)",
                                 "w:erfinv():nan_to_num()"}) {
    const at::Tensor got = evaluate(cuda(), expression, w),
                     want = evaluate(at::kCPU, expression, w);
    EXPECT_TRUE(got.is_cuda()) << expression;
    EXPECT_TRUE(at::allclose(got.cpu(), want, 1e-5, 1e-6)) << expression << "\n" << got << want;
  }
}

TEST_F(DeviceLua, NumbersAndTextOfTensorsAreTheSame) {
  const at::Tensor w = at::tensor({0.5f, -2.0f, 3.0f, 0.25f}).view({2, 2});
  for (const char* expression :
       {"w * w:max():item()", "w * w:tolist()[2][1]", "w * #tostring(w)",
        "w * (w:sum() < 5 and 1 or 2)", "w * (torch.equal(w, w) and 3 or 4)"})
    EXPECT_TRUE(at::equal(evaluate(cuda(), expression, w).cpu(), evaluate(at::kCPU, expression, w)))
        << expression;
}

TEST_F(DeviceLua, AWrongPlaceIsAnErrorAndTheDeviceStaysUsable) {
  const at::Tensor w = at::ones({2, 3}).to(cuda());
  for (const char* expression :
       {"w:gather(1, torch.full({2, 3}, 6):int())",
        "w:gather(1, torch.tensor({{0, 6, 2}, {0, 1, 2}}):int())",
        "w:index_select(0, torch.tensor({6}))", "w:take(torch.tensor({6}))",
        "w:scatter(1, torch.full({2, 1}, 6):int(), 1)",
        "torch.one_hot(torch.full({2}, 6):int(), 3)",
        "w:index_add(0, torch.tensor({6}), w:narrow(0, 0, 1))",
        "w:take_along_dim(torch.full({2}, 6):int())"}) {
    const auto quantizer =
        quantizer_on(cuda(), with_body(std::string("return ") + expression + ", 1"));
    const auto made = quantizer->weight_quant(w, {});
    ASSERT_FALSE(made) << expression;
    EXPECT_EQ(made.error().code, "script_error");
    EXPECT_NE(made.error().message.find("index 6 is out of bounds"), std::string::npos)
        << made.error().message;
  }
  EXPECT_EQ(w.sum().item<float>(), 6.0f);
}

TEST_F(DeviceLua, TensorBytesOnTheDeviceAreLimited) {
  lua::Limits limits;
  limits.tensor_bytes = 8 << 20;
  const auto quantizer = lua::Quantizer::load(
      with_body(
          "local all = {}\nfor i = 1, 100 do all[i] = torch.zeros(256, 1024) end\nreturn w, 1"),
      "candidate.lua", limits, cuda());
  ASSERT_TRUE(quantizer);
  const auto made = (*quantizer)->weight_quant(at::ones({2, 2}).to(cuda()), {});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, "out_of_memory");
}

TEST_F(DeviceLua, AChangedUpvalueChangesTheDigest) {
  const auto quantizer =
      quantizer_on(cuda(),
                   "local kept = torch.zeros(2)\nlocal Q = {levels = {-1, 1}}\n"
                   "function Q.weight_quant(w) kept = kept + 1; return w, 1 end\nreturn Q");
  const std::string before = quantizer->state_digest();
  EXPECT_EQ(quantizer->state_digest(), before);
  ASSERT_TRUE(quantizer->weight_quant(at::ones({2, 2}).to(cuda()), {}));
  EXPECT_NE(quantizer->state_digest(), before);
}

TEST_F(DeviceLua, HadamardIsTheSameToTheBit) {
  const at::Tensor x = at::randn({64, 1024});
  EXPECT_TRUE(at::equal(lua::block_hadamard(x.to(cuda()), 128).cpu(), lua::block_hadamard(x, 128)));
}

TEST_F(DeviceLua, CodesAreMadeTheSame) {
  const std::vector<double> few = {-1, 0, 1};
  std::vector<double> many;
  for (int i = -60; i <= 60; ++i) many.push_back(i * 0.5);
  for (const auto& levels : {few, many}) {
    at::Tensor codes = at::tensor(levels, at::kDouble)
                           .to(at::kFloat)
                           .index_select(0, at::randint(std::ssize(levels), {6000}, at::kLong));
    for (const float odd : {0.0f, 0.3f, NAN}) {
      codes[4321] = odd;
      const auto got = codes::snap_to_levels(codes.to(cuda()), levels),
                 want = codes::snap_to_levels(codes, levels);
      EXPECT_EQ(got.bad, want.bad);
      EXPECT_TRUE(want.bad >= 0 || at::equal(got.made.cpu(), want.made));
      const auto packed = codes::pack_int8(codes.to(cuda()), 2.0f, -127, 127),
                 wanted = codes::pack_int8(codes, 2.0f, -127, 127);
      EXPECT_EQ(packed.bad, wanted.bad);
      EXPECT_TRUE(wanted.bad >= 0 || at::equal(packed.made.cpu(), wanted.made));
      EXPECT_EQ(codes::find_non_integer(codes.to(cuda()) * 2, -120, 120),
                codes::find_non_integer(codes * 2, -120, 120));
    }
  }
  const at::Tensor numbers =
      at::randn({5000}) * at::exp2(at::randint(-26, 12, {5000}).to(at::kFloat));
  EXPECT_TRUE(at::equal(codes::round_stored(numbers.to(cuda()), true).cpu(),
                        codes::round_stored(numbers, true)));
  for (const auto& [R, N, K] : {std::tuple{64, 48, 128}, {16, 48, 128}, {64, 17, 33}, {3, 5, 7}}) {
    const at::Tensor x = at::randint(-128, 128, {R, K}, at::kChar),
                     w = at::randint(-128, 128, {N, K}, at::kChar);
    EXPECT_TRUE(at::equal(codes::multiply(x.to(cuda()), w.to(cuda())).cpu(), codes::multiply(x, w)))
        << R << " " << N << " " << K;
  }
}

// What a GPU computes of a weight or an activation may differ by a rounding, which moves a code
// only at a boundary between two: 1e-5 of their distance on either side, so 2e-5 of the codes, and
// then to the neighbour.
void expect_near_codes(const at::Tensor& got, const at::Tensor& want, double step,
                       const std::string& what) {
  const at::Tensor off = (got.cpu() - want).abs();
  EXPECT_LE(off.count_nonzero().item<int64_t>(), 4 + want.numel() / 10'000) << what;
  EXPECT_LE(off.max().item<double>(), step * 1.0001) << what;
}

double largest_step(const lua::Format& format) {
  double step = 0;
  for (size_t i = 1; i < format.levels.size(); ++i)
    step = std::max(step, format.levels[i] - format.levels[i - 1]);
  return step;
}

TEST_F(DeviceLua, EveryShippedQuantizerGivesTheSameCodesAndScales) {
  const at::NoGradGuard no_grad;
  at::manual_seed(5);
  const at::Tensor w = at::randn({64, 256}) * 0.02, x = at::randn({96, 256});
  for (const std::string& name : shipped_names()) {
    const std::string text = shipped_text(name);
    const auto here = quantizer_on(at::kCPU, text), there = quantizer_on(cuda(), text);
    const lua::Layer layer{
        .name = "h.0.attn.c_attn", .kind = "attn_qkv", .in_features = 256, .out_features = 64};
    lua::InitResult first, second;
    std::map<std::string, at::Tensor> params, params_there;
    if (here->has("init")) {
      first = *here->init(layer, w);
      second = *there->init(layer, w.to(cuda()));
      for (const auto& [param, made] : first.params) {
        params[param] = made.value;
        const at::Tensor value = params_there[param] = second.params.at(param).value;
        EXPECT_TRUE(value.is_cuda()) << name;
        EXPECT_TRUE(at::allclose(value.cpu(), made.value, 1e-5, 1e-7)) << name << " " << param;
      }
    }
    const lua::Format& format = here->format();
    const auto context = [&](const auto& with, const auto& state) {
      return lua::Context{
          .step = 1, .total_steps = 4, .layer = &layer, .params = &with, .state = &state};
    };
    const auto compare = [&](const Result<Operand>& got, const Result<Operand>& want, double step) {
      ASSERT_TRUE(want) << name << ": " << want.error().message;
      ASSERT_TRUE(got) << name << ": " << got.error().message;
      EXPECT_TRUE(got->value.is_cuda()) << name;
      expect_near_codes(got->codes, want->codes, step, name);
      EXPECT_TRUE(!want->scale.defined() || at::allclose(got->scale.cpu(), want->scale, 1e-3, 1e-7))
          << name;
      EXPECT_EQ(got->codes_int8.defined(), want->codes_int8.defined()) << name;
      EXPECT_EQ(got->stored_numbers, want->stored_numbers) << name;
    };
    if (here->has("weight_quant")) {
      const auto want = here->weight_quant(w, context(params, first.state));
      const auto got = there->weight_quant(w.to(cuda()), context(params_there, second.state));
      ASSERT_TRUE(want && got) << name << (got ? "" : got.error().message);
      compare(make_weight_operand(*got, w.to(cuda()), format, "l"),
              make_weight_operand(*want, w, format, "l"), largest_step(format));
    }
    if (here->has("activation_quant")) {
      const auto want = here->activation_quant(x, context(params, first.state));
      const auto got = there->activation_quant(x.to(cuda()), context(params_there, second.state));
      ASSERT_TRUE(want && got) << name << (got ? "" : got.error().message);
      auto a = make_activation_operand(*want, x, format, "l"),
           b = make_activation_operand(*got, x.to(cuda()), format, "l");
      ASSERT_TRUE(a && b) << name;
      materialise_value(*a, x, format);
      materialise_value(*b, x.to(cuda()), format);
      compare(b, a, 1.0);
    }
  }
}

}  // namespace
}  // namespace bitloop::trainer
