// Values as text for people: tensors the way PyTorch prints them, tables, histograms.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "lua/runtime/lua_api.h"

namespace bitloop::trainer::shell {

// Rows and columns in brackets, all numbers of one width; the middle of long dimensions is left
// out ("..."). Then shape and, where it is not float32, type. Several lines for a matrix.
std::string show_tensor(const at::Tensor& tensor);

// The value at `index`: strings as they are at the top and quoted within tables, tensors within
// tables by their shape. A table with a text of its own (set_text) shows that.
std::string show_value(lua_State* L, int index);

// Makes the table at the top of the stack show as `text`. It gets a metatable.
void set_text(lua_State* L, const std::string& text);

// One line of a histogram.
struct Bar {
  std::string label;
  double share = 0;  // 0 to 1
};
// Label, percentage and a bar in block characters a line; the longest bar has the full width.
std::string show_bars(const std::vector<Bar>& bars, const std::string& indent);
// The finite numbers of a tensor in `bins` (1 to 64) equal intervals, and how many were not finite.
std::string show_histogram(const at::Tensor& tensor, int64_t bins, const std::string& indent);
// "16 × 256"-like shapes are written as PyTorch does: "(16, 256)".
std::string show_shape(at::IntArrayRef shape);
// Four significant digits, without an exponent where that is short.
std::string show_number(double value);

}  // namespace bitloop::trainer::shell
