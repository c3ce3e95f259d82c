#include "tests/trainer/model/random_quantizer.h"

#include <fmt/format.h>

#include <iterator>
#include <random>
#include <span>
#include <vector>

namespace bitloop::trainer {
namespace {

// In templates: $F a tensor of the argument's size, $M a mask of that size, $R one number a row, $S
// one number, all tensors; $C a positive Lua number, $N any one.
constexpr const char* kFull[] = {
    "$F:abs()",
    "-$F",
    "$F:neg()",
    "$F:sign()",
    "$F:round()",
    "$F:floor()",
    "$F:ceil()",
    "$F:trunc()",
    "$F:square()",
    "$F:abs():sqrt()",
    "torch.tanh($F)",
    "$F:sigmoid()",
    "$F:clamp(-4, 4):exp()",
    "($F:abs() + $C):log()",
    "$F:relu()",
    "$F:silu()",
    "1 / ($F:abs() + $C)",
    "($F:abs() + $C):reciprocal()",
    "($F:abs() + $C):rsqrt()",
    "($F:abs() + $C) ^ $C",
    "$F:pow(2)",
    "$F ^ 3",
    "$F:clone()",
    "$F:contiguous():float()",
    "$F:detach()",
    "bitloop.ste_round($F)",
    "$F:clamp{min = -$C, max = $C}",
    "$F:clamp{min = $N}",
    "$F:clamp_max($N)",
    "$F:clamp(-$C, $C)",
    "$F:clamp{min = -$R:abs(), max = $R:abs()}",
    "$F:clamp{min = -$S:abs(), max = $C}",
    "$F + $F",
    "$F - $F",
    "$F * $F",
    "$F / ($F:abs() + $C)",
    "$F * $R",
    "$F / ($R:abs() + $C)",
    "$F / ($S:abs() + $C)",
    "$F + $R",
    "$R - $F",
    "$N * $F",
    "$F / $C",
    "$F + $N",
    "$N - $F",
    "$S - $F",
    "torch.maximum($F, $F)",
    "$F:minimum($R)",
    "$F:maximum($N)",
    "$F:minimum($S)",
    "torch.where($M, $F, $F)",
    "torch.where($M, $N, $F)",
    "torch.where($M, $F, $R)",
    "torch.where($M, $N, $N)",
    "$M:where($F, $S)",
    "$F * $M",
    "$F * $M:float()",
    "$M * $N",
    "$M + $M",
    "$F:lerp($F, $C)",
    "$F:add($F, $N)",
    "$F:sub($R, $N)",
    "helper($F, $S)",
    "halves($F)",
    "$F - $F:mean{dim = -1, keepdim = true}",
    "torch.zeros_like($F) + $R",
    "$F:div($C)",
    "torch.ones_like($F) * $S - $F",
    "$F:logical_not():float()",
    "$F:mul(LIST[2])",
    "$F * STEP",
    "$F:detach() - $F",
    "torch.where($R:gt($N), $F, $N)",
    "torch.where($S:lt($N), $F, $R)",
};
constexpr const char* kMask[] = {
    "$F:gt($N)",
    "$F:abs():gt($R)",
    "$F:ge($S)",
    "$F:lt($F)",
    "$F:le($R)",
    "$F:ge(0)",
    "$F:eq($F:amax{dim = -1, keepdim = true})",
    "$F:ne(0)",
    "$F:abs():lt($C)",
    "$F:bool()",
    "$M:logical_and($M)",
    "$M:logical_or($M)",
    "$M:logical_not()",
    "$F:eq(0)",
};
constexpr const char* kRow[] = {
    "$F:abs():amax{dim = -1, keepdim = true}",
    "$F:amin{dim = -1, keepdim = true}",
    "$F:amax{dim = -1, keepdim = true}",
    "$F:sum{dim = -1, keepdim = true}",
    "$F:abs():mean{dim = -1, keepdim = true}",
    "$F:norm(2, -1, true)",
    "$F:norm{dim = -1, keepdim = true}",
    "$F:std{dim = -1, keepdim = true}",
    "$F:var{dim = -1, correction = 0, keepdim = true}",
    "$F:square():mean{dim = -1, keepdim = true}:sqrt()",
    "$M:sum{dim = -1, keepdim = true}",
    "($F * $M):sum{dim = -1, keepdim = true} / $M:sum{dim = -1, keepdim = true}:clamp{min = 1}",
    "$R:abs()",
    "$R * $S",
    "$R + $R",
    "$R:clamp{min = $C}",
    "torch.where($R:gt($N), $R, $S)",
    "torch.maximum($R, $S)",
    "$R:detach()",
    "$R:square()",
    "$R - $S",
    "$R / ($R:abs() + $C)",
    "torch.tanh($R)",
    "$R:round()",
    "bitloop.ste_round($R)",
    "$N * $R",
};
constexpr const char* kScalar[] = {
    "$F:abs():mean()",
    "$F:amax()",
    "$F:max()",
    "$F:min()",
    "$F:std()",
    "$F:norm()",
    "$F:mean()",
    "$R:mean()",
    "$R:amax()",
    "$R:sum()",
    "$S * $S",
    "$S:abs():sqrt()",
    "$S:clamp{min = $C}",
    "torch.tensor($N)",
    "torch.full({1}, $C)",
    "$M:sum() / 7",
    "$S:detach()",
    "$N * $S",
    "torch.exp(-$S:square())",
    "torch.where($S:gt($N), $S, $C)",
    "$F:square():mean():sqrt()",
};
// What makes a number out of tensors: such functions run eagerly.
constexpr const char* kNumber[] = {"$S:item()", "($S > $C and 2 or 0.5)", "#tostring($S) * 0.1",
                                   "$F:quantile(0.8):item()"};
constexpr const char* kEagerFull[] = {"$F:t():contiguous():t()", "$F:sort{dim = -1}",
                                      "torch.cat({$F, $F}, 0):narrow(0, 0, $F:size(0))",
                                      "$F:remainder($C)", "pass($F)"};

enum class View { kPlain, kBlocks, kFlat };

class Writer {
 public:
  Writer(uint64_t seed, bool for_layers) : random_(seed), for_layers_(for_layers) {}

