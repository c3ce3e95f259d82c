// The gradients of ranks add up to those of one process, within what float32 sums allow; errors of
// one rank are everybody's.
#include "trainer/distributed/meeting.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>

#include "tests/trainer/distributed/processes.h"
#include "tests/trainer/fixture.h"
#include "trainer/loop/step.h"
#include "trainer/model/device_step.h"

namespace bitloop::trainer {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

constexpr int64_t kMicroBatches = 8;

// A scale that is learned from activations, and only where they are large: some micro-batches, and
// with them some ranks, have no gradient of it.
constexpr const char* kSometimesLua = R"(
local Q = {name = "s", levels = {-1, 0, 1}}
function Q.init(layer) return {params = {s = {value = torch.full({1}, 1)}}} end
function Q.weight_quant(w, ctx)
  local scale = w:abs():mean():clamp{min = 1e-5}
  return (w / scale):round():clamp{min = -1, max = 1}, scale
end
function Q.activation_quant(x, ctx)
  local scale = x:abs():amax{dim = -1, keepdim = true}:clamp{min = 1e-5} / 127
  local codes = (x / scale):round():clamp{min = -128, max = 127}
  if x:mean() > 0 then return {codes = codes, scale = scale, surrogate = x * ctx.params.s} end
  return codes, scale
end
return Q
)";

struct Trained {
  std::unique_ptr<Run> run;
  ForwardContext context;
};

Trained make_run(const char* candidate) {
  Trained made{std::make_unique<Run>(), {}};
  Run& run = *made.run;
  run.job.model = small_model();
  run.model = std::make_unique<Transformer>(run.job.model, false, 5);
  run.quantizer = quantizer_from(candidate);
  if (run.quantizer->has("init"))
    for (BitLinear* layer : run.model->bitlinears()) {
      auto init = run.quantizer->init(layer->layer, layer->weight.detach());
      EXPECT_TRUE(init) << (init ? "" : init.error().message);
      for (auto& [name, param] : init->params) {
        layer->params[name] = param.value.requires_grad_(true);
        run.quantizer_slots.push_back({layer->params[name], 1.0, 0.0, layer->layer.name + name});
      }
    }
  made.context = {.quantizer = run.quantizer.get(),
                  .total_steps = 10,
                  .training = true,
                  .products = Products::kFloat32};
  const Status quantized = run.model->quantize_weights(made.context);
  EXPECT_TRUE(quantized) << (quantized ? "" : quantized.error().message);
  return made;
}

// Backward of micro-batch i of the step; its share of the loss.
double pass(Trained& trained, int64_t i) {
  at::manual_seed(static_cast<uint64_t>(100 + i));
  const int64_t T = trained.run->job.model.context;
  const at::Tensor ids = at::randint(0, 17, {2, T + 1}, at::kLong);
  const auto logits =
      trained.run->model->forward(ids.narrow(1, 0, T).contiguous(), trained.context);
  EXPECT_TRUE(logits) << (logits ? "" : logits.error().message);
  const at::Tensor loss =
      at::cross_entropy_loss(*logits, ids.narrow(1, 1, T).contiguous().view({-1}));
  torch::autograd::backward({loss / static_cast<double>(kMicroBatches)}, {});
  return loss.item<double>();
}

using Gradients = std::map<std::string, at::Tensor>;

// Of everything that a step sums over ranks, and takes it away.
Gradients take_gradients(Run& run) {
  Gradients all;
  const auto take = [&](const std::string& name, const at::Tensor& tensor) {
    if (!tensor.defined() || !tensor.grad().defined()) return;
    all[name] = tensor.grad().to(at::kDouble);
    tensor.mutable_grad() = at::Tensor();
  };
  for (BitLinear* layer : run.model->bitlinears()) take(layer->layer.name, layer->used_weight);
  for (const auto& [name, tensor] : run.model->named_parameters()) take(name, tensor);
  for (const AdamW::Slot& slot : run.quantizer_slots) take(slot.name, slot.parameter);
  return all;
}

class MeetingTest : public ::testing::TestWithParam<const char*> {};

