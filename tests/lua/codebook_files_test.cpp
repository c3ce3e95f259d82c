// The files in quantizers/ with a codebook, against their formulas once more in plain loops over
// doubles: quantiles, the nearest value, Lloyd's rounds, moving averages.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/lua/zoo_formulas.h"

namespace bitloop::lua {
namespace {

using zoo::normals;
using zoo::Reals;
using zoo::reals_of;
using zoo::tensor_of;

using State = std::map<std::string, at::Tensor>;

std::string text_of(const std::string& file, int64_t entries, int64_t block) {
  std::ifstream in(std::string(BITLOOP_SOURCE_DIR) + "/quantizers/" + file + ".lua");
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const std::string sizes = "ENTRIES, BLOCK = 8, 128";
  EXPECT_NE(text.find(sizes), std::string::npos);
  return text.replace(text.find(sizes), sizes.size(),
                      "ENTRIES, BLOCK = " + std::to_string(entries) + ", " + std::to_string(block));
}

// One block of a row, and its codebook.
struct Block {
  Reals weights, codebook, count, sum;

  size_t nearest(double w) const {
    size_t best = 0;
    for (size_t k = 1; k < codebook.size(); ++k)
      if (std::fabs(w - codebook[k]) < std::fabs(w - codebook[best])) best = k;
    return best;
  }
  // Whether `code` is the nearest entry, or as near within what float32 loses.
  bool is_nearest(double w, size_t code) const {
    return std::fabs(w - codebook.at(code)) <=
           std::fabs(w - codebook[nearest(w)]) + 1e-6 * (std::fabs(w) + 1e-12);
  }
};

Reals quantiles(Reals v, int64_t entries) {
  std::sort(v.begin(), v.end());
  const auto last = static_cast<double>(v.size() - 1);
  Reals all;
  for (int64_t k = 0; k < entries; ++k) {
    const double share = (static_cast<double>(k) + 0.5) / static_cast<double>(entries);
    const double place = std::clamp(share * static_cast<double>(v.size()) - 0.5, 0.0, last);
    const auto low = static_cast<size_t>(place);
    const size_t high = std::min(low + 1, v.size() - 1);
    all.push_back(v[low] + (v[high] - v[low]) * (place - std::floor(place)));
  }
  return all;
}

struct Case {
  int64_t rows, columns, entries, block;
};
// Blocks that fill a row and blocks that don't, all sizes of K that were named, ties.
const Case kCases[] = {{4, 256, 8, 128},   {3, 200, 8, 128}, {2, 100, 8, 128},
                       {2, 128, 256, 128}, {5, 33, 2, 16},   {1, 1, 4, 8}};

at::Tensor weights_of(const Case& c, uint64_t seed = 3) {
  return tensor_of(normals(c.rows * c.columns, seed), c.rows, c.columns) * 0.02;
}

class Codebooks : public testing::TestWithParam<Case> {
 protected:
  void open(const std::string& file) {
    const Case& c = GetParam();
    auto loaded = load(text_of(file, c.entries, c.block), Limits{});
    ASSERT_TRUE(loaded) << loaded.error().message;
    quantizer_ = std::move(*loaded);
    layer_.out_features = c.rows, layer_.in_features = c.columns;
  }
  Context context(int64_t step = 0) {
    return {.step = step, .total_steps = 100, .training = true, .layer = &layer_, .state = &state_};
  }
  std::vector<Block> blocks_of(const at::Tensor& w) const {
    const Case& c = GetParam();
    const Reals v = reals_of(w);
    std::vector<Block> all;
    for (int64_t n = 0; n < c.rows; ++n)
      for (int64_t k = 0; k < c.columns; k += c.block) {
        Block& block = all.emplace_back();
        for (int64_t i = k; i < std::min(k + c.block, c.columns); ++i)
          block.weights.push_back(v[static_cast<size_t>(n * c.columns + i)]);
      }
    return all;
  }
  // Codes by block, from (N, K).
  std::vector<std::vector<size_t>> codes_of(const at::Tensor& codes) const {
    std::vector<std::vector<size_t>> all;
    for (const Block& block : blocks_of(codes)) {
      std::vector<size_t>& its = all.emplace_back();
      for (const double code : block.weights) its.push_back(static_cast<size_t>(code));
    }
    return all;
  }
  // Block by block, in ascending order: entries that are equal may stand in any.
  void expect_near(const at::Tensor& got, const std::vector<Block>& blocks, Reals Block::*member,
                   double tolerance) const {
    const Reals v = reals_of(got);
    size_t at = 0;
    for (const Block& block : blocks) {
      Reals wanted = block.*member;
      ASSERT_LE(at + wanted.size(), v.size());
      const auto first = v.begin() + static_cast<int64_t>(at);
      Reals its(first, first + static_cast<int64_t>(wanted.size()));
      std::sort(wanted.begin(), wanted.end());
      std::sort(its.begin(), its.end());
      for (size_t k = 0; k < its.size(); ++k) EXPECT_NEAR(its[k], wanted[k], tolerance);
      at += its.size();
    }
    EXPECT_EQ(at, v.size());
  }

