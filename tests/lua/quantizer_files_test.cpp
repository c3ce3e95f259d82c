// One contract, over every file in quantizers/.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>

#include "tests/lua/fixture.h"

namespace bitloop::lua {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::vector<std::string> quantizer_files() {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(BITLOOP_SOURCE_DIR) + "/quantizers")) {
    if (entry.path().extension() == ".lua") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// A fixed matrix of both signs, without randomness: (n, k).
at::Tensor wave(int64_t n, int64_t k) {
  const at::Tensor t = at::arange(n * k, at::kFloat).view({n, k});
  return at::sin(t * 12.9898) * at::exp(at::cos(t * 0.37)) * 0.02;
}

class QuantizerFiles : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    source_ = read(std::string(BITLOOP_SOURCE_DIR) + "/quantizers/" + GetParam() + ".lua");
    auto loaded = load(source_, Limits{});
    ASSERT_TRUE(loaded) << loaded.error().message;
    quantizer_ = std::move(*loaded);
  }
  // weight_quant of w with the parameters that init gives for it.
  Quantized weights(const at::Tensor& w) {
    init(w);
    Result<Quantized> result = quantizer_->weight_quant(w, context_);
    EXPECT_TRUE(result) << result.error().message;
    return result ? *result : Quantized{};
  }
  Result<Quantized> activations(const at::Tensor& x) {
    init(wave(4, x.size(1)));
    return quantizer_->activation_quant(x, context_);
  }
  void init(const at::Tensor& w) {
    if (!quantizer_->has("init")) return;
    layer_.out_features = w.size(0);
    layer_.in_features = w.size(1);
    const Result<InitResult> made = quantizer_->init(layer_, w);
    ASSERT_TRUE(made) << made.error().message;
    params_.clear();
    state_ = made->state;
    for (const auto& [name, param] : made->params) params_[name] = param.value;
  }
  // A scale as it counts for each element of w.
  at::Tensor spread(const at::Tensor& scale, const at::Tensor& w) {
    const Format& format = quantizer_->format();
    if (format.group == 0 || scale.numel() == 1) return scale.expand_as(w);
    if (format.flat_groups)
      return scale.repeat_interleave(format.group, 0).narrow(0, 0, w.numel()).view_as(w);
    return scale.repeat_interleave(format.group, 1).narrow(1, 0, w.size(1));
  }
  // The largest distance of a code to the nearest level.
  double off_level(const at::Tensor& codes) {
    double worst = 0;
    const at::Tensor levels = at::tensor(quantizer_->format().levels).to(at::kFloat);
    worst = (codes.unsqueeze(-1) - levels).abs().amin(-1).max().item<double>();
    return worst;
  }

  std::string source_;
  std::unique_ptr<Quantizer> quantizer_;
  std::map<std::string, at::Tensor> params_, state_;
  Layer layer_{.name = "h.0.mlp.c_fc", .kind = "mlp_fc"};
  Context context_{.layer = &layer_, .params = &params_, .state = &state_};
};

TEST_P(QuantizerFiles, SaysWhatItIs) {
  EXPECT_EQ(quantizer_->format().name, GetParam());
  EXPECT_FALSE(quantizer_->format().doc.empty());
  for (const char* line :
       {"-- BEGIN EDITABLE quantizer\n", "-- BEGIN EDITABLE config\n", "-- END EDITABLE\n",
        "-- Paper:", "-- Weights:", "-- Activations:", "-- Bits a weight:"}) {
    EXPECT_NE(source_.find(line), std::string::npos) << line;
  }
  EXPECT_TRUE(quantizer_->config().empty());
}

TEST_P(QuantizerFiles, CodesAreLevelsAndShapesFit) {
  if (!quantizer_->has("weight_quant")) return;  // weights stay float
  for (const at::Tensor& w :
       {wave(16, 24), wave(1, 1), at::zeros({3, 5}), wave(7, 128) * 1e4, wave(4, 8) * 1e-9}) {
    const Quantized result = weights(w);
    EXPECT_EQ(result.codes.sizes(), w.sizes());
    if (const int64_t entries = quantizer_->format().codebook_entries; entries > 0) {
      const int64_t block = quantizer_->format().codebook_block;
      EXPECT_TRUE(at::equal(result.codes, result.codes.round().clamp(0, entries - 1)));
      EXPECT_EQ(result.codebook.sizes(),
                at::IntArrayRef({w.size(0), (w.size(1) + block - 1) / block, entries}));
      EXPECT_TRUE(at::isfinite(result.codebook).all().item<bool>());
      continue;
    }
    EXPECT_LE(off_level(result.codes), 1e-6);
    EXPECT_TRUE(at::isfinite(result.scale).all().item<bool>());
    const Format& format = quantizer_->format();
    const int64_t group = format.group > 0 ? format.group : std::max(w.numel(), w.size(1));
    const int64_t rows = format.flat_groups ? (w.numel() + group - 1) / group : w.size(0);
    const int64_t columns = format.flat_groups ? 1 : (w.size(1) + group - 1) / group;
    EXPECT_TRUE(result.scale.dim() == 0 || result.scale.sizes() == at::IntArrayRef({rows, columns}))
        << result.scale.sizes();
  }
}

