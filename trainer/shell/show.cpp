#include "trainer/shell/show.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lua/runtime/environment.h"
#include "lua/runtime/protect.h"
#include "lua/tensor/tensor_heap.h"

namespace bitloop::trainer::shell {
namespace {

constexpr int64_t kEdge = 3;           // numbers at both ends of a long dimension
constexpr int64_t kShownWhole = 1000;  // a tensor of so many is not cut
constexpr int kMaxItems = 40;          // of a table
constexpr int kMaxDepth = 3;
constexpr int kBarWidth = 40;
const char kTextKey = 0;

// How the numbers of one tensor are written: all alike.
struct NumberStyle {
  bool whole = true;
  bool exponent = false;
  int width = 0;

  std::string plain(double value) const {
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
    if (whole && !exponent) return fmt::format("{:.0f}", value);
    return exponent ? fmt::format("{:.4e}", value) : fmt::format("{:.4f}", value);
  }
  std::string operator()(double value) const { return fmt::format("{:>{}}", plain(value), width); }
};

NumberStyle style_of(const std::vector<double>& values) {
  NumberStyle style;
  double largest = 0, smallest = HUGE_VAL;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    if (value != std::floor(value)) style.whole = false;
    largest = std::max(largest, std::abs(value));
    if (value != 0) smallest = std::min(smallest, std::abs(value));
  }
  // PyTorch's rule: an exponent where four digits behind the point would say nothing, or too much.
  if (largest > 0)
    style.exponent =
        largest > 1e8 || (!style.whole && (largest / smallest > 1000 || smallest < 1e-4));
  for (const double value : values)
    style.width = std::max(style.width, static_cast<int>(style.plain(value).size()));
  return style;
}

struct TensorWriter {
  const at::Tensor& tensor;  // float64 or int64, contiguous, as it is shown
  bool cut;
  NumberStyle style{};
  std::string text{};

  // The places of a dimension that are shown; -1 stands for those left out.
  std::vector<int64_t> places(int64_t size) const {
    std::vector<int64_t> chosen;
    for (int64_t i = 0; i < size; ++i) {
      if (cut && size > 2 * kEdge && i == kEdge) {
        chosen.push_back(-1);
        i = size - kEdge;
      }
      chosen.push_back(i);
    }
    return chosen;
  }

  void collect(const at::Tensor& part, std::vector<double>& values) const {
    if (part.dim() == 0) {
      values.push_back(part.item<double>());
      return;
    }
    for (const int64_t i : places(part.size(0)))
      if (i >= 0) collect(part.select(0, i), values);
  }

  void write(const at::Tensor& part, int indent) {
    if (part.dim() == 0) {
      text += style(part.item<double>());
      return;
    }
    text += '[';
    bool first = true;
    const int64_t per_line = std::max<int64_t>(1, 80 / (style.width + 2));
    int64_t in_line = 0;
    for (const int64_t i : places(part.size(0))) {
      if (!first) {
        text += ',';
        if (part.dim() > 1)
          text += std::string(static_cast<size_t>(std::min<int64_t>(part.dim() - 1, 2)), '\n') +
                  std::string(static_cast<size_t>(indent) + 1, ' ');
        else if (++in_line % per_line == 0)
          text += '\n' + std::string(static_cast<size_t>(indent) + 1, ' ');
        else
          text += ' ';
      }
      first = false;
      if (i < 0)
        text += "...";
      else
        write(part.select(0, i), indent + 1);
    }
    text += ']';
  }
};

std::string show_table(lua_State* L, int index, int depth);

// A value within a table.
std::string show_item(lua_State* L, int index, int depth) {
  index = lua_absindex(L, index);
  if (const at::Tensor* tensor = lua::TensorHeap::of(L).find(L, index))
    return tensor->numel() <= 8 && tensor->dim() <= 1 ? lua::display(L, index)
                                                      : "Tensor" + show_shape(tensor->sizes());
  if (lua_type(L, index) == LUA_TSTRING) return fmt::format("\"{}\"", lua::display(L, index));
  if (lua_type(L, index) == LUA_TTABLE) return show_table(L, index, depth + 1);
  return lua::display(L, index);
}

std::string show_table(lua_State* L, int index, int depth) {
  if (depth > kMaxDepth) return "{…}";
  luaL_checkstack(L, 12, "a table");
  const int top = lua_gettop(L);
  lua::push_content(L, index);
  const int content = lua_gettop(L);
  lua::push_sorted_keys(L, content, false);
  const int keys = lua_gettop(L);
  const auto count = static_cast<lua_Integer>(lua_rawlen(L, keys));
  std::string text = "{";
  for (lua_Integer i = 1; i <= count; ++i) {
    if (i > 1) text += ", ";
    if (i > kMaxItems) {
      text += fmt::format("… {} more", count - kMaxItems);
      break;
    }
    lua_rawgeti(L, keys, i);
    // Numbers come first and in order: those of a list need no key.
    const bool listed = lua_isinteger(L, -1) && lua_tointeger(L, -1) == i;
    if (lua_type(L, -1) == LUA_TSTRING)
      text += fmt::format("{} = ", lua::display(L, -1));
    else if (!listed)
      text += fmt::format("[{}] = ", lua::display(L, -1));
    lua_rawget(L, content);
    text += show_item(L, -1, depth);
    lua_settop(L, keys);
  }
  lua_settop(L, top);
  return text + "}";
}

}  // namespace

