// The formulas of every file in quantizers/, written once more in plain loops over doubles, and the
// matrices they are tried on. Used by zoo_test.cpp.
#pragma once

#include <algorithm>
#include <cmath>

#include "tests/lua/fixture.h"

namespace bitloop::lua::zoo {

using Reals = std::vector<double>;

inline constexpr double kBoundary =
    1e-5;  // a ratio this near to a rounding boundary may go either way

// --- matrices ---------------------------------------------------------------------------------

// Deterministic normal numbers, by Box and Muller from a linear congruence.
inline Reals normals(int64_t count, uint64_t seed) {
  uint64_t x = seed * 2654435761u + 1;
  const auto uniform = [&] {
    x = x * 6364136223846793005u + 1442695040888963407u;
    return (static_cast<double>(x >> 11) + 0.5) / 9007199254740992.0;
  };
  Reals made(static_cast<size_t>(count));
  for (double& v : made) v = std::sqrt(-2 * std::log(uniform())) * std::cos(2 * M_PI * uniform());
  return made;
}

inline at::Tensor tensor_of(const Reals& v, int64_t n, int64_t k) {
  return at::tensor(v, at::kDouble).to(at::kFloat).view({n, k});
}
inline Reals reals_of(const at::Tensor& t) {
  const at::Tensor d = t.detach().to(at::kDouble).contiguous();
  return {d.data_ptr<double>(), d.data_ptr<double>() + d.numel()};
}

struct Matrix {
  const char* what;
  at::Tensor tensor;
};

inline std::vector<Matrix> matrices(double size) {
  const auto normal = [&](int64_t n, int64_t k, uint64_t seed) {
    return tensor_of(normals(n * k, seed), n, k) * size;
  };
  at::Tensor outlier = normal(6, 40, 4), zeros = normal(5, 70, 5);
  // Largest and other elements such that the largest is 127.6 steps of QuEST's 8-bit grid.
  at::Tensor edge = at::full({2, 33}, size, at::kFloat);
  const double reach = 127.6 * 2 / 255 * 3.884938678805525;
  edge.select(1, 5).mul_(reach * std::sqrt(32 / (33 - reach * reach)));
  outlier[2] *= 500.0;
  outlier[4][7] = 900.0 * size;
  zeros[1].zero_();
  return {{"even", normal(16, 128, 1)},
          {"odd", normal(7, 33, 2)},
          {"long groups with a tail", normal(3, 101, 3)},
          {"one", normal(1, 1, 9)},
          {"an outlier row and an outlier", outlier},
          {"a zero row", zeros},
          {"just outside of a grid", edge},
          {"zeros", at::zeros({4, 9})},
          {"tiny", normal(5, 12, 6) * 1e-7},
          {"large", normal(5, 12, 7) * 1e3}};
}

// --- formulas ---------------------------------------------------------------------------------

inline double sign(double r) { return r > 0 ? 1 : r < 0 ? -1 : 0; }
inline double clip(double v, double low, double high) { return std::min(std::max(v, low), high); }
inline double round_even(double v) { return std::nearbyint(v); }
inline double sum(const Reals& v) {
  double total = 0;
  for (const double x : v) total += x;
  return total;
}
inline double abs_sum(const Reals& v) {
  double total = 0;
  for (const double x : v) total += std::fabs(x);
  return total;
}
inline double abs_max(const Reals& v) {
  double most = 0;
  for (const double x : v) most = std::max(most, std::fabs(x));
  return most;
}
inline double rms(const Reals& v) {
  double total = 0;
  for (const double x : v) total += x * x;
  return std::sqrt(total / static_cast<double>(v.size()));
}
inline double floor5(double v) { return std::max(v, 1e-5); }

// Numbers that share a scale, and what a formula makes of them. code(r) with r = (v - offset) /
// unit.
struct Group {
  Reals v;
  double whole_rms = 0;  // of the whole matrix
  double param = 0;      // the learned number, where there is one
  double scale = 0, unit = 0, offset = 0;
};

// A kept share's mean magnitude: of |v| > edge.
inline double kept_mean(const Reals& v, double edge) {
  double total = 0, count = 0;
  for (const double x : v) {
    if (std::fabs(x) > edge) total += std::fabs(x), ++count;
  }
  return total / std::max(count, 1.0);
}

enum class Shared { kMatrix, kRow, kFlat128, kGroup64 };

using Formula = void (*)(Group&);
using Function = double (*)(double);

struct Method {
  const char* file;
  Shared shared;
  Formula fit;
  Function code;
  // dsurrogate/dv by r; null: there is no surrogate.
  Function slope = nullptr;
  // dsurrogate/dparam by r, in units of what param multiplies; its initial value for a group.
  const char* param = nullptr;
  Function by_param = nullptr;
  double (*initial)(const Reals&) = nullptr;
  double (*damping)(double count) = [](double) { return 1.0; };
};

// The codes of several files.
inline double ternary(double r) { return clip(round_even(r), -1, 1); }
inline double beyond_one(double r) { return std::fabs(r) > 1 ? sign(r) : 0; }
inline double from_half(double r) { return std::fabs(r) >= 0.5 ? sign(r) : 0; }
inline double over_half(double r) { return std::fabs(r) > 0.5 ? sign(r) : 0; }
inline double binary(double r) { return r >= 0 ? 1 : -1; }
inline double thirds(double r) { return (2 * clip(round_even((3 * r + 3) / 2), 0, 3) - 3) / 3; }
inline double seq3(double r) { return round_even(1.5 * clip(r, -0.99, 0.99)) / 1.5; }
inline double seq4(double r) { return (round_even(2 * clip(r, -0.99, 0.99) - 0.5) + 0.5) / 2; }
inline double int2_of_lsq(double r) { return round_even(clip(r, -2, 1)); }
inline double int8(double r) { return clip(round_even(r), -128, 127); }
inline double soft(double r) { return (std::tanh(3 * (r - 0.5)) + std::tanh(3 * (r + 0.5))) / 2; }
inline double soft_slope(double r) {
  const double a = 1 / std::cosh(3 * (r - 0.5)), b = 1 / std::cosh(3 * (r + 0.5));
  return 1.5 * (a * a + b * b);
}
// At progress 0.25, where b = 3.5.
inline double tanh_sigmoid_slope(double r) {
  const double b = 3.5, t = std::tanh(b * r), s = 1 / (1 + std::exp(-b * (std::fabs(r) - 0.5)));
  return b * ((1 - t * t) * s + t * s * (1 - s) * sign(r));
}

inline void by_rms(Group& g, double alpha) { g.unit = g.scale = floor5(alpha * rms(g.v)); }
inline void by_mean(Group& g) {
  g.unit = g.scale = floor5(abs_sum(g.v) / static_cast<double>(g.v.size()));
}
inline void by_max(Group& g, double steps) { g.unit = g.scale = floor5(abs_max(g.v)) / steps; }
inline void by_param(Group& g) { g.unit = g.scale = floor5(g.param); }

// The k that makes (sum of the k largest)^2 / k largest, by trying all.
inline void by_least_squares(Group& g) {
  Reals size;
  for (const double x : g.v) size.push_back(std::fabs(x));
  std::sort(size.rbegin(), size.rend());
  double best = -1, total = 0;
  for (size_t k = 1; k <= size.size(); ++k) {
    total += size[k - 1];
    if (total * total / static_cast<double>(k) > best) {
      best = total * total / static_cast<double>(k);
      g.scale = total / static_cast<double>(k);
    }
  }
  g.unit = g.scale = floor5(g.scale);
}

inline void centred(Group& g) {
  g.offset = sum(g.v) / static_cast<double>(g.v.size());
  double size = 0, product = 0, count = 0;
  for (const double x : g.v) size += std::fabs(x - g.offset);
  g.unit = floor5(size / static_cast<double>(g.v.size()));
  for (const double x : g.v) {
    const double code = ternary((x - g.offset) / g.unit);
    product += (x - g.offset) * code, count += code * code;
  }
  g.scale = floor5(product / std::max(count, 1.0));
}

// Groups come padded with zeros.
inline void adaptive(Group& g) {
  double squares = 0;
  for (const double x : g.v) squares += x * x;
  g.unit = squares / std::max(2 * abs_sum(g.v), 1e-12);
  g.scale = floor5(0.75 * kept_mean(g.v, g.unit) + 0.25 * rms(g.v));
}

inline void percentile(Group& g) {
  Reals size;
  for (const double x : g.v) size.push_back(std::fabs(x));
  std::sort(size.begin(), size.end());
  const double place = 0.85 * static_cast<double>(size.size() - 1);
  const auto low = static_cast<size_t>(place);
  const size_t high = std::min(low + 1, size.size() - 1);
  g.unit = g.scale = floor5(size[low] + (place - std::floor(place)) * (size[high] - size[low]));
}

inline const std::vector<Method>& methods() {
  static const std::vector<Method> all = {
      {"binary", Shared::kRow, by_mean, binary},
      {"ternary", Shared::kMatrix, by_mean, ternary},
      {"int2", Shared::kRow, [](Group& g) { by_max(g, 1); }, thirds},
      {"int3", Shared::kRow, [](Group& g) { by_max(g, 3); },
       [](double r) { return clip(round_even(r), -4, 3); }},
      {"int4", Shared::kRow, [](Group& g) { by_max(g, 7); },
       [](double r) { return clip(round_even(r), -8, 7); }},
      {"five_levels", Shared::kRow, [](Group& g) { by_max(g, 1); },
       [](double r) { return round_even(2 * r) / 2; }},
      {"twn", Shared::kMatrix,
       [](Group& g) {
         g.unit = 0.7 * abs_sum(g.v) / static_cast<double>(g.v.size());
         g.scale = floor5(kept_mean(g.v, g.unit));
       },
       beyond_one},
      {"ternary_l2", Shared::kRow, by_least_squares, ternary},
      {"tequila", Shared::kRow, by_mean, from_half},
      {"lsq", Shared::kMatrix, by_param, int2_of_lsq,
       [](double r) { return r >= -2 && r <= 1 ? 1.0 : 0.0; }, "step",
       [](double r) { return r >= -2 && r <= 1 ? int2_of_lsq(r) - r : int2_of_lsq(r); },
       [](const Reals& v) { return floor5(2 * abs_sum(v) / static_cast<double>(v.size())); },
       [](double count) { return 1 / std::sqrt(count); }},
      {"seq_ternary", Shared::kRow, by_param, seq3,
       [](double r) { return std::fabs(r) <= 0.99 ? 1.0 : 0.0; }, "range",
       [](double r) { return std::fabs(r) <= 0.99 ? seq3(r) - r : sign(r) * 2 / 3; },
       [](const Reals& v) { return floor5(abs_max(v)); },
       [](double count) { return 1 / std::sqrt(count); }},
      {"seq_2bit", Shared::kRow, by_param, seq4,
       [](double r) { return std::fabs(r) <= 0.99 ? 1.0 : 0.0; }, "range",
       [](double r) { return std::fabs(r) <= 0.99 ? seq4(r) - r : sign(r) * 3 / 4; },
       [](const Reals& v) { return floor5(abs_max(v)); },
       [](double count) { return 1 / std::sqrt(count); }},
      {"quest_1bit", Shared::kRow, [](Group& g) { by_rms(g, std::sqrt(2 / M_PI)); }, binary,
       [](double r) { return std::fabs(r) <= 2 ? 1.0 : 0.0; }},
      {"quest_ternary", Shared::kRow, [](Group& g) { by_rms(g, 1.2240089519030855); }, ternary,
       [](double r) { return std::fabs(r) <= 1.5 ? 1.0 : 0.0; }},
      {"quest_2bit", Shared::kRow, [](Group& g) { by_rms(g, 1.4935346200015913); }, thirds,
       [](double r) { return std::fabs(r) <= 4.0 / 3 ? 1.0 : 0.0; }},
      {"flat_group", Shared::kFlat128, by_mean, over_half},
      {"ternary_qat", Shared::kFlat128, by_mean, over_half},
      {"flat_group_absmax", Shared::kFlat128, [](Group& g) { by_max(g, 1); },
       [](double r) { return std::fabs(r) > 0.3 ? sign(r) : 0; }},
      {"flat_group_soft", Shared::kFlat128,
       [](Group& g) {
         const double mean = abs_sum(g.v) / static_cast<double>(g.v.size());
         g.unit = g.scale = floor5(mean * g.param);
       },
       over_half, [](double r) { return soft_slope(r) + (std::fabs(r) > 0.5 ? 0.0 : 0.1); }, "gain",
       [](double r) { return soft(r) - r * soft_slope(r); }, [](const Reals&) { return 1.0; }},
      {"clipped_window", Shared::kRow, by_mean, ternary,
       [](double r) { return std::fabs(r) <= 2.5 ? 1.0 : 0.0; }},
      {"centred", Shared::kRow, centred, ternary},
      {"group64", Shared::kGroup64, adaptive, beyond_one},
      {"rms_tensor", Shared::kMatrix, [](Group& g) { by_rms(g, 1); }, ternary},
      {"rms_row", Shared::kRow,
       [](Group& g) {
         g.unit = g.scale = floor5(clip(rms(g.v), g.whole_rms / 2, g.whole_rms * 2));
       },
       ternary},
      {"percentile85", Shared::kRow, percentile, ternary},
      {"tanh_sigmoid", Shared::kRow, by_mean, ternary, tanh_sigmoid_slope},
  };
  return all;
}

// The elements of w by group: places in the flattened matrix, and how many zeros pad the group.
struct Members {
  std::vector<size_t> places;
  size_t padding = 0;
};

inline std::vector<Members> members(int64_t n, int64_t k, Shared shared) {
  const int64_t all = n * k;
  const int64_t run = shared == Shared::kMatrix    ? all
                      : shared == Shared::kFlat128 ? 128
                      : shared == Shared::kRow     ? k
                                                   : 64;
  const int64_t line = shared == Shared::kGroup64 ? k : all;  // groups end with a line
  std::vector<Members> groups;
  for (int64_t start = 0; start < all; start += line) {
    for (int64_t at = 0; at < line; at += run) {
      Members& group = groups.emplace_back();
      for (int64_t i = at; i < std::min(at + run, line); ++i)
        group.places.push_back(static_cast<size_t>(start + i));
      group.padding = static_cast<size_t>(run) - group.places.size();
    }
  }
  return groups;
}

}  // namespace bitloop::lua::zoo
