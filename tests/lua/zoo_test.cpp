// Every file in quantizers/ against its formula (zoo_formulas.h): codes, scales and offsets on
// several matrices, and the surrogates' gradients by hand.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "tests/lua/zoo_formulas.h"

namespace bitloop::lua {
namespace {

using namespace zoo;

class Zoo {
 public:
  explicit Zoo(const std::string& file) {
    std::ifstream in(std::string(BITLOOP_SOURCE_DIR) + "/quantizers/" + file + ".lua");
    const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    auto loaded = Quantizer::load(text, file + ".lua", Limits{});
    EXPECT_TRUE(loaded) << loaded.error().message;
    quantizer = std::move(*loaded);
  }
  // Parameters from init for w, times `factor`; they require gradients.
  void init(const at::Tensor& w, double factor) {
    layer.out_features = w.size(0), layer.in_features = w.size(1);
    params.clear();
    if (!quantizer->has("init")) return;
    const auto made = quantizer->init(layer, w);
    ASSERT_TRUE(made) << made.error().message;
    for (const auto& [name, param] : made->params)
      params[name] = (param.value * factor).requires_grad_(true);
  }
  Context context() {
    return {.step = 1, .total_steps = 4, .training = true, .layer = &layer, .params = &params};
  }

  std::unique_ptr<Quantizer> quantizer;
  Layer layer{.name = "h.0.mlp.c_fc", .kind = "mlp_fc"};
  std::map<std::string, at::Tensor> params;
};

// Whether `code` is what the formula gives at r, or on the other side of a boundary near r.
bool is_code(double code, Function formula, double r) {
  if (r == 0) return std::fabs(code - formula(0)) < 1e-6;  // float32 has that exactly
  const double near = kBoundary + 3e-7 * std::fabs(r);     // what float32 loses of r
  return std::fabs(code - formula(r)) < 1e-6 || std::fabs(code - formula(r - near)) < 1e-6 ||
         std::fabs(code - formula(r + near)) < 1e-6;
}
bool near(double a, double b, double relative) {
  return std::fabs(a - b) <= relative * std::max(std::fabs(a), std::fabs(b)) + 1e-12;
}
// A slope that is the same on both sides of r, or nothing: a kink.
std::optional<double> slope_at(Function slope, double r) {
  const double low = slope(r - kBoundary), high = slope(r + kBoundary);
  if (std::fabs(low - high) > 1e-2) return std::nullopt;
  return slope(r);
}

// Fits the groups of w, with the method's parameter times `factor`.
std::vector<Group> fit(const Method& method, const Reals& w, const std::vector<Members>& groups,
                       double factor) {
  std::vector<Group> fitted;
  for (const Members& its : groups) {
    Group& group = fitted.emplace_back();
    for (const size_t i : its.places) group.v.push_back(w[i]);
    group.v.resize(group.v.size() + its.padding, 0.0);
    group.whole_rms = rms(w);
    if (method.initial) group.param = method.initial(group.v) * factor;
    method.fit(group);
  }
  return fitted;
}

void compare(const Method& method, const Matrix& matrix, double factor) {
  SCOPED_TRACE(testing::Message() << method.file << " on " << matrix.what << ", parameters times "
                                  << factor);
  Zoo zoo(method.file);
  const at::Tensor w = matrix.tensor.clone().requires_grad_(true);
  zoo.init(matrix.tensor, factor);
  const Result<Quantized> got = zoo.quantizer->weight_quant(w, zoo.context());
  ASSERT_TRUE(got) << got.error().message;

  const Reals v = reals_of(w), codes = reals_of(got->codes), scales = reals_of(got->scale);
  const std::vector<Members> places = members(w.size(0), w.size(1), method.shared);
  const std::vector<Group> groups = fit(method, v, places, factor);
  ASSERT_EQ(scales.size(), groups.size());
  const Reals offsets = got->offset.defined() ? reals_of(got->offset) : Reals(groups.size(), 0.0);
  const auto ratio = [&](const Group& group, size_t i) {
    return group.unit > 0 ? (v[i] - group.offset) / group.unit : 0.0;
  };
  for (size_t g = 0; g < groups.size(); ++g) {
    EXPECT_TRUE(near(scales[g], groups[g].scale, 4e-6)) << scales[g] << " " << groups[g].scale;
    EXPECT_NEAR(offsets[g], groups[g].offset, 1e-6 * abs_max(groups[g].v));
    for (const size_t i : places[g].places)
      EXPECT_TRUE(is_code(codes[i], method.code, ratio(groups[g], i)))
          << codes[i] << " at " << ratio(groups[g], i);
  }

  ASSERT_EQ(got->surrogate.defined(), method.slope != nullptr);
  if (method.slope == nullptr) return;
  const Reals upstream = normals(w.numel(), 77);
  got->surrogate.backward(tensor_of(upstream, w.size(0), w.size(1)));
  const Reals gradient = reals_of(w.grad());
  Reals by_group(groups.size()), size_of_terms(groups.size());
  for (size_t g = 0; g < groups.size(); ++g) {
    for (const size_t i : places[g].places) {
      const double r = ratio(groups[g], i);
      const std::optional<double> slope = slope_at(method.slope, r);
      if (slope) {
        EXPECT_NEAR(gradient[i], upstream[i] * *slope, 1e-4 * std::fabs(upstream[i]));
      }
      if (!method.by_param) continue;
      const bool floored = groups[g].scale < 1.00001e-5;  // no gradient passes the clamp
      const double per = floored ? 0 : groups[g].scale / groups[g].param;
      const double term =
          upstream[i] * method.by_param(r) * per * method.damping(static_cast<double>(w.numel()));
      by_group[g] += term, size_of_terms[g] += std::fabs(term);
    }
  }
  if (!method.by_param) return;
  const Reals param_gradient = reals_of(zoo.params.at(method.param).grad());
  if (param_gradient.size() == 1 && groups.size() > 1)
    by_group = {sum(by_group)}, size_of_terms = {sum(size_of_terms)};
  ASSERT_EQ(param_gradient.size(), by_group.size());
  for (size_t g = 0; g < by_group.size(); ++g) {
    if (by_group.size() == groups.size() && groups[g].scale < 1.00001e-5) continue;
    EXPECT_NEAR(param_gradient[g], by_group[g], 1e-4 * size_of_terms[g] + 1e-9);
  }
}

TEST(Zoo, WeightsFollowTheFormula) {
  for (const Method& method : methods()) {
    for (const Matrix& matrix : matrices(0.02)) {
      compare(method, matrix, 1.0);
      if (method.param) compare(method, matrix, 0.6);  // more is outside of the range
    }
  }
}

TEST(Zoo, EveryFileHasAFormulaHere) {
  std::vector<std::string> files,
      known = {"float", "kmeans", "nativebit"};  // codebook_files_test.cpp
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(BITLOOP_SOURCE_DIR) + "/quantizers"))
    if (entry.path().extension() == ".lua") files.push_back(entry.path().stem());
  for (const Method& method : methods()) known.push_back(method.file);
  EXPECT_THAT(known, testing::UnorderedElementsAreArray(files));
}