std::string show_shape(at::IntArrayRef shape) {
  return fmt::format("({})", fmt::join(shape.begin(), shape.end(), ", "));
}

std::string show_number(double value) { return fmt::format("{:.4g}", value); }

std::string show_tensor(const at::Tensor& tensor) {
  std::string suffix;
  if (tensor.scalar_type() != at::kFloat)
    suffix = fmt::format(" {}", c10::toString(tensor.scalar_type()));
  if (tensor.numel() == 0) return "Tensor" + show_shape(tensor.sizes()) + suffix + " []";
  const at::Tensor plain = tensor.detach();
  TensorWriter writer{plain, tensor.numel() > kShownWhole};
  std::vector<double> values;
  writer.collect(plain, values);
  writer.style = style_of(values);
  writer.write(plain, 0);
  if (tensor.dim() == 0) return writer.text + suffix;
  return writer.text + "\nTensor" + show_shape(tensor.sizes()) + suffix;
}

std::string show_value(lua_State* L, int index) {
  index = lua_absindex(L, index);
  if (const at::Tensor* tensor = lua::TensorHeap::of(L).find(L, index)) return show_tensor(*tensor);
  if (lua_type(L, index) != LUA_TTABLE) return lua::display(L, index);
  if (lua_getmetatable(L, index)) {
    const int type = lua_rawgetp(L, -1, &kTextKey);
    std::string text = type == LUA_TSTRING ? lua_tostring(L, -1) : "";
    lua_pop(L, 2);
    if (type == LUA_TSTRING) return text;
  }
  return show_table(L, index, 0);
}

void set_text(lua_State* L, const std::string& text) {
  lua_createtable(L, 0, 2);
  lua_pushlstring(L, text.data(), text.size());
  lua_rawsetp(L, -2, &kTextKey);
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, -2);
}

std::string show_bars(const std::vector<Bar>& bars, const std::string& indent) {
  constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  double largest = 0;
  size_t width = 0;
  for (const Bar& bar : bars) {
    largest = std::max(largest, bar.share);
    width = std::max(width, bar.label.size());
  }
  std::string text;
  for (const Bar& bar : bars) {
    const auto eighths =
        largest > 0 ? static_cast<int>(std::lround(bar.share / largest * kBarWidth * 8)) : 0;
    text += fmt::format("{}{:>{}} {:>6.2f}% ", indent, bar.label, width, 100 * bar.share);
    for (int i = 0; i < eighths / 8; ++i) text += "█";
    text += kEighths[eighths % 8];
    while (text.ends_with(' ')) text.pop_back();
    text += '\n';
  }
  return text;
}

std::string show_histogram(const at::Tensor& tensor, int64_t bins, const std::string& indent) {
  const at::Tensor all = tensor.detach().flatten().to(at::kFloat);
  const at::Tensor finite = all.masked_select(at::isfinite(all));
  if (finite.numel() == 0) return indent + "no finite numbers\n";
  double low = finite.min().item<double>(), high = finite.max().item<double>();
  if (low == high) bins = 1;
  const at::Tensor counts = low == high ? at::full({1}, static_cast<double>(finite.numel()))
                                        : at::histc(finite, bins, low, high);
  std::vector<Bar> bars;
  for (int64_t i = 0; i < bins; ++i) {
    const double middle =
        low + (high - low) * (static_cast<double>(i) + 0.5) / static_cast<double>(bins);
    bars.push_back(
        {show_number(middle), counts[i].item<double>() / static_cast<double>(finite.numel())});
  }
  std::string text = show_bars(bars, indent);
  if (finite.numel() != all.numel())
    text += fmt::format("{}{} of {} are not finite\n", indent, all.numel() - finite.numel(),
                        all.numel());
  return text;
}

}  // namespace bitloop::trainer::shell