  RandomQuantizer write() {
    made_.rows = pick<int64_t>({2, 3, 5, 8, 24, 33});
    made_.columns = pick<int64_t>({2, 3, 7, 16, 17, 40, 48, 130});
    if (chance(0.02)) made_.rows = 1;
    made_.tokens = pick<int64_t>({2, 3, 9, 20});
    choose_format();
    const auto [weight, weight_plain] = function("weight_quant", "w", true);
    const auto [activation, activation_plain] = function("activation_quant", "x", false);
    const std::string head = prologue(), bias = row_bias();
    made_.lua = head + weight + activation + bias + "return Q\n";
    made_.unrounded = head + weight_plain + activation_plain + bias + "return Q\n";
    return made_;
  }

 private:
  bool chance(double p) { return std::uniform_real_distribution<>(0, 1)(random_) < p; }
  template <typename T>
  T pick(std::initializer_list<T> from) {
    return *(from.begin() + below(from.size()));
  }
  size_t below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }
  std::string element(const std::vector<std::string>& pool) {
    // The newest half of the time: functions that are chains.
    return chance(0.5) ? pool.back() : pool[below(pool.size())];
  }

  std::string positive() {
    if (chance(0.08)) return pick<std::string>({"STEP", "LIST[1]", "#LIST", "LIST.third"});
    return pick<std::string>({"0.5", "1", "1e-5", "0.1", "1.5", "2", "0.03", "0.7", "3"});
  }
  std::string any_number() {
    if (chance(0.04)) return "ctx.layer.index";
    if (chance(0.02)) return "ctx.progress";
    return pick<std::string>({"0", "-0.5", "0.3", "-1", "0.01", "1.2", "-2"});
  }