// A row of activations: its step, the ends of the grid, and where the gradient passes.
struct Activation {
  const char* file;
  double (*step)(const Reals& row);
  double low = -128, high = 127;
  bool trusted = false;  // no gradient where the code is half a step away
  bool learned = false;  // one step for all rows, from init
};

TEST(Zoo, ActivationsFollowTheFormula) {
  const auto absmax8 = [](const Reals& row) { return floor5(abs_max(row)) / 127; };
  const auto quest = [](const Reals& row) {
    return floor5(rms(row) * 2 / 255 * 3.884938678807525);
  };
  const auto learned = [](const Reals&) { return 2 * 0.8 / std::sqrt(127.0); };
  for (const Method& method : methods()) {
    SCOPED_TRACE(method.file);
    const std::string file = method.file;
    Activation of{method.file, absmax8};
    if (file == "flat_group" || file == "ternary_qat")
      of = {method.file, [](const Reals& row) { return floor5(abs_max(row)) / 32767; }, -32768,
            32767};
    if (file.starts_with("quest")) of = {method.file, quest, -128, 127, true};
    if (file == "lsq" || file == "centred") of = {method.file, learned, -128, 127, false, true};
    for (const Matrix& matrix : matrices(1.0)) {
      SCOPED_TRACE(matrix.what);
      Zoo zoo(file);
      zoo.init(matrix.tensor, 1.0);
      const at::Tensor x = matrix.tensor.clone().requires_grad_(true);
      const Result<Quantized> got = zoo.quantizer->activation_quant(x, zoo.context());
      ASSERT_TRUE(got) << got.error().message;
      const Reals v = reals_of(x), codes = reals_of(got->codes), scales = reals_of(got->scale);
      const auto rows = static_cast<size_t>(x.size(0)), columns = static_cast<size_t>(x.size(1));
      ASSERT_EQ(scales.size(), of.learned ? 1 : rows);
      ASSERT_EQ(got->surrogate.defined(), of.trusted || of.learned);
      const Reals upstream = normals(x.numel(), 78);
      Reals gradient;
      if (got->surrogate.defined()) {
        got->surrogate.backward(tensor_of(upstream, x.size(0), x.size(1)));
        gradient = reals_of(x.grad());
      }
      double by_step = 0, terms = 0;
      for (size_t row = 0; row < rows; ++row) {
        const double step = of.step(Reals(v.begin() + static_cast<int64_t>(row * columns),
                                          v.begin() + static_cast<int64_t>((row + 1) * columns)));
        EXPECT_TRUE(near(scales[of.learned ? 0 : row], step, 4e-6));
        for (size_t i = row * columns; i < (row + 1) * columns; ++i) {
          const double r = v[i] / step, margin = kBoundary + 3e-7 * std::fabs(r);
          const double low = clip(round_even(r - margin), of.low, of.high),
                       high = clip(round_even(r + margin), of.low, of.high);
          EXPECT_TRUE(codes[i] == low || codes[i] == high) << codes[i] << " at " << r;
          if (gradient.empty()) continue;
          const double outside = std::max(of.low - r, r - of.high);
          const double edge = of.trusted ? 0.5 : 0.0;  // a trusted code may be half a step away
          const bool passes = outside <= edge;
          if (std::fabs(outside - edge) > 1e-3) {
            EXPECT_NEAR(gradient[i], passes ? upstream[i] : 0.0, 1e-5 * std::fabs(upstream[i]));
          }
          const double term = upstream[i] * (passes ? codes[i] - r : codes[i]) /
                              std::sqrt(127.0 * static_cast<double>(columns));
          by_step += term, terms += std::fabs(term);
        }
      }
      if (of.learned) {
        EXPECT_NEAR(zoo.params.at("input_step").grad().item<double>(), by_step,
                    1e-4 * terms + 1e-9);
      }
    }
  }
}