  std::unique_ptr<Quantizer> quantizer_;
  Layer layer_{.name = "h.0.mlp.c_fc", .kind = "mlp_fc"};
  State state_;
};

TEST_P(Codebooks, NativebitBeginsWithQuantilesAndTakesTheNearest) {
  open("nativebit");
  const Case& c = GetParam();
  const at::Tensor w = weights_of(c);
  const auto made = quantizer_->init(layer_, w);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_TRUE(made->params.empty());
  state_ = made->state;
  std::vector<Block> blocks = blocks_of(w);
  for (Block& block : blocks) block.codebook = quantiles(block.weights, c.entries);
  expect_near(state_.at("codebook"), blocks, &Block::codebook, 1e-8);

  const auto got = quantizer_->weight_quant(w, context());
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_FALSE(got->surrogate.defined());
  EXPECT_TRUE(at::equal(got->codebook, state_.at("codebook")));
  const auto codes = codes_of(got->codes);
  for (size_t b = 0; b < blocks.size(); ++b)
    for (size_t i = 0; i < codes[b].size(); ++i)
      EXPECT_TRUE(blocks[b].is_nearest(blocks[b].weights[i], codes[b][i]));
}

TEST_P(Codebooks, NativebitsAveragesAreThoseOfVqVae) {
  open("nativebit");
  const Case& c = GetParam();
  const at::Tensor w = weights_of(c), moved = w + weights_of(c, 4) * 0.3;
  const auto made = quantizer_->init(layer_, w);
  ASSERT_TRUE(made);
  state_ = made->state;
  std::vector<Block> blocks = blocks_of(moved);
  const size_t K = static_cast<size_t>(c.entries);
  {
    const Reals codebook = reals_of(state_["codebook"]), count = reals_of(state_["count"]);
    for (size_t b = 0; b < blocks.size(); ++b)
      for (size_t k = 0; k < K; ++k) {
        blocks[b].codebook.push_back(codebook[b * K + k]);
        blocks[b].count.push_back(count[b * K + k]);
        blocks[b].sum.push_back(codebook[b * K + k] * count[b * K + k]);
      }
  }
  const auto got = quantizer_->weight_quant(w, context());
  ASSERT_TRUE(got);
  const auto codes = codes_of(got->codes);
  for (size_t b = 0; b < blocks.size(); ++b) {
    Block& block = blocks[b];
    Reals count(K), sum(K);
    for (size_t i = 0; i < codes[b].size(); ++i) {
      count[codes[b][i]] += 1;
      sum[codes[b][i]] += block.weights[i];
    }
    for (size_t k = 0; k < K; ++k) {
      block.count[k] = 0.99 * block.count[k] + 0.01 * count[k];
      block.sum[k] = 0.99 * block.sum[k] + 0.01 * sum[k];
      if (block.count[k] > 1e-3) block.codebook[k] = block.sum[k] / block.count[k];
    }
  }
  const auto after = quantizer_->after_step(context(0), got->codes, moved);
  ASSERT_TRUE(after) << after.error().message;
  expect_near(after->at("count"), blocks, &Block::count, 1e-4);
  expect_near(after->at("sum"), blocks, &Block::sum, 1e-6);
  expect_near(after->at("codebook"), blocks, &Block::codebook, 1e-6);
  const Reals codebook = reals_of(after->at("codebook")), count = reals_of(after->at("count")),
              sum = reals_of(after->at("sum"));
  for (size_t i = 0; i < codebook.size(); ++i) {
    if (i % K > 0) {
      EXPECT_LE(codebook[i - 1], codebook[i]);  // codes are places in an ascending codebook
    }
    if (count[i] > 1e-3) {
      EXPECT_NEAR(codebook[i], sum[i] / count[i], 1e-6);  // which its count and sum have followed
    }
  }
  // Only where codes were made anew.
  const auto between = quantizer_->after_step(context(3), got->codes, moved);
  ASSERT_TRUE(between);
  EXPECT_TRUE(at::equal(between->at("codebook"), state_.at("codebook")));
}

TEST_P(Codebooks, KmeansIsLloydsAlgorithm) {
  open("kmeans");
  const Case& c = GetParam();
  const at::Tensor w = weights_of(c);
  const auto got = quantizer_->weight_quant(w, context());
  ASSERT_TRUE(got) << got.error().message;
  std::vector<Block> blocks = blocks_of(w);
  for (Block& block : blocks) {
    block.codebook = quantiles(block.weights, c.entries);
    for (int round = 0; round < 20; ++round) {
      Reals count(block.codebook.size()), sum(block.codebook.size());
      for (const double v : block.weights) {
        const size_t code = block.nearest(v);
        count[code] += 1, sum[code] += v;
      }
      for (size_t k = 0; k < count.size(); ++k)
        if (count[k] > 0) block.codebook[k] = sum[k] / count[k];
      std::sort(block.codebook.begin(), block.codebook.end());
    }
  }
  expect_near(got->codebook, blocks, &Block::codebook, 1e-5);
  const auto codes = codes_of(got->codes);
  double error = 0, of_quantiles = 0;
  for (size_t b = 0; b < blocks.size(); ++b) {
    Block first{blocks[b].weights, quantiles(blocks[b].weights, c.entries), {}, {}};
    for (size_t i = 0; i < codes[b].size(); ++i) {
      const double v = blocks[b].weights[i];
      error += std::pow(v - blocks[b].codebook[codes[b][i]], 2);
      of_quantiles += std::pow(v - first.codebook[first.nearest(v)], 2);
    }
  }
  EXPECT_LE(error, of_quantiles * (1 + 1e-6));
}

INSTANTIATE_TEST_SUITE_P(Sizes, Codebooks, testing::ValuesIn(kCases), [](const auto& named) {
  const Case& c = named.param;
  return std::to_string(c.rows) + "x" + std::to_string(c.columns) + "_" +
         std::to_string(c.entries) + "_of_" + std::to_string(c.block);
});

TEST(CodebookEntries, AnEntryThatNoWeightUsesStaysWhereItIs) {
  const auto quantizer = load(text_of("nativebit", 4, 8), Limits{});
  ASSERT_TRUE(quantizer);
  const Layer layer{.name = "l", .kind = "mlp_fc", .in_features = 8, .out_features = 1};
  const at::Tensor codes = at::zeros({1, 8}), w = at::full({1, 8}, 0.5f);
  State state = {{"codebook", at::tensor({0.0f, 1.0f, 2.0f, 3.0f}).view({1, 1, 4})},
                 {"count", at::tensor({1.0f, 0.0f, 5e-4f, 2.0f}).view({1, 1, 4})},
                 {"sum", at::tensor({0.0f, 7.0f, 7.0f, 6.0f}).view({1, 1, 4})}};
  const auto after =
      (*quantizer)->after_step({.training = true, .layer = &layer, .state = &state}, codes, w);
  ASSERT_TRUE(after) << after.error().message;
  const Reals codebook = reals_of(after->at("codebook"));
  EXPECT_NEAR(codebook[0], (0.01 * 8 * 0.5) / (0.99 + 0.01 * 8), 1e-6);
  EXPECT_EQ(codebook[1], 1.0);
  EXPECT_EQ(codebook[2], 2.0);
  EXPECT_NEAR(codebook[3], 3.0, 1e-6);
}

TEST(CodebookEntries, TheCommitmentLossWarmsUp) {
  const auto quantizer = load(text_of("nativebit", 8, 128), Limits{});
  ASSERT_TRUE(quantizer);
  const at::Tensor w = at::tensor({1.0f, 2.0f, 4.0f}).view({1, 3}).requires_grad_(true);
  const at::Tensor value = at::tensor({1.0f, 1.0f, 1.0f}).view({1, 3});
  for (const auto& [step, share] : {std::pair{0, 1 / 200.0}, {99, 0.5}, {199, 1.0}, {5000, 1.0}}) {
    const auto term = (*quantizer)->regularizer(w, value, {.step = step, .total_steps = 9000});
    ASSERT_TRUE(term) << term.error().message;
    EXPECT_NEAR(term->item<double>(), (0 + 1 + 9) / 3.0 * share, 1e-5);
  }
}

TEST(CodebookEntries, OneEntryIsRefused) {
  for (const char* file : {"nativebit", "kmeans"}) {
    const auto loaded = load(text_of(file, 1, 128), Limits{});
    ASSERT_FALSE(loaded);
    EXPECT_THAT(loaded.error().message,
                testing::HasSubstr("entries must be a whole number from 2 to 65536"));
  }
}

}  // namespace
}  // namespace bitloop::lua