TEST_P(QuantizerFiles, ScalingTheWeightScalesTheScale) {
  if (!quantizer_->has("weight_quant")) return;  // weights stay float
  const at::Tensor w = wave(16, 24);
  const Quantized once = weights(w), twice = weights(w * 4);
  EXPECT_TRUE(at::equal(once.codes, twice.codes));  // a power of two changes no rounding
  if (once.codebook.defined()) {
    EXPECT_TRUE(at::equal(once.codebook * 4, twice.codebook));
  } else {
    EXPECT_TRUE(at::equal(once.scale * 4, twice.scale));
  }
}

TEST_P(QuantizerFiles, TheErrorIsBoundedByTheScale) {
  if (!quantizer_->has("weight_quant")) return;           // weights stay float
  if (quantizer_->format().codebook_entries > 0) return;  // codebook_files_test.cpp
  const at::Tensor w = wave(16, 24);
  const Quantized result = weights(w);
  const std::vector<double>& levels = quantizer_->format().levels;
  double gap = 0;
  for (size_t i = 1; i < levels.size(); ++i) gap = std::max(gap, levels[i] - levels[i - 1]);
  // Within the grid the nearest level is at most half a gap away; outside, the last level is the
  // nearest. Where the dead zone has an edge of its own, a code is one of the two levels around.
  constexpr std::string_view kOwnEdge[] = {"centred", "flat_group_absmax", "group64", "twn"};
  const bool own_edge =
      std::find(std::begin(kOwnEdge), std::end(kOwnEdge), GetParam()) != std::end(kOwnEdge);
  const at::Tensor from = result.offset.defined() ? w - result.offset : w;
  const at::Tensor inside = (from / spread(result.scale, w)).clamp(levels.front(), levels.back());
  EXPECT_LE((inside - result.codes).abs().max().item<double>(), gap / (own_edge ? 1 : 2) + 1e-5);
}

TEST_P(QuantizerFiles, ActivationCodesAreIntegersInRange) {
  if (!quantizer_->has("activation_quant")) return;  // activations stay float
  for (const at::Tensor& x : {wave(32, 24), at::zeros({2, 4}), wave(3, 8) * 1e6}) {
    const Result<Quantized> result = activations(x);
    ASSERT_TRUE(result) << result.error().message;
    const double high = std::exp2(quantizer_->format().activation_bits - 1) - 1, low = -high - 1;
    EXPECT_TRUE(at::equal(result->codes, result->codes.round()));
    EXPECT_GE(result->codes.min().item<double>(), low);
    EXPECT_LE(result->codes.max().item<double>(), high);
    const bool learned = params_.contains("input_step");  // one step for all tokens
    EXPECT_EQ(result->scale.dim(), learned ? 0 : 2);
    if (!learned) {
      EXPECT_EQ(result->scale.sizes(), at::IntArrayRef({x.size(0), 1}));
    }
    // One step of the grid is the scale: within the grid no value is further from x than half of it
    // (and what float32 loses of a number in steps).
    const at::Tensor inside = (x / result->scale).clamp(low, high);
    EXPECT_LE((result->codes - inside).abs().max().item<double>(), 0.5 + high * 1e-6);
  }
}

TEST_P(QuantizerFiles, RowsOfActivationsDoNotSeeEachOther) {
  if (!quantizer_->has("activation_quant")) return;  // activations stay float
  const at::Tensor x = wave(6, 16);
  const at::Tensor y = at::cat({x.narrow(0, 0, 3), wave(3, 16) * 100});
  const Result<Quantized> a = activations(x), b = activations(y);
  EXPECT_TRUE(at::equal(a->codes.narrow(0, 0, 3), b->codes.narrow(0, 0, 3)));
  const auto of_rows = [](const at::Tensor& scale) {
    return scale.dim() == 0 ? scale : scale.narrow(0, 0, 3);
  };
  EXPECT_TRUE(at::equal(of_rows(a->scale), of_rows(b->scale)));
}

TEST_P(QuantizerFiles, CallsArePureAndRepeat) {
  if (!quantizer_->has("weight_quant")) return;  // weights stay float
  const std::string before = quantizer_->state_digest();
  const at::Tensor a = wave(8, 8), b = wave(8, 8).t().contiguous();
  const Quantized first = weights(a);
  weights(b);
  const Quantized again = weights(a);
  EXPECT_TRUE(at::equal(first.codes, again.codes));
  if (first.codebook.defined()) {
    EXPECT_TRUE(at::equal(first.codebook, again.codebook));
  } else {
    EXPECT_TRUE(at::equal(first.scale, again.scale));
  }
  EXPECT_EQ(before, quantizer_->state_digest());
  const auto other = load(source_, Limits{});
  EXPECT_TRUE(at::equal(first.codes, (*other)->weight_quant(a, context_)->codes));
}

INSTANTIATE_TEST_SUITE_P(All, QuantizerFiles, ::testing::ValuesIn(quantizer_files()),
                         [](const auto& file) { return file.param; });

}  // namespace
}  // namespace bitloop::lua