// The bound: whatever the order of adding n float32 numbers g_m, each of the n - 1 additions errs
// by at most u = 2^-24 times a partial sum, which is at most the sum of all |g_m|; so two orders
// differ by at most 2 (n - 1) u times that sum, and a bit (u^2) more. Each g_m itself is the same
// bits in every process.
TEST_P(MeetingTest, GradientsAreThoseOfOneProcess) {
  const std::string candidate = GetParam();
  for (const unsigned count : {2U, 4U}) {
    const auto statuses = run_ranks(count, 60, [&](Ranks& ranks) {
      Trained alone = make_run(candidate.c_str());
      Gradients magnitude;
      double loss_alone = 0.0;
      for (int64_t i = 0; i < kMicroBatches; ++i) {
        loss_alone += pass(alone, i);
        for (const auto& [name, gradient] : take_gradients(*alone.run))
          magnitude[name] =
              magnitude.contains(name) ? magnitude[name] + gradient.abs() : gradient.abs();
      }
      for (int64_t i = 0; i < kMicroBatches; ++i) pass(alone, i);
      const Gradients wanted = take_gradients(*alone.run);

      Trained together = make_run(candidate.c_str());
      // The run owns its ranks; these are the test's.
      together.run->ranks.reset(&ranks);
      double loss = 0.0;
      const int64_t share = kMicroBatches / ranks.count();
      for (int64_t i = 0; i < share; ++i) loss += pass(together, ranks.rank() * share + i);
      const Result<double> sum = add_up(*together.run, loss);
      EXPECT_TRUE(sum) << (sum ? "" : sum.error().message);
      EXPECT_NEAR(sum.value_or(0), loss_alone, 1e-12 * loss_alone);
      const Gradients got = take_gradients(*together.run);
      EXPECT_EQ(got.size(), wanted.size());
      constexpr double kUnit = 0x1p-24;
      for (const auto& [name, gradient] : wanted) {
        if (!got.contains(name)) {
          ADD_FAILURE() << name << " has no gradient";
          continue;
        }
        const at::Tensor bound = magnitude[name] * (2.01 * (kMicroBatches - 1) * kUnit);
        EXPECT_TRUE(((got.at(name) - gradient).abs() <= bound).all().item<bool>()) << name;
      }
      EXPECT_TRUE(same_weights(*together.run, 0));
      (void)together.run->ranks.release();
      return true;
    });
    EXPECT_THAT(statuses, Each(0)) << count;
  }
}

INSTANTIATE_TEST_SUITE_P(Candidates, MeetingTest, ::testing::Values(kTernaryLua, kSometimesLua));

TEST(MeetingFaultTest, WhatOneRankFailsOfIsEverybodysError) {
  const auto statuses = run_ranks(3, 60, [](Ranks& ranks) {
    Trained trained = make_run(kTernaryLua);
    trained.run->ranks.reset(&ranks);
    Result<double> mine = 1.0;
    if (ranks.rank() == 1) mine = fail("diverged", "the loss of rank 1 is not finite");
    if (ranks.rank() == 2) mine = caught([]() -> Result<double> { throw std::bad_alloc(); });
    const auto sum = add_up(*trained.run, mine);
    (void)trained.run->ranks.release();
    if (sum) return false;
    EXPECT_EQ(sum.error().code, "diverged");  // of the lowest rank that failed
    EXPECT_EQ(sum.error().message, "the loss of rank 1 is not finite");
    return true;
  });
  EXPECT_THAT(statuses, Each(0));
}

// A step on the accelerator's path, over plain loops: micro-batches of one sequence, gradients that
// are summed while the last one's pass still runs, or afterwards.
struct DeviceRun {
  Run run;
  std::unique_ptr<AdamW> optimizer;

  explicit DeviceRun(Ranks* ranks, bool early) {
    ModelConfig& model = run.job.model;
    model = small_model();
    model.width = 64;
    model.vocab_size = 100;
    model.padded_vocab_size = 128;
    model.context = 24;
    run.job.train.batch = 4;
    run.job.train.micro_batch = 1;
    if (ranks != nullptr) {
      run.job.ranks.rank = ranks->rank();
      run.job.ranks.count = ranks->count();
    }
    run.model = std::make_unique<Transformer>(model, false, 5);
    run.quantizer = quantizer_from(kTernaryLua);
    run.data.train = TokenStream::from_bytes(std::string(2000, 'a') + std::string(2000, 'b'));
    run.kernels = kernels::reference_kernels();
    auto pass = std::make_unique<DeviceTraining>(*run.model, 1, *run.kernels, false);
    const auto on_cpu = quantizer_from(kTernaryLua);
    EXPECT_TRUE(pass->capture(*on_cpu, run.context(0, true)));
    run.fused = std::move(pass);
    optimizer = std::make_unique<AdamW>(make_optimizer(run));
    run.ranks.reset(ranks);
    if (ranks == nullptr) return;
    const auto all = all_sum_early(run);
    EXPECT_TRUE(all && *all);
    run.sums_early = early;
  }
  ~DeviceRun() { (void)run.ranks.release(); }

  // The losses of three steps.
  std::vector<double> train() {
    std::vector<double> losses;
    for (int64_t step = 0; step < 3; ++step) {
      const auto result = train_step(run, *optimizer, step);
      EXPECT_TRUE(result) << (result ? "" : result.error().message);
      losses.push_back(result ? result->loss : 0);
    }
    return losses;
  }
};

