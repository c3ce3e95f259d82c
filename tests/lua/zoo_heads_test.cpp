// What the heads of the files in quantizers/ say, against what the files do: levels, bits a weight,
// and the curves of lambda.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>

#include "tests/lua/fixture.h"

namespace bitloop::lua {
namespace {

constexpr const char* kFields[] = {"Paper",       "Weights",       "Levels",
                                   "Activations", "Bits a weight", "Gradient"};

std::string read(const std::string& name) {
  std::ifstream in(std::string(BITLOOP_SOURCE_DIR) + "/quantizers/" + name);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// The fields of a head, continued lines joined: "Levels" -> "-1, 0, 1. Granularity: …".
std::map<std::string, std::string> head_of(const std::string& source) {
  std::map<std::string, std::string> fields;
  std::string field, line;
  std::istringstream lines(source);
  while (std::getline(lines, line) && line.starts_with("--") && !line.starts_with("-- BEGIN")) {
    if (line == "--") {
      field.clear();
      continue;
    }
    for (const char* name : kFields) {
      if (line.starts_with("-- " + std::string(name) + ":")) {
        EXPECT_FALSE(fields.contains(name)) << name << " twice";
        field = name;
        line.erase(0, 4 + field.size());
      }
    }
    if (field.empty()) continue;
    if (line.starts_with("--")) line.erase(0, 2);
    line.erase(0, line.find_first_not_of(' '));
    fields[field] += (fields[field].empty() ? "" : " ") + line;
  }
  return fields;
}

// "-1, -1/3, 1/3, 1. Granularity …" or "-8 … 7. …" as numbers.
std::vector<double> levels_of(const std::string& text) {
  const std::string list = text.substr(0, text.find(". "));
  std::vector<double> levels;
  if (const size_t dots = list.find(" … "); dots != std::string::npos) {
    const double last = std::stod(list.substr(dots + std::string(" … ").size()));
    for (double level = std::stod(list); level <= last; ++level) levels.push_back(level);
    return levels;
  }
  std::istringstream parts(list);
  for (std::string part; std::getline(parts, part, ',');) {
    const size_t slash = part.find('/');
    levels.push_back(std::stod(part) /
                     (slash == std::string::npos ? 1.0 : std::stod(part.substr(slash + 1))));
  }
  return levels;
}

// "log2(3) = 1.585, plus 16 / K for … and 32 / (N K) for …" at N, K: the codes' part, the rest.
std::pair<double, double> bits_of(const std::string& text, double N, double K) {
  const std::regex codes(R"(^(?:log2\(\d+\) = )?([0-9.]+[0-9]|[0-9]))");
  std::smatch found;
  EXPECT_TRUE(std::regex_search(text, found, codes)) << text;
  double rest = 0;
  const std::regex term(R"((\d+) / (\(N K\)|K|\d+))");
  for (std::sregex_iterator at(text.begin(), text.end(), term), end; at != end; ++at) {
    const std::string over = (*at)[2];
    rest += std::stod((*at)[1]) / (over == "K" ? K : over == "(N K)" ? N * K : std::stod(over));
  }
  return {found.empty() ? 0 : std::stod(found[1]), rest};
}

class ZooHeads : public ::testing::TestWithParam<std::string> {};

TEST_P(ZooHeads, SayWhatTheFileDoes) {
  const std::string source = read(GetParam() + ".lua");
  const auto quantizer = load(source, Limits{});
  ASSERT_TRUE(quantizer) << quantizer.error().message;
  std::map<std::string, std::string> head = head_of(source);
  for (const char* field : kFields) EXPECT_FALSE(head[field].empty()) << field;
  EXPECT_THAT(head["Levels"], testing::HasSubstr("Granularity: "));
  const Format& format = (*quantizer)->format();

  if (!format.quantizes_weights) {
    EXPECT_THAT(head["Levels"], testing::StartsWith("none"));
    EXPECT_EQ(bits_of(head["Bits a weight"], 1, 1).first, 32);
    return;
  }
  size_t choices = static_cast<size_t>(format.codebook_entries);
  if (choices > 0) {
    EXPECT_EQ(std::stoul(head["Levels"]), choices);  // "8 learned values a block"
  } else {
    const std::vector<double> levels = levels_of(head["Levels"]);
    choices = levels.size();
    ASSERT_EQ(levels.size(), format.levels.size());
    for (size_t i = 0; i < levels.size(); ++i) EXPECT_NEAR(levels[i], format.levels[i], 1e-12);
  }

  // The count of bits, on a layer.
  const int64_t N = 64, K = 128;
  const at::Tensor w = at::sin(at::arange(N * K, at::kFloat).view({N, K}) * 12.9898) * 0.02;
  const Layer layer{.name = "l", .kind = "mlp_fc", .in_features = K, .out_features = N};
  std::map<std::string, at::Tensor> params, state;
  double stored = 0;
  if ((*quantizer)->has("init")) {
    const auto made = (*quantizer)->init(layer, w);
    ASSERT_TRUE(made) << made.error().message;
    for (const auto& [name, param] : made->params) {
      params[name] = param.value;
      stored += 32.0 * static_cast<double>(param.value.numel());
    }
    state = made->state;  // what evaluation needs of it is in the codebook
    EXPECT_EQ(state.empty(), format.codebook_entries == 0);
  }
  const Context context{.layer = &layer, .params = &params, .state = &state};
  const auto made = (*quantizer)->weight_quant(w, context);
  ASSERT_TRUE(made) << made.error().message;
  const double width = format.scale_dtype == at::kHalf ? 16 : 32;
  for (const at::Tensor* tensor : {&made->scale, &made->offset, &made->codebook})
    if (tensor->defined()) stored += width * static_cast<double>(tensor->numel());
  if ((*quantizer)->has("row_bias")) stored += width * static_cast<double>(N);
  const auto [codes, rest] = bits_of(head["Bits a weight"], N, K);
  EXPECT_NEAR(codes, std::log2(static_cast<double>(choices)), 5e-4);
  EXPECT_NEAR(rest, stored / static_cast<double>(N * K), 1e-9) << head["Bits a weight"];

  // "8 bits, …"
  ASSERT_TRUE(format.quantizes_activations);
  EXPECT_EQ(std::stoi(head["Activations"]), format.activation_bits);
  // What the gradient says agrees with whether there is a surrogate.
  if (!made->surrogate.defined()) {
    EXPECT_THAT(head["Gradient"], testing::StartsWith("straight through"));
  }
}

std::vector<std::string> files() {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(BITLOOP_SOURCE_DIR) + "/quantizers"))
    if (entry.path().extension() == ".lua") names.push_back(entry.path().stem());
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, ZooHeads, ::testing::ValuesIn(files()),
                         [](const auto& file) { return file.param; });

// The folder's table has each file, with its levels' count in bits.
TEST(ZooTable, HasEveryFile) {
  const std::string table = read("README.md");
  for (const std::string& name : files()) {
    const std::regex row("\\| `" + name + "\\.lua` \\|[^|]*\\|[^|]*\\|[^|]*\\| ([0-9.]+)");
    std::smatch found;
    ASSERT_TRUE(std::regex_search(table, found, row)) << name;
    const auto quantizer = load(read(name + ".lua"), Limits{});
    ASSERT_TRUE(quantizer);
    const Format& format = (*quantizer)->format();
    const auto entries = static_cast<double>(format.codebook_entries);
    const double codes = entries > 0 ? std::log2(entries)
                         : format.levels.empty()
                             ? 32
                             : std::log2(static_cast<double>(format.levels.size()));
    const double width = format.scale_dtype == at::kHalf ? 16 : 32;
    const double groups = format.group > 0 ? width / static_cast<double>(format.group)
                          : entries > 0
                              ? width * entries / static_cast<double>(format.codebook_block)
                              : 0;
    EXPECT_NEAR(std::stod(found[1]), codes + groups, 6e-4) << name;
  }
}

double lambda_at(Quantizer& quantizer, int64_t step) {
  const Result<double> value = quantizer.lambda({.step = step, .total_steps = 1000});
  EXPECT_TRUE(value) << value.error().message;
  return value ? *value : NAN;
}

struct Curve {
  const char* name;
  double (*at)(double t);
};
const Curve kCurves[] = {
    {"linear", [](double t) { return t; }},
    {"cosine", [](double t) { return 0.5 - 0.5 * std::cos(M_PI * t); }},
    {"exponential", [](double t) { return (1 - std::exp(-5 * t)) / (1 - std::exp(-5)); }},
    {"steps",
     [](double t) {
       return t < 0.25 ? 0 : t < 0.5 ? 0.25 : t < 0.75 ? 0.5 : t < 1 ? 0.75 : 1;
     }},
    {"plateau",
     [](double t) { return t < 0.25      ? 2 * t
                           : t < 2.5 / 3 ? 0.5
                                         : 0.5 + 3 * (t - 2.5 / 3); }},
};

void follows(Quantizer& quantizer, const Curve& curve) {
  SCOPED_TRACE(curve.name);
  double before = 0;
  for (int64_t step = 0; step <= 1000; step += 7) {
    const double t = std::min(1.0, static_cast<double>(step) / 300);
    const double lambda = lambda_at(quantizer, step);
    EXPECT_NEAR(lambda, curve.at(t), 1e-9) << step;
    EXPECT_GE(lambda, before - 1e-12);
    before = lambda;
  }
  EXPECT_EQ(lambda_at(quantizer, 0), 0);
  EXPECT_EQ(lambda_at(quantizer, 1000), 1);
}

TEST(ZooLambda, FiveCurves) {
  const std::string source = read("flat_group.lua"), choice = "WARMUP = \"linear\", 0.3";
  ASSERT_NE(source.find(choice), std::string::npos);
  for (const Curve& curve : kCurves) {
    std::string other = source;
    other.replace(source.find(choice), choice.size(),
                  "WARMUP = \"" + std::string(curve.name) + "\", 0.3");
    const auto quantizer = load(other, Limits{});
    ASSERT_TRUE(quantizer) << quantizer.error().message;
    EXPECT_TRUE((*quantizer)->format().blend_output);
    follows(**quantizer, curve);
  }
}

TEST(ZooLambda, OfTheVariants) {
  const auto absmax = load(read("flat_group_absmax.lua"), Limits{});
  const auto smooth = load(read("flat_group_soft.lua"), Limits{});
  ASSERT_TRUE(absmax && smooth);
  follows(**absmax, kCurves[2]);
  follows(**smooth, kCurves[1]);
}

}  // namespace
}  // namespace bitloop::lua