TEST(Zoo, InitGuessesTheSizeOfInputsByKind) {
  for (const char* file : {"lsq", "centred"}) {
    Zoo zoo(file);
    zoo.layer.kind = "mlp_proj";
    zoo.init(tensor_of(normals(32, 3), 4, 8), 1.0);
    EXPECT_NEAR(zoo.params.at("input_step").item<double>(), 0.2 / std::sqrt(127.0), 1e-7) << file;
  }
}

TEST(Zoo, TequilasBiasIsTheDeadZonesSum) {
  for (const Matrix& matrix : matrices(0.02)) {
    SCOPED_TRACE(matrix.what);
    Zoo zoo("tequila");
    const at::Tensor w = matrix.tensor.clone().requires_grad_(true);
    const Result<Quantized> got = zoo.quantizer->weight_quant(w, zoo.context());
    ASSERT_TRUE(got) << got.error().message;
    const auto bias = zoo.quantizer->row_bias(w, got->codes.detach(), zoo.context());
    ASSERT_TRUE(bias) << bias.error().message;
    ASSERT_EQ(bias->numel(), w.size(0));
    const Reals upstream = normals(w.size(0), 5), v = reals_of(w), codes = reals_of(got->codes);
    bias->backward(at::tensor(upstream, at::kDouble).to(at::kFloat).view(bias->sizes()));
    const Reals gradient = reals_of(w.grad()), biases = reals_of(*bias);
    const auto columns = static_cast<size_t>(w.size(1));
    for (size_t row = 0; row < upstream.size(); ++row) {
      double dead = 0, terms = 0;
      for (size_t i = row * columns; i < (row + 1) * columns; ++i) {
        if (codes[i] == 0) dead += v[i], terms += std::fabs(v[i]);
        EXPECT_NEAR(gradient[i], codes[i] == 0 ? 1e-3 * upstream[row] : 0.0, 1e-8);
      }
      EXPECT_NEAR(biases[row], 1e-3 * dead, 1e-9 * terms + 1e-12);
    }
  }
}

}  // namespace
}  // namespace bitloop::lua
