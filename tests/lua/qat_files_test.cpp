// The options of quantizers/ternary_qat.lua: their gradients, against formulas in plain doubles.
#include <cmath>
#include <fstream>
#include <iterator>

#include "tests/lua/zoo_formulas.h"

namespace bitloop::lua {
namespace {

using zoo::normals;
using zoo::Reals;
using zoo::reals_of;
using zoo::tensor_of;

constexpr int64_t kRows = 4, kColumns = 96;  // three groups of 128

std::unique_ptr<Quantizer> with(const std::string& options, int64_t group = 128) {
  std::ifstream in(std::string(BITLOOP_SOURCE_DIR) + "/quantizers/ternary_qat.lua");
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const auto replace = [&](const std::string& from, const std::string& to) {
    EXPECT_NE(text.find(from), std::string::npos) << from;
    text.replace(text.find(from), from.size(), to);
  };
  replace("RECOVER = false, false, false", "RECOVER = " + options);
  replace("group = 128", "group = " + std::to_string(group));
  replace("GROUP = 128", "GROUP = " + std::to_string(group));
  auto loaded = load(text, Limits{});
  EXPECT_TRUE(loaded) << loaded.error().message;
  return loaded ? std::move(*loaded) : nullptr;
}

// Weights of one group: scale, and the ratio of each.
struct Groups {
  Reals w, scale, ratio;  // scale and ratio of each weight
  double zeros = 0;       // share of the dead zone

  explicit Groups(const at::Tensor& t, size_t size = 128, double gain = 1) : w(reals_of(t)) {
    for (size_t at = 0; at < w.size(); at += size) {
      double sum = 0;
      for (size_t i = at; i < std::min(at + size, w.size()); ++i) sum += std::fabs(w[i]);
      for (size_t i = at; i < std::min(at + size, w.size()); ++i) {
        scale.push_back(sum / static_cast<double>(size) * gain);
        ratio.push_back(w[i] / scale.back());
        zeros += std::fabs(ratio.back()) <= 0.5 ? 1.0 / static_cast<double>(w.size()) : 0;
      }
    }
  }
};

// Mostly near zero (`dead`), or mostly away from it.
at::Tensor weights(bool dead) {
  Reals v = normals(kRows * kColumns, 5);
  for (double& x : v) {
    x *= 0.02;
    if (!dead && std::fabs(x) < 0.015) x = x < 0 ? x - 0.015 : x + 0.015;
  }
  return tensor_of(v, kRows, kColumns);
}

struct Gradients {
  Reals weight;
  double gain = 0;
};

Gradients gradients_of(Quantizer& quantizer, const at::Tensor& w, const Reals& upstream,
                       double gain) {
  const Layer layer{.name = "l", .kind = "mlp_fc", .in_features = kColumns, .out_features = kRows};
  std::map<std::string, at::Tensor> params;
  if (quantizer.has("init")) params["gain"] = at::scalar_tensor(gain).requires_grad_(true);
  const at::Tensor leaf = w.clone().requires_grad_(true);
  const auto got = quantizer.weight_quant(leaf, {.layer = &layer, .params = &params});
  EXPECT_TRUE(got) << got.error().message;
  got->surrogate.backward(tensor_of(upstream, kRows, kColumns));
  return {reals_of(leaf.grad()),
          params.contains("gain") ? params["gain"].grad().item<double>() : 0.0};
}

TEST(TernaryQat, SoftTanhHasTemperature005) {
  const auto quantizer = with("true, false, false");
  EXPECT_FALSE(quantizer->format().blend_output);
  const at::Tensor w = weights(true);
  const Reals upstream = normals(w.numel(), 6);
  const Gradients got = gradients_of(*quantizer, w, upstream, 1);
  const Groups groups(w);
  for (size_t i = 0; i < upstream.size(); ++i) {
    const auto slope = [&](double at) {
      const double t = std::tanh((groups.ratio[i] + at) / 0.05);
      return (1 - t * t) / 0.05 / 2;
    };
    const double wanted = upstream[i] * (slope(-0.5) + slope(0.5));
    EXPECT_NEAR(got.weight[i], wanted, 2e-3 * std::fabs(wanted) + 1e-4);
  }
}

TEST(TernaryQat, TheGainMovesAllScales) {
  const auto quantizer = with("false, true, false");
  const at::Tensor w = weights(true);
  const Reals upstream = normals(w.numel(), 7);
  const Gradients got = gradients_of(*quantizer, w, upstream, 1.3);
  const Groups groups(w, 128, 1.3);
  double gain = 0, terms = 0;
  for (size_t i = 0; i < upstream.size(); ++i) {
    EXPECT_NEAR(got.weight[i], upstream[i], 1e-5);  // straight through
    const double r = groups.ratio[i];
    const double term = upstream[i] * (r > 0.5 ? 1 : r < -0.5 ? -1 : 0) * groups.scale[i] / 1.3;
    gain += term, terms += std::fabs(term);
  }
  EXPECT_NEAR(got.gain, gain, 1e-4 * terms);
}

TEST(TernaryQat, RecoveryPushesOnlyAboveFortyPercentOfZeros) {
  const auto quantizer = with("false, false, true");
  for (const bool dead : {true, false}) {
    const at::Tensor w = dead ? weights(true).pow(3) * 1e3 : weights(false);
    const Groups groups(w);
    ASSERT_EQ(groups.zeros > 0.4, dead) << groups.zeros;
    const Reals upstream = normals(w.numel(), 8);
    const Gradients got = gradients_of(*quantizer, w, upstream, 1);
    for (size_t i = 0; i < upstream.size(); ++i) {
      const bool pushed = dead && std::fabs(groups.ratio[i]) <= 0.5;
      EXPECT_NEAR(got.weight[i], upstream[i] * (pushed ? 1.1 : 1.0), 1e-5);
    }
  }
}

TEST(TernaryQat, GroupsOf64And256) {
  const at::Tensor w = weights(true);
  for (const int64_t group : {64, 128, 256}) {
    const auto quantizer = with("false, false, false", group);
    EXPECT_TRUE(quantizer->format().blend_output);
    const auto got = quantizer->weight_quant(w, {});
    ASSERT_TRUE(got) << got.error().message;
    const Groups groups(w, static_cast<size_t>(group));
    const Reals codes = reals_of(got->codes), scales = reals_of(got->scale);
    ASSERT_EQ(static_cast<int64_t>(scales.size()), (w.numel() + group - 1) / group);
    for (size_t i = 0; i < codes.size(); ++i) {
      const double r = groups.ratio[i];
      if (std::fabs(std::fabs(r) - 0.5) < 1e-5) continue;
      EXPECT_EQ(codes[i], r > 0.5 ? 1 : r < -0.5 ? -1 : 0);
      EXPECT_NEAR(scales[i / static_cast<size_t>(group)], groups.scale[i], 1e-7);
    }
  }
}

}  // namespace
}  // namespace bitloop::lua
