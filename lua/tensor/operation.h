// Operations on tensors: one table binds them to Lua and documents them, and one trampoline calls
// them.
//
// An Operation is a signature in PyTorch's words, a line of documentation and a function of a Call.
// The signature (signature.h) says how arguments are read: positional, then a trailing table of
// named ones (x:clamp{min = -1}). Types and defaults stand in the signature and nowhere else; the
// manual and the language server's annotations are made from it.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lua/runtime/guest.h"
#include "lua/tensor/signature.h"
#include "lua/tensor/tensor_heap.h"

namespace bitloop::lua {

class Call;

enum Form : uint8_t {
  kMethod = 1,   // x:abs()
  kTorch = 2,    // torch.abs(x)
  kBitloop = 4,  // bitloop.ste_round(x)
  kBoth = kMethod | kTorch,
};

struct Operation {
  std::string_view signature;  // "clamp(x, min: Operand=nil, max: Operand=nil)"
  std::string_view doc;        // one line
  int (*function)(Call&);      // pushes its results and returns how many
  Form forms = kBoth;
};

// One heading of the manual with its operations; `file` names their annotations.
struct Group {
  std::string_view title;
  std::span<const Operation> operations;
  std::string_view file;
};

std::span<const Operation> creation_operations();
std::span<const Operation> arithmetic_operations();
std::span<const Operation> math_operations();
std::span<const Operation> comparison_operations();
std::span<const Operation> reduction_operations();
std::span<const Operation> sorting_operations();
std::span<const Operation> shape_operations();
std::span<const Operation> indexing_operations();
std::span<const Operation> matrix_operations();
std::span<const Operation> conversion_operations();
std::span<const Operation> bitloop_operations();
// All of them, in the manual's order.
std::vector<Group> all_groups();

// An operation with its signature taken apart.
struct BoundOperation : Signature {
  const Operation* operation = nullptr;
};
BoundOperation bind(const Operation& operation);
// All operations, bound once; their addresses stay.
const std::deque<BoundOperation>& bound_operations();

// A call's arguments by parameter, and its results. Getters raise Lua errors that name operation
// and parameter.
class Call {
 public:
  static constexpr int kMaxParameters = 8;

  Call(lua_State* L, const BoundOperation& bound);

  lua_State* lua() const { return L_; }
  bool has(int i) const { return slots_[static_cast<size_t>(i)] != 0; }  // given, and not nil
  int slot(int i) const { return slots_[static_cast<size_t>(i)]; }  // stack index, 0 when absent
  int last_variadic() const { return last_variadic_; }
  bool is_tensor(int i) const;
  bool is_number(int i) const;

  const at::Tensor& tensor(int i);
  at::Tensor numeric(int i);  // a tensor; bool becomes float32
  at::Tensor floats(int i);   // a tensor; bool and int64 become float32
  at::Tensor operand(
      int i);  // a tensor or a number (as a 0-d tensor that does not widen the other's type)
  at::Scalar scalar(int i);
  double number(int i);
  int64_t integer(int i);
  bool boolean(int i);
  std::string_view string(int i);
  std::optional<at::Scalar> optional_scalar(int i);
  std::optional<int64_t> optional_integer(int i);
  std::optional<std::string_view> optional_string(int i);
  // A number or a list of whole numbers; for a variadic parameter all that is left.
  std::vector<int64_t> integers(int i);
  std::vector<int64_t> sizes(int i);       // integers that are >= 0
  std::vector<at::Tensor> tensors(int i);  // a non-empty list

  // Of a new tensor: float32, on the state's device.
  at::TensorOptions options() const;
  int push(at::Tensor value);
  int push_all(const std::vector<at::Tensor>& values);
  // Raises when a float32 tensor of this shape (times `copies`) would not fit; sizes may be any
  // non-negative numbers.
  void reserve(at::IntArrayRef shape, double copies = 1);
  // "clamp: <message>" with the candidate's line.
  [[noreturn]] void fail(const std::string& message);
  [[noreturn]] void wrong_type(int i, std::string_view expected);

 private:
  void read_named(int table);
  void reserve_broadcast();

  lua_State* L_;
  const BoundOperation& bound_;
  std::array<int, kMaxParameters> slots_{};
  int last_variadic_ = 0;  // stack index of the last of a variadic parameter's numbers
};

// The C function of all operations; upvalue 1 is the BoundOperation.
int invoke(lua_State* L);

}  // namespace bitloop::lua