TEST(EarlySumsTest, StepsHaveTheBitsOfThoseThatSumAfterwards) {
  const auto statuses = run_ranks(2, 60, [](Ranks& ranks) {
    EXPECT_TRUE(ranks.prepare_early_sums(at::kCPU));
    DeviceRun early(&ranks, true), late(&ranks, false);
    EXPECT_EQ(early.train(), late.train());
    const auto expected = late.run.state_tensors();
    size_t i = 0;
    for (const auto& [name, tensor] : early.run.state_tensors())
      EXPECT_TRUE(at::equal(tensor, expected.at(i++).second)) << name;
    DeviceRun again(&ranks, true), alone(nullptr, false);
    const std::vector<double> losses = again.train(), wanted = alone.train();
    for (size_t step = 0; step < wanted.size(); ++step)
      EXPECT_NEAR(losses[step], wanted[step], 1e-4 * wanted[step]);
    return true;
  });
  EXPECT_THAT(statuses, Each(0));
}

TEST(EarlySumsTest, ARankThatFailsInItsLastPassLeavesNobodyWaiting) {
  const auto statuses = run_ranks(2, 60, [](Ranks& ranks) {
    EXPECT_TRUE(ranks.prepare_early_sums(at::kCPU));
    DeviceRun trained(&ranks, true);
    EarlySums sums(ranks, trained.run.fused->early_gradients());
    if (ranks.first()) {
      sums.begin(0);
      sums.begin(1);
    }
    const Result<double> mine =
        ranks.first() ? Result<double>(1.0) : fail("out_of_memory", "rank 1 has none left");
    const auto sum = add_up(trained.run, mine, &sums);
    if (sum) return false;
    EXPECT_EQ(sum.error().message, "rank 1 has none left");
    return true;
  });
  EXPECT_THAT(statuses, Each(0));
}

TEST(MeetingFaultTest, RanksThatDriftedApartAreNoticed) {
  const auto statuses = run_ranks(3, 60, [](Ranks& ranks) {
    Trained trained = make_run(kTernaryLua);
    auto& run = *trained.run;
    run.loaded_digest = run.quantizer->state_digest();
    run.ranks.reset(&ranks);
    EXPECT_TRUE(same_weights(run, 0));
    const at::NoGradGuard no_grad;
    if (ranks.rank() == 2) {  // the smallest change of one number
      float& one = run.model->named_parameters()[3].second.data_ptr<float>()[7];
      one = std::nextafter(one, 1.0f);
    }
    const Status same = same_weights(run, 100);
    (void)run.ranks.release();
    if (same) return false;
    EXPECT_EQ(same.error().code, "infrastructure");
    EXPECT_THAT(same.error().message, HasSubstr("after 100 steps rank 2 has other weights"));
    return true;
  });
  EXPECT_THAT(statuses, Each(0));
}

TEST(MeetingFaultTest, AFunctionThatRemembersIsToBlameForADrift) {
  const auto statuses = run_ranks(2, 60, [](Ranks& ranks) {
    Trained trained = make_run(kTernaryLua);
    auto& run = *trained.run;
    run.loaded_digest = "of variables that were others";
    run.ranks.reset(&ranks);
    const at::NoGradGuard no_grad;
    if (!ranks.first()) run.model->named_parameters()[0].second.data_ptr<float>()[0] = 9;
    const Status same = same_weights(run, 100);
    (void)run.ranks.release();
    return !same && same.error().code == "rejected";
  });
  EXPECT_THAT(statuses, Each(0));
}

TEST(MeetingStateTest, AllRanksGoOnFromWhatTheFirstFound) {
  const auto statuses = run_ranks(2, 60, [](Ranks& ranks) {
    Trained trained = make_run(kTernaryLua);
    auto& run = *trained.run;
    run.ranks.reset(&ranks);
    AdamW optimizer({{run.model->named_parameters()[0].second, 1.0, 0.0, "one"}}, TrainConfig{});
    Progress progress;
    const at::NoGradGuard no_grad;
    if (ranks.first()) {
      progress.steps = 30;
      optimizer.set_steps_done(29);
      for (const auto& [name, tensor] : run.state_tensors()) tensor.detach().fill_(0.25);
      for (const auto& [name, tensor] : optimizer.moments()) tensor.fill_(-0.0);
    }
    const Status shared = share_state(run, optimizer, progress);
    EXPECT_TRUE(shared) << (shared ? "" : shared.error().message);
    EXPECT_EQ(progress.steps, 30);
    EXPECT_EQ(optimizer.steps_done(), 29);
    for (const auto& [name, tensor] : run.state_tensors())
      EXPECT_TRUE(tensor.detach().eq(0.25).all().item<bool>()) << name;
    for (const auto& [name, tensor] : optimizer.moments())
      EXPECT_TRUE(tensor.signbit().all().item<bool>()) << name;
    (void)run.ranks.release();
    return true;
  });
  EXPECT_THAT(statuses, Each(0));
}

}  // namespace
}  // namespace bitloop::trainer

// Forks must be of a process without threads.
int main(int argc, char** argv) {
  at::set_num_threads(1);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