  std::string fill(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '$') {
        out += text[i];
        continue;
      }
      switch (text[++i]) {
        case 'F':
          out += element(full_);
          break;
        case 'M':
          out += mask_.empty() ? element(full_) + ":gt(0.1)" : element(mask_);
          break;
        case 'R':
          out += row_.empty() ? mean_of_row() : element(row_);
          break;
        case 'S':
          out += scalar_.empty() ? element(full_) + ":abs():mean()" : element(scalar_);
          break;
        case 'C':
          out += positive();
          break;
        default:
          out += any_number();
      }
    }
    return out;
  }
  std::string mean_of_row() { return element(full_) + ":abs():mean{dim = -1, keepdim = true}"; }

  std::string from(std::span<const char* const> templates) {
    return fill(templates[below(templates.size())]);
  }
  // A new local variable of the function.
  std::string let(const std::string& value) {
    const std::string name = fmt::format("v{}", ++names_);
    body_ += fmt::format("  local {} = {}\n", name, value);
    return name;
  }

  void statement() {
    const double p = std::uniform_real_distribution<>(0, 1)(random_);
    if (p < 0.45) {
      full_.push_back(let(from(kFull)));
    } else if (p < 0.6) {
      mask_.push_back(let(from(kMask)));
    } else if (p < 0.8) {
      row_.push_back(let(from(kRow)));
    } else if (p < 0.965) {
      scalar_.push_back(let(from(kScalar)));
    } else if (p < 0.98 || view_ != View::kPlain) {
      const std::string number = let(from(kNumber));
      scalar_.push_back(let(fmt::format("torch.tensor({})", number)));
    } else {
      full_.push_back(let(from(kEagerFull)));
    }
  }

  void choose_format() {
    const size_t kind = below(5);
    if (kind == 0) {
      format_ = "levels = {-1, 1}";
      low_ = -1, high_ = 1;
      signs_ = true;
    } else if (kind == 1) {
      format_ = "levels = {-1, 0, 1}";
      low_ = -1, high_ = 1;
    } else {
      const int bits = pick({2, 3, 4, 8});
      format_ = fmt::format("bits = {}", bits);
      low_ = -(1 << (bits - 1)), high_ = -low_ - 1;
    }
    if (chance(0.35)) {
      view_of_weights_ = chance(0.5) ? View::kBlocks : View::kFlat;
      group_ = pick({2, 4, 5, 8, 16});
      format_ += fmt::format(", group = {}", group_);
      if (view_of_weights_ == View::kFlat) format_ += ", flat_groups = true";
    }
    if (chance(0.3)) format_ += ", scale_dtype = \"float32\"";
    activation_bits_ = for_layers_ ? 8 : pick({8, 8, 4});
    if (activation_bits_ != 8) format_ += fmt::format(", activation_bits = {}", activation_bits_);
  }

  void begin(const std::string& x, bool weight) {
    body_.clear();
    full_ = {x}, mask_.clear(), row_.clear(), scalar_.clear();
    view_ = weight ? view_of_weights_ : View::kPlain;
    if (view_ == View::kBlocks) full_ = {let(fmt::format("bitloop.blocks({}, {})", x, group_))};
    if (view_ == View::kFlat)
      full_ = {let(fmt::format("bitloop.blocks({}:reshape(1, -1), {}):squeeze(0)", x, group_))};
    if (view_ == View::kPlain && chance(0.1))
      full_.push_back(let(x + ":reshape(" + x + ":size())"));
    if (chance(0.4)) scalar_.push_back(let("ctx.params.s"));
    if (chance(0.15)) scalar_.push_back(let("ctx.params.odd:sum()"));
    if (chance(0.15)) scalar_.push_back(let("ctx.state.n"));
    if (view_ == View::kPlain && weight && chance(0.4)) row_.push_back(let("ctx.params.r"));
    for (int i = 0; i < 2; ++i)
      if (view_ == View::kPlain && chance(0.15))
        full_.push_back(let(x + " * ctx.params." + pick<std::string>({"c", "d"})));
    if (view_ == View::kPlain && weight && chance(0.1))
      full_.push_back(let(x + " + ctx.params.full"));
    if (view_ == View::kPlain && weight && chance(0.1)) row_.push_back(let("ctx.state.rows"));
  }

  std::string reshaped(const std::string& value, const std::string& x) {
    if (view_ == View::kPlain) return value;
    return "(" + value +
           "):" + pick<std::string>({"reshape(" + x + ":size())", "view_as(" + x + ")"});
  }
  std::string scale_shaped(const std::string& value, bool row) {
    return view_ == View::kBlocks && row ? "(" + value + "):squeeze(-1)" : value;
  }

  // The function's text, and the same with the codes before they are rounded.
  std::pair<std::string, std::string> function(const char* name, const std::string& x,
                                               bool weight) {
    begin(x, weight);
    const size_t count = 2 + below(for_layers_ ? 3 : 7);
    for (size_t i = 0; i < count; ++i) statement();
    const int low = weight ? low_ : -(1 << (activation_bits_ - 1)),
              high = weight ? high_ : -low - 1;
    bool by_row = chance(0.65);
    std::string scale = by_row ? fill("$R") : fill("$S");
    if (for_layers_ && !weight) {  // a step's bounds are those of fine activations
      by_row = true;
      scale = fmt::format("{}:abs():amax{{dim = -1, keepdim = true}} / {}", x, high);
    }
    if (chance(0.9)) scale = "(" + scale + "):abs()";
    if (chance(0.5))
      scale = "(" + scale + "):clamp{min = 1e-5}";
    else if (chance(0.8))
      scale = "(" + scale + " + 1e-3)";
    if (chance(0.2)) scale = "(" + scale + "):detach()";
    scale = let(scale);
    std::string before, codes;
    if (weight && signs_) {
      codes = before = let("torch.where(" + fill("$F:ge($N)") + ", 1, -1)");
    } else if (chance(0.15)) {
      codes = before = let(fill("$F:sign() * $M"));
    } else {
      before = let((for_layers_ && !weight ? x : fill("$F")) + " / " + scale +
                   (chance(0.2) ? " * 1.5" : ""));
      codes = let(chance(0.7) ? fmt::format("{}:round():clamp({}, {})", before, low, high)
                              : fmt::format("({}):clamp({}, {}):round()", before, low, high));
      if (weight && low < -1 && chance(0.2))  // |x| rounds to more
        codes = let(codes + ":clamp{min = " + std::to_string(low + 1) + "}");
    }
    std::string rest;
    if (chance(0.5))
      rest += ", surrogate = " +
              reshaped(chance(0.4) ? fmt::format("bitloop.ste_round({}) * {}", fill("$F"), scale)
                                   : fill("$F"),
                       x);
    if (chance(0.12)) {
      const bool row = chance(0.5);
      rest += ", offset = " + scale_shaped(row ? fill("$R") : fill("$S"), row);
    }
    const auto text = [&](const std::string& what) {
      const std::string shaped = scale_shaped(scale, by_row);
      const std::string end =
          rest.empty() && what == codes
              ? reshaped(what, x) + ", " + shaped
              : "{codes = " + reshaped(what, x) + ", scale = " + shaped + rest + "}";
      return fmt::format("function Q.{}({}, ctx)\n{}  return {}\nend\n", name, x, body_, end);
    };
    return {text(codes), text(before)};
  }

  std::string prologue() {
    return "local Q = {name = \"random\", " + format_ +
           "}\n"
           "local LIST = {0.25, torch.tensor(1.25), third = 0.75}\n"
           "local STEP = 0.6\n"
           "local function helper(x, s)\n  local y = x - s\n  return y * 0.5 + s\nend\n"
           "local function halves(x) return (x * 2):round() / 2 end\n"
           "local pass = bitloop.autograd{forward = function(x) return x:round() end,\n"
           "  backward = function(g, x) return g end}\n"
           "function Q.init(layer)\n"
           "  local n, k = layer.out_features, layer.in_features\n"
           "  return {params = {s = {value = torch.tensor(0.4)}, r = {value = torch.linspace(0.2, "
           "0.9, "
           "n):view(n, 1)},\n"
           "                    c = {value = torch.linspace(-1, 1, k)}, d = {value = "
           "torch.linspace(1, 2, k)}, odd = {value = "
           "torch.tensor({0.1, 0.2, 0.05})},\n"
           "                    full = {value = layer.weight * 0.1}},\n"
           "          state = {n = torch.tensor(0.3), rows = torch.linspace(0.1, 0.5, n):view(n, "
           "1)}}\nend\n";
  }

  std::string row_bias() {
    if (!chance(0.15)) return "";
    return "function Q.row_bias(w, codes, ctx) return " +
           pick<std::string>({"w:mean{dim = -1}", "(w - codes * 0.1):sum{dim = 1} * 0.1",
                              "codes:mean{dim = 1} * ctx.params.s"}) +
           " end\n";
  }

  std::mt19937_64 random_;
  bool for_layers_;
  RandomQuantizer made_;
  std::string format_, body_;
  int low_ = 0, high_ = 0, activation_bits_ = 8, group_ = 0, names_ = 0;
  bool signs_ = false;
  View view_of_weights_ = View::kPlain, view_ = View::kPlain;
  std::vector<std::string> full_, mask_, row_, scalar_;
};

}  // namespace

RandomQuantizer random_quantizer(uint64_t seed, bool for_layers) {
  return Writer(seed * 0x9e3779b97f4a7c15ull + 1, for_layers).write();
}

}  // namespace bitloop::trainer
