// What the functions of Q returned, as C++ values. Each function raises a Lua error that names the
// function of Q, what it must return and what came.
#pragma once

#include <string>
#include <string_view>

#include "lua/quantizer/quantizer.h"
#include "lua/runtime/lua_api.h"

namespace bitloop::lua {

// The results of one call: stack indices 1 … count.
struct Returned {
  lua_State* L;
  int count;
  std::string_view function;
  std::string position;  // "candidate.lua:17: ", where the function is defined
};

// codes, scale, or a table. `codebook`: the file declares one, so the table must bring it.
Quantized take_quantized(const Returned& returned, bool codebook);
InitResult take_init(const Returned& returned);
// A share from 0 to 1.
double take_share(const Returned& returned);
// A Tensor or a number; `expected` says which, in messages.
at::Tensor take_tensor(const Returned& returned, std::string_view expected);
// A one-element Tensor or a number, as a 0-d tensor.
at::Tensor take_scalar(const Returned& returned);
// The same names and shapes as `state`.
std::map<std::string, at::Tensor> take_state(const Returned& returned,
                                             const std::map<std::string, at::Tensor>* state);

}  // namespace bitloop::lua
